//! What a guard process does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Release;
use crate::{CallErrorKind, DomainId, DomainState, Error, Hypervisor, PauseReason};

/// How a guard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to end and did nothing. The process should exit 0.
    Disarmed,
    /// It undid what it guards. The process should exit other than 0, so that a parent that still lives learns
    /// of it.
    Acted,
    /// It tried for as long as it may and could not. The process should exit other than 0.
    GaveUp,
}

/// How a guard tries.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The pause between two tries.
    pub between: Duration,
    /// For how long it looks again when it found nothing to undo: a call that its parent had begun may take effect only
    /// then.
    pub settle: Duration,
    /// For how long it tries when it fails.
    pub give_up: Duration,
    /// How long one answer of the guest agent may take.
    pub agent: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            between: Duration::from_millis(250),
            settle: Duration::from_secs(5),
            give_up: Duration::from_secs(300),
            agent: Duration::from_secs(5),
        }
    }
}

/// The whole of a guard process: leaves its parent's session, goes deaf to SIGINT, SIGHUP and SIGTERM, says
/// `armed`, and [`watch`]es its stdin.
///
/// To be called first of all in a process of its own; the caller connects to the hypervisor before.
///
/// # Errors
/// When it can't stand up. Nothing is guarded then.
pub fn run(
    hypervisor: &dyn Hypervisor,
    domain: &DomainId,
    release: Release,
    deadline: Duration,
) -> Result<Outcome, Error> {
    let failed = |source: io::Error| Error::File { what: "set up", path: "guard process".into(), source };
    // Fails only for the leader of a process group, which no terminal's signals for another group reach.
    let _ = rustix::process::setsid();
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGPIPE,
    ] {
        // A flag that nobody reads: the signal's default effect, ending the process, is what it replaces.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).map_err(failed)?;
    }
    hypervisor.state(domain)?;
    let mut stdout = io::stdout();
    stdout.write_all(b"armed\n").and_then(|()| stdout.flush()).map_err(failed)?;
    Ok(watch(hypervisor, domain, release, io::stdin(), deadline, Timing::default()))
}

/// Waits for `disarm` on `input`, and acts when it ends without that or the deadline passes.
pub fn watch(
    hypervisor: &dyn Hypervisor,
    domain: &DomainId,
    release: Release,
    input: impl Read + Send + 'static,
    deadline: Duration,
    timing: Timing,
) -> Outcome {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        // Whatever else its parent writes is no reason to stop guarding; at most 64 bytes of it are read.
        let read = BufReader::new(input.take(64)).read_line(&mut line);
        let _ = send.send(read.is_ok() && line == "disarm\n");
    });
    match receive.recv_timeout(deadline) {
        Ok(true) => Outcome::Disarmed,
        Ok(false) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            act(hypervisor, domain, release, timing)
        }
    }
}

fn act(hypervisor: &dyn Hypervisor, domain: &DomainId, release: Release, timing: Timing) -> Outcome {
    let begun = Instant::now();
    let mut acted: Option<Instant> = None;
    let mut said = None;
    loop {
        match once(hypervisor, domain, release, timing) {
            // What was to be undone was there, and is undone: it can't come again.
            Ok(true) => return Outcome::Acted,
            // Nothing to undo. A call that the parent had begun may bring it yet.
            Ok(false) => {
                let since = *acted.get_or_insert_with(Instant::now);
                if since.elapsed() >= timing.settle {
                    return Outcome::Acted;
                }
            }
            Err(kind) => {
                if said.replace(kind) != Some(kind) {
                    tracing::warn!(%domain, %release, ?kind, "could not release the guest yet, trying on");
                }
                if kind == CallErrorKind::NoDomain {
                    return Outcome::Acted;
                }
                if begun.elapsed() >= timing.give_up {
                    return if acted.is_some() { Outcome::Acted } else { Outcome::GaveUp };
                }
            }
        }
        thread::sleep(timing.between);
    }
}

/// Undoes it once. `true` when there was something to undo.
fn once(
    hypervisor: &dyn Hypervisor,
    domain: &DomainId,
    release: Release,
    timing: Timing,
) -> Result<bool, CallErrorKind> {
    let state = hypervisor.state(domain).map_err(|error| error.kind)?;
    if !state.is_active() {
        return Ok(false);
    }
    match release {
        Release::Thaw => {
            // Its parent set one already; a failure here must not keep it from thawing.
            let _ = hypervisor.set_agent_timeout(domain, timing.agent);
            hypervisor.thaw(domain).map(|count| count > 0).map_err(|error| error.kind)
        }
        Release::Resume if state == DomainState::Paused(PauseReason::User) => {
            hypervisor.resume(domain).map(|()| true).map_err(|error| error.kind)
        }
        Release::Resume => Ok(false),
    }
}
