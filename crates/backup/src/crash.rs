//! Crashing and pausing on purpose, for tests: compiled only with the feature `crash-points`.

use rustix::process::{Signal, getpid, kill_process};

use crate::journal::Record;

/// The variable that says after which record the process ends itself: its number, or its step's name.
const CRASH: &str = "STILLPOINT_CRASH_AFTER_STEP";
/// The variable that says after which record the process stops itself, until it is sent SIGCONT.
const PAUSE: &str = "STILLPOINT_PAUSE_AFTER_STEP";

/// Ends or stops this process if `record`, which is on disk, is the one that a variable names.
pub(crate) fn after(record: &Record) {
    if is_named(record, CRASH) {
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal is on its way; nothing more may happen here.
        loop {
            std::thread::park();
        }
    }
    if is_named(record, PAUSE) {
        let _ = kill_process(getpid(), Signal::STOP);
    }
}

fn is_named(record: &Record, variable: &str) -> bool {
    std::env::var(variable)
        .is_ok_and(|wanted| wanted == record.seq.to_string() || wanted == record.entry.name())
}
