//! SIGINT and SIGTERM while a file is written.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

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
