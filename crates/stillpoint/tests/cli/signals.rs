//! SIGINT and SIGTERM while a file is written, or a volume is looked at.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stillpoint_testkit::volume::Shape;

use crate::volume::{Site, is_root, json, site, site_of};

/// What no compression makes smaller, a mebibyte of it.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(1 << 20);
    while bytes.len() < 1 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it can be listed");
    entries.map(|entry| entry.expect("it can be").file_name().into_string().expect("text")).collect()
}

#[test]
fn an_extract_that_is_told_to_end_leaves_no_part_of_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    // To compress it takes far longer than to send a signal.
    fs::write(dir.path().join("disk.raw"), noise().repeat(128)).expect("written");
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stillpoint"));
        command.args(["extract", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "out"]);
        command.current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        while !names(dir.path()).iter().any(|name| name.ends_with(".part")) {
            assert!(child.try_wait().expect("a child").is_none(), "it ended before it began to write");
            std::thread::sleep(Duration::from_millis(1));
        }
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{signal:?}: {said}");
        assert!(said.contains("ending cleanly") && said.contains("cancelled"), "{signal:?}: {said}");
        assert!(output.stdout.is_empty());
        assert_eq!(names(dir.path()), ["disk.raw"], "{signal:?}");
    }
}

/// The program, its output to be read here.
fn spawned(site: &Site, verb: &str, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stillpoint"));
    command.arg(verb).arg("--volume").arg(&site.spec).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

/// Tells a program to end as soon as `is_time` says so; `None` where it ended before.
fn interrupted(mut child: Child, signal: Signal, is_time: impl Fn() -> bool) -> Option<Output> {
    while !is_time() {
        if child.try_wait().expect("a child").is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    kill_process(Pid::from_child(&child), signal).expect("it runs, or is yet to be waited for");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code() != Some(0)).then_some(output)
}

/// An export that compares all copies reads each byte itself, which takes longer than to send a signal.
const SLOWLY: [&str; 3] = ["--compare", "--output", "json"];

#[test]
fn an_export_that_is_told_to_end_leaves_nothing_under_its_name_or_what_it_goes_on_with() {
    if !is_root() {
        return;
    }
    let content = noise().repeat(48);
    let site = site("gv1", 2, &content);
    let target = tempfile::tempdir().expect("a directory");
    let out = target.path().join("out.img");
    let file = ["vm/disk.img", out.to_str().expect("text")];

    let begun = || names(target.path()).iter().any(|name| name.ends_with(".part"));
    let attempt = |_| {
        let _ = fs::remove_file(&out);
        interrupted(spawned(&site, "export", &[&SLOWLY[..], &file].concat()), Signal::INT, begun)
    };
    let output = (0..10).find_map(attempt).expect("it always ended before");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ending cleanly") && said.contains("cancelled"), "{said}");
    assert!(output.stdout.is_empty());
    assert!(names(target.path()).is_empty(), "{:?}", names(target.path()));

    // Told to keep what is done, it has that, and a map of it.
    let begun = || fs::metadata(&out).is_ok_and(|meta| meta.blocks() > 0);
    let resumed = [&SLOWLY[..], &["--resume"], &file].concat();
    let attempt = |_| {
        let _ = fs::remove_file(&out);
        interrupted(spawned(&site, "export", &resumed), Signal::TERM, begun)
    };
    let output = (0..10).find_map(attempt).expect("it always ended before");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let mut left = names(target.path());
    left.sort();
    assert_eq!(left, ["out.img", "out.img.map"]);
    let output = spawned(&site, "export", &resumed).wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&String::from_utf8(output.stdout).expect("text"));
    let before = report["bytes_before"].as_u64().expect("a number");
    assert!(before > 0 && before < content.len() as u64, "{report:#}");
    assert!(fs::read(&out).expect("it is there") == content);
    assert_eq!(names(target.path()), ["out.img"]);
}

/// More findings than a pipe holds: nobody reads them until the signal is sent, so that it is sent in their midst.
#[test]
fn an_audit_that_is_told_to_end_says_so_and_how_far_it_was() {
    if !is_root() {
        return;
    }
    let mut site = site_of("gv1", Shape::default(), b"x");
    for number in 0..2000 {
        let name = format!("00000000-0000-4000-8000-{number:012x}.1");
        site.trees.stray_shard(0, &name, b"x").expect("written");
    }
    let waiting = |child: &Child| {
        let pipe = child.stdout.as_ref().expect("a pipe");
        rustix::io::ioctl_fionread(pipe).expect("a pipe")
    };
    for (format, signal) in [("human", Signal::INT), ("json", Signal::TERM)] {
        let mut child = spawned(&site, "audit", &["--output", format]);
        // Full to where the next finding doesn't fit.
        while waiting(&child) < 60 << 10 {
            assert!(child.try_wait().expect("a child").is_none(), "it ended before its findings were read");
            std::thread::sleep(Duration::from_millis(1));
        }
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("a pipe");
        // What it says of the signal is there before it can go on.
        let mut byte = [0];
        stderr.read_exact(&mut byte).expect("it says something");
        said.push(char::from(byte[0]));
        let output = child.wait_with_output().expect("it ends");
        stderr.read_to_string(&mut said).expect("text");
        assert_eq!(output.status.code(), Some(1), "{signal:?}: {said}");
        assert!(said.contains("ending cleanly"), "{signal:?}: {said}");
        let told = String::from_utf8(output.stdout).expect("text");
        let findings = if format == "json" {
            let report = json(&told);
            assert_eq!(report["summary"]["interrupted"], true);
            assert_eq!(report["clean"], false);
            report["findings"].as_array().expect("findings").len()
        } else {
            assert!(told.ends_with("interrupted\n"), "{told}");
            told.lines().filter(|line| line.starts_with("attention")).count()
        };
        assert!(findings > 0 && findings < 2000, "{signal:?}: {findings} findings");
    }
}
