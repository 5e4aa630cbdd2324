//! Ends a command that takes too long, with all that it started.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Watches one process until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl Watchdog {
    /// Ends the process `pid` and its descendants after `limit`.
    pub(crate) fn over(pid: u32, limit: Duration) -> Self {
        let (done, wait) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            if wait.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
            let tree = tree(pid);
            end(&tree, Signal::TERM);
            // What ends in time has closed the pipe that our owner reads, and our owner lets go of us.
            if wait.recv_timeout(Duration::from_secs(10)) == Err(RecvTimeoutError::Timeout) {
                end(&tree, Signal::KILL);
            }
            true
        });
        Self { done: Some(done), thread: Some(thread) }
    }

    /// Ends the watch, and tells whether the time was up.
    pub(crate) fn bit(mut self) -> bool {
        drop(self.done.take());
        self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// In clock ticks since the machine started.
    started: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // proc(5): pid (name) state ppid …, the 22nd field is the start; the name may hold anything.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        Some(Self { pid, parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }
}

/// A process and all that descends from it, by the parents that /proc tells. What has made itself a child of init
/// (the lab's daemons) is not among them.
fn tree(root: u32) -> Vec<Process> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let all: Vec<Process> = names.filter_map(|name| Process::read(name.to_str()?.parse().ok()?)).collect();
    let mut found: Vec<Process> = all.iter().filter(|process| process.pid == root).copied().collect();
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|process| process.parent == parent.pid));
        at += 1;
    }
    found
}

fn end(tree: &[Process], signal: Signal) {
    for process in tree {
        if Process::read(process.pid).is_some_and(|now| now.started == process.started) {
            let _ = Pid::from_raw(process.pid.cast_signed()).map(|pid| kill_process(pid, signal));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_its_children() {
        let mut child = Command::new("sh").args(["-c", "sleep 600 & wait"]).spawn().expect("started");
        let watchdog = Watchdog::over(child.id(), Duration::from_millis(50));
        let status = child.wait().expect("waited for");
        assert!(!status.success());
        assert!(watchdog.bit());
        assert_eq!(tree(child.id()), [], "nothing of it is left");
    }

    #[test]
    fn a_command_that_ends_in_time_is_left_alone() {
        let mut child = Command::new("true").spawn().expect("started");
        let watchdog = Watchdog::over(child.id(), Duration::from_secs(600));
        assert!(child.wait().expect("waited for").success());
        assert!(!watchdog.bit());
    }
}
