//! Runs programs where a person can watch, and keeps what they say in a file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::watchdog::Watchdog;

/// What a command says goes to stdout and into this file.
#[derive(Debug)]
pub(crate) struct Tee {
    log: File,
    path: PathBuf,
    limit: Duration,
    lane: Option<Lane>,
}

/// One of several that speak at once: its lines carry its name, and are written whole.
#[derive(Debug)]
struct Lane {
    name: String,
    /// What has no end of line yet.
    open: Vec<u8>,
}

/// How long a command may take unless it is said otherwise.
const LIMIT: Duration = Duration::from_secs(25 * 60);
const PAUSE: Duration = Duration::from_millis(200);

impl Tee {
    /// Begins an empty log at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
        }
        let log = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self { log, path: path.to_owned(), limit: LIMIT, lane: None })
    }

    /// Another that writes to the same places at the same time, each line of it after `name`.
    pub(crate) fn lane(&self, name: &str) -> Result<Self> {
        let log = self.log.try_clone().context("can't write the log twice")?;
        let lane = Lane { name: name.to_owned(), open: Vec::new() };
        Ok(Self { log, path: self.path.clone(), limit: self.limit, lane: Some(lane) })
    }

    /// The log.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How long each command may take from here on.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// A line of our own.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        self.pass(format!("{line}\n").as_bytes())
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.lane {
            None => self.write(bytes),
            Some(lane) => {
                let lines = lane.lines(bytes);
                self.write(&lines)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.log.write_all(bytes).context("can't write the log")?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).context("can't write to stdout")
    }

    /// Runs `command` to its end, without input. Past the limit it is ended, with all that it started.
    pub(crate) fn status(&mut self, command: &mut Command) -> Result<ExitStatus> {
        self.say(&format!("$ {}", line_of(command)))?;
        let (mut from, into) = io::pipe().context("no pipe")?;
        command.stdin(Stdio::null()).stdout(into.try_clone()?).stderr(into);
        let mut child = command
            .spawn()
            .with_context(|| format!("{} can't be started", command.get_program().to_string_lossy()))?;
        let watchdog = Watchdog::over(child.id(), self.limit);
        // The command holds the writing ends; without this the reading below would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (chunks, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buf = [0; 8192];
            while let Ok(n) = from.read(&mut buf) {
                if n == 0 || chunks.send(buf[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut ended = None;
        let status = loop {
            match said.recv_timeout(PAUSE) {
                Ok(chunk) => self.pass(&chunk)?,
                Err(RecvTimeoutError::Disconnected) => {
                    break child.wait().context("can't wait for the command")?;
                }
                Err(RecvTimeoutError::Timeout) => match ended {
                    // What it started may outlive it and hold the pipe: a guard of a guest does so on purpose.
                    Some(status) => break status,
                    None => ended = child.try_wait().context("can't wait for the command")?,
                },
            }
        };
        if watchdog.bit() {
            bail!(
                "`{}` took longer than {} minutes and was ended",
                line_of(command),
                self.limit.as_secs() / 60
            );
        }
        Ok(status)
    }

    /// Runs `command`; anything but success is an error.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        let status = self.status(command)?;
        if !status.success() {
            bail!("`{}`: {status}", line_of(command));
        }
        Ok(())
    }
}

impl Lane {
    /// The lines that `bytes` end, each after the lane's name.
    fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.open.extend_from_slice(bytes);
        let Some(last) = self.open.iter().rposition(|&byte| byte == b'\n') else { return Vec::new() };
        let rest = self.open.split_off(last + 1);
        let whole = std::mem::replace(&mut self.open, rest);
        let name = lane_prefix(&self.name);
        whole
            .split_inclusive(|&byte| byte == b'\n')
            .flat_map(|line| [name.as_bytes(), line].concat())
            .collect()
    }
}

/// What each line of the lane `name` begins with.
pub(crate) fn lane_prefix(name: &str) -> String {
    format!("{name:<10} | ")
}

/// The command as one could type it (for people; not quoted for a shell).
fn line_of(command: &Command) -> String {
    let mut words = vec![base_name(command)];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn base_name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tee() -> (tempfile::TempDir, Tee) {
        let dir = tempfile::tempdir().expect("a directory");
        let tee = Tee::create(&dir.path().join("log")).expect("a log");
        (dir, tee)
    }

    #[test]
    fn what_a_command_says_is_kept_in_order_with_how_it_ended() {
        let (dir, mut tee) = tee();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!(tee.status(&mut command).expect("it ran").code(), Some(3));
        assert!(tee.run(&mut command).is_err());
        let log = std::fs::read_to_string(dir.path().join("log")).expect("the log");
        assert!(log.starts_with("$ sh -c echo out; echo err >&2; exit 3\nout\nerr\n"), "{log}");
    }

    #[test]
    fn lanes_that_speak_at_once_keep_their_lines_whole() {
        let (dir, tee) = tee();
        std::thread::scope(|scope| {
            for name in ["one", "two"] {
                let mut lane = tee.lane(name).expect("a lane");
                scope.spawn(move || {
                    let script = format!("for i in $(seq 50); do printf {name}; printf \" $i\\n\"; done");
                    lane.run(Command::new("sh").args(["-c", &script])).expect("it ran");
                });
            }
        });
        let log = std::fs::read_to_string(dir.path().join("log")).expect("the log");
        for name in ["one", "two"] {
            let said: Vec<&str> = log
                .lines()
                .filter_map(|line| line.strip_prefix(&format!("{}{name} ", lane_prefix(name))))
                .collect();
            assert_eq!(said, (1..=50).map(|i| i.to_string()).collect::<Vec<_>>(), "{log}");
        }
    }

    #[test]
    fn a_child_that_outlives_its_command_does_not_hold_us() {
        let (_dir, mut tee) = tee();
        // It ends by itself; nothing waits for it.
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 20 & echo done"]);
        let began = std::time::Instant::now();
        assert!(tee.status(&mut command).expect("it ran").success());
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
