//! Guard processes, for real, over a stand-in for `virsh` that only writes down what it is asked.
//!
//! One program in three roles, by its first argument: none (the tests), `guard` (a guard process), `parent` (a process that
//! has a guard and is killed).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getsid, kill_process};
use stillpoint_virt::{CommandGuard, DomainId, GuardSpawner, Release, Tag, Virsh, guard};

type Test = fn(&Path);

const UUID: &str = "3af966a5-202f-4509-a537-cbfd232b9058";

/// Answers as virsh does, and writes its arguments to a file beside it. While a file `deaf` is there, it fails.
const STAND_IN: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/asked"
case "$*" in
    *domstats*) printf "Domain: 'guest'\n  state.state=%s\n  state.reason=1\n" "$(cat "$here/state")" ;;
    *domfsthaw*) if [ -e "$here/deaf" ]; then echo "error: Guest agent is not responding" >&2; exit 1; fi
        echo "Thawed $(cat "$here/frozen") filesystem(s)"; echo 0 > "$here/frozen" ;;
    *resume*) echo 1 > "$here/state" ;;
esac
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("guard") => return role_guard(&arguments[1..]),
        Some("parent") => return role_parent(&arguments[1..]),
        _ => {}
    }
    let tests: [(&str, Test); 6] = [
        ("a guard whose parent is killed thaws", parent_killed_thaws),
        ("a guard whose parent is killed resumes what is suspended", parent_killed_resumes),
        ("a guard that is told to end does nothing", disarmed_does_nothing),
        ("a guard acts when its deadline passes, and its parent learns of it", deadline_acts),
        ("a guard goes on trying while the agent is deaf", deaf_agent_is_tried_again),
        ("a guard is in a session of its own and ignores signals", ignores_signals),
    ];
    for (name, test) in tests {
        let directory = tempfile::tempdir().unwrap();
        let stand_in = directory.path().join("virsh");
        fs::write(&stand_in, STAND_IN).unwrap();
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.path().join("state"), "1").unwrap();
        fs::write(directory.path().join("frozen"), "0").unwrap();
        test(directory.path());
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn domain() -> DomainId {
    DomainId { uuid: UUID.parse().unwrap(), name: "guest".into() }
}

fn tag() -> Tag {
    Tag::new("stillpoint-guarded").unwrap()
}

fn role_guard(arguments: &[String]) -> ExitCode {
    let [directory, release, deadline] = arguments else { return ExitCode::from(2) };
    let virsh = Virsh::new("test:///default").program(format!("{directory}/virsh"));
    let deadline = Duration::from_millis(deadline.parse().unwrap());
    match guard::run(&virsh, &domain(), release.parse().unwrap(), deadline) {
        Ok(guard::Outcome::Disarmed) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Arms a guard, says so, and waits to be killed.
fn role_parent(arguments: &[String]) -> ExitCode {
    let [directory, release] = arguments else { return ExitCode::from(2) };
    let guards = guards(directory.clone());
    let _guard = guards.arm(&domain(), &tag(), release.parse().unwrap(), Duration::from_secs(600)).unwrap();
    println!("armed");
    loop {
        thread::park();
    }
}

fn guards(directory: String) -> CommandGuard {
    CommandGuard::new(move |_, _, release, deadline| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["guard", &directory, &release.to_string(), &deadline.as_millis().to_string()]);
        command
    })
}

fn parent_killed(directory: &Path, release: &str) {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["parent", directory.to_str().unwrap(), release])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "armed\n");
    assert_eq!(
        asked(directory, "domfsthaw") + asked(directory, "resume"),
        0,
        "nothing before the parent's death"
    );
    parent.kill().unwrap();
    parent.wait().unwrap();
}

fn parent_killed_thaws(directory: &Path) {
    parent_killed(directory, "thaw");
    until(|| asked(directory, "domfsthaw") > 0);
    let text = fs::read_to_string(directory.join("asked")).unwrap();
    let (timeout, thaw) = (text.find("guest-agent-timeout").unwrap(), text.find("domfsthaw").unwrap());
    assert!(timeout < thaw, "a time-out is set before the agent is asked");
    // A freeze that its parent had begun takes effect late: once was not enough.
    until(|| asked(directory, "domfsthaw") > 2);
    fs::write(directory.join("frozen"), "2").unwrap();
    until(|| fs::read_to_string(directory.join("frozen")).unwrap().trim() == "0");
}

fn parent_killed_resumes(directory: &Path) {
    fs::write(directory.join("state"), "3").unwrap();
    parent_killed(directory, "resume");
    until(|| fs::read_to_string(directory.join("state")).unwrap().trim() == "1");
}

fn disarmed_does_nothing(directory: &Path) {
    let guards = guards(directory.to_str().unwrap().into());
    let guard = guards.arm(&domain(), &tag(), Release::Thaw, Duration::from_secs(600)).unwrap();
    assert!(guard.disarm());
    assert_eq!(asked(directory, "domfsthaw"), 0);
}

fn deadline_acts(directory: &Path) {
    let guards = guards(directory.to_str().unwrap().into());
    let guard = guards.arm(&domain(), &tag(), Release::Thaw, Duration::from_millis(50)).unwrap();
    until(|| asked(directory, "domfsthaw") > 0);
    assert!(!guard.disarm());
}

fn deaf_agent_is_tried_again(directory: &Path) {
    fs::write(directory.join("deaf"), "").unwrap();
    parent_killed(directory, "thaw");
    until(|| asked(directory, "domfsthaw") > 1);
    fs::remove_file(directory.join("deaf")).unwrap();
    let before = asked(directory, "domfsthaw");
    until(|| asked(directory, "domfsthaw") > before);
}

fn ignores_signals(directory: &Path) {
    let mut guard: Child = Command::new(std::env::current_exe().unwrap())
        .args(["guard", directory.to_str().unwrap(), "thaw", "600000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(guard.stdout.take().unwrap().take(64)).read_line(&mut line).unwrap();
    assert_eq!(line, "armed\n");
    let pid = Pid::from_child(&guard);
    assert_eq!(getsid(Some(pid)).unwrap(), pid, "it leads a session of its own");
    for signal in [Signal::INT, Signal::HUP, Signal::TERM] {
        kill_process(pid, signal).unwrap();
    }
    thread::sleep(Duration::from_millis(200));
    assert!(guard.try_wait().unwrap().is_none(), "it still stands");
    let mut stdin = guard.stdin.take().unwrap();
    stdin.write_all(b"disarm\n").unwrap();
    drop(stdin);
    assert!(guard.wait().unwrap().success());
    assert_eq!(asked(directory, "domfsthaw"), 0);
}

fn asked(directory: &Path, what: &str) -> usize {
    let text = fs::read_to_string(directory.join("asked")).unwrap_or_default();
    text.lines().filter(|line| line.split(' ').any(|word| word == what)).count()
}

fn until(test: impl Fn() -> bool) {
    let begun = Instant::now();
    while !test() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not happen");
        thread::sleep(Duration::from_millis(20));
    }
}
