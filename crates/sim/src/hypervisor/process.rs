//! One process's connection to a simulated machine.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stillpoint_virt::{CallError, CallErrorKind as Kind, DomainId};

use super::domain::{Guest, SimAgent};
use super::faults::{Call, Failure};
use super::{SimHost, World};

/// One process's connection. Clones are the same process.
#[derive(Debug, Clone)]
pub struct SimHypervisor {
    pub(super) host: SimHost,
    process: Arc<Process>,
}

#[derive(Debug, Default)]
struct Process {
    dead: AtomicBool,
    calls: AtomicU64,
    /// The call at which it dies, counted from 1; 0 for never.
    dies_at: AtomicU64,
    dies_after: AtomicBool,
    panics: AtomicBool,
}

/// How a process dies at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Before the call has its effect.
    Before,
    /// When the call has had its effect, before the answer.
    After,
}

/// What a process that dies by unwinding panics with.
#[derive(Debug, Clone, Copy)]
pub struct SimCrash;

impl SimHypervisor {
    pub(super) fn new(host: SimHost) -> Self {
        Self { host, process: Arc::default() }
    }

    /// Lets the process die at its `n`th call from now (from 1 on): that call and all later ones fail, and, from
    /// there on, have no effect.
    pub fn crash_at(&self, n: u64, crash: Crash) {
        let at = self.process.calls.load(Ordering::SeqCst) + n;
        self.process.dies_at.store(at, Ordering::SeqCst);
        self.process.dies_after.store(crash == Crash::After, Ordering::SeqCst);
    }

    /// Makes the death that [`crash_at`](Self::crash_at) sets a panic with [`SimCrash`], so that nothing after it
    /// runs but destructors.
    pub fn crash_by_unwinding(&self) {
        self.process.panics.store(true, Ordering::SeqCst);
    }

    /// Kills the process: none of its calls has any effect from here on.
    pub fn kill(&self) {
        self.process.dead.store(true, Ordering::SeqCst);
    }

    /// Whether the process is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.process.dead.load(Ordering::SeqCst)
    }

    /// How many calls it has made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.process.calls.load(Ordering::SeqCst)
    }

    pub(super) fn call<T>(
        &self,
        call: Call,
        name: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let gone = || CallError::new(name, None, Kind::Connection, "this process was killed");
        if self.is_dead() {
            return Err(gone());
        }
        let number = self.process.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let dies = self.process.dies_at.load(Ordering::SeqCst) == number;
        let dies_after = self.process.dies_after.load(Ordering::SeqCst);
        if dies && !dies_after {
            return Err(self.die(gone()));
        }
        let done = {
            let mut world = self.host.world();
            let injected =
                world.injections.iter_mut().find(|injection| injection.call == call && injection.left > 0);
            let failure = injected.map(|injection| {
                injection.left -= 1;
                injection.failure.clone()
            });
            match failure {
                Some(failure @ Failure::Refused(_)) => Err(failure.error(name)),
                Some(failure @ Failure::AnswerLost(_)) => {
                    effect(&mut world).and_then(|_| Err(failure.error(name)))
                }
                None => effect(&mut world),
            }
        };
        if dies {
            return Err(self.die(gone()));
        }
        done
    }

    fn die(&self, error: CallError) -> CallError {
        self.kill();
        if self.process.panics.load(Ordering::SeqCst) {
            panic::panic_any(SimCrash);
        }
        error
    }

    pub(super) fn on<T>(
        &self,
        call: Call,
        name: &'static str,
        domain: &DomainId,
        effect: impl FnOnce(&mut Guest) -> Result<T, (Kind, String)>,
    ) -> Result<T, CallError> {
        self.call(call, name, |world| {
            let error =
                |(kind, message): (Kind, String)| CallError::new(name, Some(&domain.name), kind, message);
            let guest = world.guest(domain).ok_or_else(|| {
                error((Kind::NoDomain, "Domain not found: no domain with that UUID".into()))
            })?;
            effect(guest).map_err(error)
        })
    }

    pub(super) fn agent(
        &self,
        call: Call,
        name: &'static str,
        domain: &DomainId,
        effect: impl FnOnce(&mut Guest, u32) -> u32,
    ) -> Result<u32, CallError> {
        self.on(call, name, domain, |guest| {
            active(guest)?;
            match guest.agent {
                SimAgent::Absent => {
                    Err((Kind::AgentUnavailable, "QEMU guest agent is not configured".into()))
                }
                SimAgent::Disconnected => {
                    Err((Kind::AgentUnavailable, "QEMU guest agent is not connected".into()))
                }
                SimAgent::Hangs => {
                    assert!(
                        guest.agent_timeout,
                        "the guest agent was called without a time-out: it hangs for ever"
                    );
                    Err((Kind::AgentTimeout, "guest agent command timed out".into()))
                }
                SimAgent::Answers { .. } if !guest.runs() => {
                    Err((Kind::AgentTimeout, "guest agent command timed out: the domain is paused".into()))
                }
                SimAgent::Answers { file_systems } => Ok(effect(guest, file_systems)),
            }
        })
    }
}

pub(super) fn active(guest: &Guest) -> Result<(), (Kind, String)> {
    let off = || (Kind::NotInState, "Requested operation is not valid: domain is not running".into());
    if guest.state.is_active() { Ok(()) } else { Err(off()) }
}
