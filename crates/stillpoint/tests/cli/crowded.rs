//! A directory of shards with very many names: what it takes is bounded, by a limit that the kernel enforces.

use std::process::Command;

use stillpoint_testkit::volume::Shape;

use crate::volume::{Site, is_root, site_of};

/// Names in `.shard`, each of another file that is nowhere.
fn crowd() -> u64 {
    if std::env::var_os("STILLPOINT_FULL").is_some_and(|value| value == "1") { 1_000_000 } else { 20_000 }
}

/// Runs the program with so much address space, with one arena of memory for all of its threads. Its exit code, and how
/// many lines it wrote.
fn limited(site: &Site, bytes: u64, args: &[&str]) -> (Option<i32>, u64, String) {
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &(bytes >> 10).to_string()]);
    command.arg(env!("CARGO_BIN_EXE_stillpoint")).args(args).arg("--volume").arg(&site.spec);
    let output = command.env("MALLOC_ARENA_MAX", "1").output().expect("bash runs");
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
    (output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_a_crowd_of_shards_costs_is_bounded_a_name() {
    if !is_root() {
        return;
    }
    let crowd = crowd();
    let mut site = site_of("gv1", Shape::default(), b"x");
    for number in 0..crowd {
        let name = format!("00000000-0000-4000-8000-{number:012x}.1");
        site.trees.stray_shard(0, &name, b"").expect("written");
    }
    // The program itself, its threads' stacks and what it buffers.
    const BASE: u64 = 160 << 20;
    // Each is a finding of two lines; a list has a line for each.
    let cases: [(&[&str], u64, i32, u64); 2] =
        [(&["audit", "--jobs", "2"], 200, 6, 2 * crowd), (&["ls", "--orphans"], 600, 0, crowd)];
    for (args, each, code, lines) in cases {
        let (ended, told, said) = limited(&site, BASE + each * crowd, args);
        assert_eq!(ended, Some(code), "{args:?}: {said}");
        assert!(told >= lines, "{args:?}: {told} lines");
    }
}
