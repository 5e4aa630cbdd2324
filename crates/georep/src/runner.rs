//! Running the `gluster` command: here, behind a prefix (`ssh host`, `nsenter …`), or simulated.

use std::fmt::Debug;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Most that is kept of a command's standard output, and of its standard error: 16 MiB each. The rest is read and
/// dropped, and the answer is marked as [`truncated`](Output::truncated).
pub const MAX_OUTPUT: usize = 16 << 20;

/// The variable in a command's environment that tells the process that runs it. A command outlives a process that is
/// killed: by this it is found.
pub const PARENT: &str = "STILLPOINT_PARENT";

/// How long a command may take, and what stops it earlier.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// After this the command is killed.
    pub timeout: Duration,
    /// When this becomes true, the command is killed.
    pub cancel: Option<&'a AtomicBool>,
}

impl Limit<'static> {
    /// A limit by time alone.
    #[must_use]
    pub fn time(timeout: Duration) -> Self {
        Self { timeout, cancel: None }
    }
}

impl Limit<'_> {
    /// Whether the caller has cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(|c| c.load(Ordering::Relaxed))
    }
}

/// What a command answered.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Output {
    /// Its exit code; `None` when a signal ended it. Gluster's is no evidence of anything: a failed operation can
    /// exit 0 with `--xml`.
    pub code: Option<i32>,
    /// Standard output, at most [`MAX_OUTPUT`] bytes.
    pub stdout: Vec<u8>,
    /// Standard error, at most [`MAX_OUTPUT`] bytes.
    pub stderr: Vec<u8>,
    /// Whether more came than was kept.
    pub truncated: bool,
}

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It could not be started.
    #[error("can't run {program:?}: {source}; is it installed, and in PATH where it is run?")]
    Spawn {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It did not answer in time and was killed.
    #[error("{command:?} gave no answer within {} s and was killed", timeout.as_secs())]
    TimedOut {
        /// The command line.
        command: String,
        /// The time it had.
        timeout: Duration,
    },
    /// The caller cancelled; it was killed.
    #[error("cancelled while {command:?} was running")]
    Cancelled {
        /// The command line.
        command: String,
    },
    /// Its output could not be read or its end not be awaited.
    #[error("lost track of {command:?}: {source}")]
    Io {
        /// The command line.
        command: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What runs commands at the primary site, where the `gluster` command reaches the primary's glusterd.
pub trait Runner: Send + Sync + Debug {
    /// Runs `argv` to its end, at the latest to `limit`, and gives what it said, whatever its exit code.
    ///
    /// # Errors
    /// [`RunError`] when it could not be run to its end.
    fn run(&self, argv: &[&str], limit: &Limit<'_>) -> Result<Output, RunError>;
}

/// Runs commands as children of this process, with an optional prefix such as `ssh root@siteA` or
/// `nsenter -t PID -n -m -u`.
///
/// `ssh` hands its words to a shell: with it in the prefix, use [`through_shell`](LocalRunner::through_shell).
#[derive(Clone, Debug, Default)]
pub struct LocalRunner {
    prefix: Vec<String>,
    shell: bool,
}

impl LocalRunner {
    /// Runs commands as they are.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `prefix` in front of every command.
    #[must_use]
    pub fn with_prefix(prefix: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { prefix: prefix.into_iter().map(Into::into).collect(), shell: false }
    }

    /// Quotes each word of a command for a POSIX shell, which is what `ssh` at the end of the prefix needs.
    #[must_use]
    pub fn through_shell(mut self) -> Self {
        self.shell = true;
        self
    }

    fn words(&self, argv: &[&str]) -> Vec<String> {
        let quote = |w: &&str| if self.shell { shell_quote(w) } else { (*w).to_owned() };
        self.prefix.iter().cloned().chain(argv.iter().map(quote)).collect()
    }
}

fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Runner for LocalRunner {
    fn run(&self, argv: &[&str], limit: &Limit<'_>) -> Result<Output, RunError> {
        let words = self.words(argv);
        let command = words.join(" ");
        let Some((program, arguments)) = words.split_first() else {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "an empty command");
            return Err(RunError::Spawn { program: String::new(), source });
        };
        if limit.is_cancelled() {
            return Err(RunError::Cancelled { command });
        }
        tracing::debug!(%command, "run");
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .env(PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a prefix's children end with it and a terminal's SIGINT passes it by.
            .process_group(0)
            .spawn()
            .map_err(|source| RunError::Spawn { program: program.clone(), source })?;
        let pid = child.id();
        let out = child.stdout.take().map(drain);
        let err = child.stderr.take().map(drain);

        let mut pause = Duration::from_millis(2);
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(source) => break Err(RunError::Io { command: command.clone(), source }),
            }
            if limit.is_cancelled() {
                break Err(RunError::Cancelled { command: command.clone() });
            }
            if started.elapsed() >= limit.timeout {
                break Err(RunError::TimedOut { command: command.clone(), timeout: limit.timeout });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        };
        let status = match ended {
            Ok(status) => status,
            Err(error) => {
                kill_group(pid);
                // A child that can't be killed (stuck in the kernel) must not hang us: it is reaped aside.
                thread::spawn(move || child.wait());
                return Err(error);
            }
        };
        // The child is gone; whoever inherited its pipes gets a moment and is then left alone.
        let (stdout, out_cut) = collect(out);
        let (stderr, err_cut) = collect(err);
        Ok(Output { code: status.code(), stdout, stderr, truncated: out_cut || err_cut })
    }
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // The group may be gone already.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

type Drained = mpsc::Receiver<(Vec<u8>, bool)>;

fn drain(mut pipe: impl Read + Send + 'static) -> Drained {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut cut = false;
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            let room = MAX_OUTPUT.saturating_sub(kept.len());
            cut |= n > room;
            kept.extend_from_slice(buffer.get(..n.min(room)).unwrap_or_default());
        }
        let _ = send.send((kept, cut));
    });
    receive
}

fn collect(drained: Option<Drained>) -> (Vec<u8>, bool) {
    drained.and_then(|d| d.recv_timeout(Duration::from_secs(2)).ok()).unwrap_or((Vec::new(), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: &Limit<'_>) -> Result<Output, RunError> {
        LocalRunner::with_prefix(["sh", "-c"]).run(&[script], limit)
    }

    #[test]
    fn output_and_code_come_back_whatever_the_code() {
        let answer = sh("echo out; echo err >&2; exit 3", &Limit::time(Duration::from_secs(20))).unwrap();
        assert_eq!(answer.code, Some(3));
        assert_eq!((answer.stdout.as_slice(), answer.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert!(!answer.truncated);
    }

    #[test]
    fn a_hung_command_and_its_children_are_killed_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let error = sh(&script, &Limit::time(Duration::from_millis(500))).unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let gone = (0..200).any(|_| {
            thread::sleep(Duration::from_millis(10));
            // A zombie waiting for init to reap it is dead enough.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            stat.map_or(true, |s| s.contains(") Z"))
        });
        assert!(gone, "the grandchild lives on");
    }

    #[test]
    fn cancelling_ends_a_command() {
        let cancel = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                cancel.store(true, Ordering::Relaxed);
            });
            let limit = Limit { timeout: Duration::from_secs(60), cancel: Some(&cancel) };
            assert!(matches!(sh("sleep 50", &limit), Err(RunError::Cancelled { .. })));
        });
    }

    #[test]
    fn output_is_bounded() {
        let answer = sh("head -c 20000000 /dev/zero", &Limit::time(Duration::from_secs(60))).unwrap();
        assert!(answer.truncated);
        assert_eq!(answer.stdout.len(), MAX_OUTPUT);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error =
            LocalRunner::new().run(&["no-such-gluster"], &Limit::time(Duration::from_secs(1))).unwrap_err();
        assert!(error.to_string().contains("no-such-gluster"));
    }

    #[test]
    fn words_for_a_shell_are_quoted() {
        let runner = LocalRunner::with_prefix(["ssh", "siteA"]).through_shell();
        assert_eq!(
            runner.words(&["gluster", "--mode=script", "!checkpoint", "it's"]),
            ["ssh", "siteA", "gluster", "--mode=script", "'!checkpoint'", r"'it'\''s'"]
        );
    }
}
