//! Programs run, and processes found by the network namespace they live in.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{IoContext, LabError, Result};
use crate::state::ProcessId;

/// The time that an ordinary command gets.
pub(crate) const ORDINARY: Duration = Duration::from_secs(120);

/// How much of a program's output an error carries, in bytes.
const ERROR_OUTPUT: usize = 2000;

/// Says what the lab is doing.
pub(crate) fn progress(instance: &str, text: &str) {
    eprintln!("lab {instance}: {text}");
}

/// What a program printed.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The longest word of a command line that is shown whole, in characters.
const LONGEST_WORD: usize = 200;

/// A command line for people: long words, such as scripts, are cut.
pub(crate) fn describe(command: &Command) -> String {
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy();
        let mut shown: String = word.chars().take(LONGEST_WORD).collect();
        if shown.len() < word.len() {
            shown.push('…');
        }
        if shown.is_empty() || shown.contains([' ', '\n', '"', '\'']) { format!("{shown:?}") } else { shown }
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect::<Vec<_>>().join(" ")
}

fn tail(stdout: &str, stderr: &str) -> String {
    let both = match (stderr.trim(), stdout.trim()) {
        ("", "") => "it printed nothing".to_owned(),
        ("", out) => out.to_owned(),
        (err, "") => err.to_owned(),
        (err, out) => format!("{err} | {out}"),
    };
    let cut = both.len().saturating_sub(ERROR_OUTPUT);
    let cut = (cut..=both.len()).find(|&at| both.is_char_boundary(at)).unwrap_or(0);
    both.get(cut..).unwrap_or_default().to_owned()
}

fn read_back(mut file: File) -> String {
    let mut bytes = Vec::new();
    // A scratch file of our own; if it cannot be read there is no output to show.
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a program to its end, whatever its status, or kills it at the limit.
///
/// Its output goes to scratch files, not pipes: a daemon it leaves behind cannot keep us waiting for their end.
pub(crate) fn run_any(command: &mut Command, limit: Duration) -> Result<(std::process::ExitStatus, Output)> {
    let scratch = || tempfile::tempfile().io("create", "a scratch file in the temporary directory");
    let copy = |file: &File| file.try_clone().io("duplicate", "a scratch file");
    let (stdout, stderr) = (scratch()?, scratch()?);
    command.stdin(Stdio::null()).stdout(copy(&stdout)?).stderr(copy(&stderr)?);
    let mut child =
        command.spawn().map_err(|source| LabError::Spawn { command: describe(command), source })?;
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    let status = loop {
        if let Some(status) = child.try_wait().io("wait for", describe(command))? {
            break status;
        }
        if begun.elapsed() >= limit {
            let _ = child.kill();
            let _ = child.wait();
            return Err(LabError::CommandTimeout {
                command: describe(command),
                limit,
                output: tail(&read_back(stdout), &read_back(stderr)),
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    Ok((status, Output { stdout: read_back(stdout), stderr: read_back(stderr) }))
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let (status, output) = run_any(command, limit)?;
    if status.success() {
        Ok(output)
    } else {
        Err(LabError::Command {
            command: describe(command),
            status: status.to_string(),
            output: tail(&output.stdout, &output.stderr),
        })
    }
}

/// Runs a program of the host that must succeed, within the ordinary time. It dies with us: what a killed `up` had
/// begun must not go on behind the back of `down`, which finds only the sites' processes.
pub(crate) fn host<I, S>(program: &str, arguments: I) -> Result<Output>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]).args(arguments);
    run(command.env("PATH", crate::site::PATH).env("LC_ALL", "C"), ORDINARY)
}

/// Polls until `check` gives a value. It says in words what it sees meanwhile.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    every: Duration,
    mut check: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = match check()? {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if begun.elapsed() >= limit {
            return Err(LabError::Timeout { what: what.to_owned(), limit, last });
        }
        thread::sleep(every);
    }
}

/// A namespace by the device and inode of its file (namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Namespace {
    device: u64,
    inode: u64,
}

impl Namespace {
    /// The namespace that a file under `/proc/PID/ns` or `/run/netns` stands for; `None` if there is no such file.
    pub(crate) fn of(path: impl AsRef<Path>) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The ids of all processes that this one can see.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes of this machine that live in one of the given network namespaces.
pub(crate) fn living_in(networks: &[Namespace]) -> Vec<u32> {
    let inside = |pid: &u32| {
        Namespace::of(format!("/proc/{pid}/ns/net")).is_some_and(|network| networks.contains(&network))
    };
    all().filter(inside).collect()
}

/// Processes in whose mount namespace something of a directory is mounted, or a device of it.
pub(crate) fn mounting(what: &str) -> Vec<u32> {
    let sees = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).is_ok_and(|text| text.contains(what))
    };
    all().filter(sees).collect()
}

/// The name and state letter of a process; `None` if it is gone or a zombie.
pub(crate) fn alive(pid: u32) -> Option<ProcessId> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let rest = text.rsplit_once(')')?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let state = fields.first()?;
    if matches!(*state, "Z" | "X" | "x") {
        return None;
    }
    // Field 22 of the line; `rest` begins with field 3.
    Some(ProcessId { pid, start: fields.get(19)?.parse().ok()? })
}

/// Sends a signal if the process still is what `is_ours` says, without a race against reuse of its id.
pub(crate) fn signal_if(pid: u32, signal: Signal, is_ours: impl FnOnce() -> bool) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(handle) = pidfd_open(raw, PidfdFlags::empty()) else { return false };
    is_ours() && pidfd_send_signal(handle, signal).is_ok()
}

/// Ends every process in the given network namespaces; returns how many it met.
pub(crate) fn end_all_in(networks: &[Namespace], limit: Duration) -> Result<usize> {
    let mut met = std::collections::BTreeSet::new();
    wait_for("the sites' processes to end", limit, Duration::from_millis(50), || {
        let found = living_in(networks);
        for &pid in &found {
            met.insert(pid);
            signal_if(pid, Signal::KILL, || {
                Namespace::of(format!("/proc/{pid}/ns/net"))
                    .is_some_and(|network| networks.contains(&network))
            });
        }
        Ok(if found.is_empty() { Ok(()) } else { Err(format!("process ids {found:?}")) })
    })?;
    Ok(met.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_told_by_its_command_line_and_its_words() {
        let error = run(Command::new("sh").args(["-c", "echo oh no >&2; exit 3"]), ORDINARY).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("oh no") && text.contains("exit 3") && text.contains("status: 3"), "{text}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_at_its_limit() {
        let error = run(Command::new("sleep").arg("1000"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, LabError::CommandTimeout { .. }), "{error}");
        assert!(error.is_retryable());
    }

    #[test]
    fn a_daemon_left_behind_does_not_keep_us_waiting() {
        let output = run(Command::new("sh").args(["-c", "sleep 5 & echo started"]), ORDINARY).unwrap();
        assert_eq!(output.stdout.trim(), "started");
    }

    #[test]
    fn our_own_process_is_alive_and_in_our_network() {
        let me = std::process::id();
        assert_eq!(alive(me).map(|process| process.pid), Some(me));
        let network = Namespace::of("/proc/self/ns/net").unwrap();
        assert!(living_in(&[network]).contains(&me));
    }

    #[test]
    fn a_process_that_is_not_ours_is_not_signalled() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(!signal_if(child.id(), Signal::KILL, || false));
        assert!(alive(child.id()).is_some());
        assert!(signal_if(child.id(), Signal::KILL, || true));
        child.wait().unwrap();
    }
}
