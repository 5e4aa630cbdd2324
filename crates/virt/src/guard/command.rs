//! Guards that are processes.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Guard, GuardError, GuardSpawner, Release};
use crate::{DomainId, Tag};

/// How long a guard may take to stand up, connecting to the hypervisor included.
const TO_STAND: Duration = Duration::from_secs(20);
/// How long a guard that was told to end may take: it may be in the middle of acting.
const TO_END: Duration = Duration::from_secs(10);

type MakeCommand = dyn Fn(&DomainId, &Tag, Release, Duration) -> Command + Send + Sync;

/// Starts the command that a closure makes, which is to end up in [`guard::run`](super::run).
pub struct CommandGuard {
    make: Box<MakeCommand>,
}

impl CommandGuard {
    /// Guards made by this closure from the domain, the still point, what to undo, and the deadline. Stdin and
    /// stdout are set here.
    pub fn new(make: impl Fn(&DomainId, &Tag, Release, Duration) -> Command + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make) }
    }
}

impl fmt::Debug for CommandGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandGuard").finish_non_exhaustive()
    }
}

impl GuardSpawner for CommandGuard {
    fn arm(
        &self,
        domain: &DomainId,
        tag: &Tag,
        release: Release,
        deadline: Duration,
    ) -> Result<Box<dyn Guard>, GuardError> {
        let failed = |why: String| GuardError { domain: domain.name.clone(), release, why };
        let mut command = (self.make)(domain, tag, release, deadline);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("can't start {:?}: {error}", command.get_program())))?;
        let stdout = child.stdout.take();
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // A guard's line is short; more than that is not a guard.
            let read = stdout.map(|out| {
                let mut out = BufReader::new(std::io::Read::take(out, 64));
                out.read_line(&mut line)
            });
            let _ = send.send(matches!(read, Some(Ok(_))) && line == "armed\n");
        });
        match receive.recv_timeout(TO_STAND) {
            Ok(true) => Ok(Box::new(Process { child })),
            told => {
                // It has not stood up, so the guest is untouched and it may be ended hard.
                let _ = child.kill();
                let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(failed(match told {
                    Ok(_) => format!("it ended ({status}) before it was armed"),
                    Err(_) => format!("it was not armed within {TO_STAND:?}"),
                }))
            }
        }
    }
}

/// Closing its stdin, which dropping does, makes it act.
#[derive(Debug)]
struct Process {
    child: Child,
}

impl Guard for Process {
    fn disarm(mut self: Box<Self>) -> bool {
        let told = self.child.stdin.take().is_some_and(|mut stdin| stdin.write_all(b"disarm\n").is_ok());
        let until = Instant::now() + TO_END;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return told && status.success(),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                _ => return false,
            }
        }
    }
}
