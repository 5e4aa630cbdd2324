//! Frozen, for as short as can be, and thawed whatever happens.

use std::time::{Duration, Instant};

use super::{Quiesce, TakeOptions};
use crate::domain::AgentChannel;
use crate::pen::Pen;
use crate::{
    CallErrorKind, DomainId, DomainState, Error, Guard, GuardSpawner, Hypervisor, Release, StepKind,
};

/// How often a thaw that fails is tried again before it is left to the guard.
const THAW_TRIES: u32 = 3;

pub(super) struct Freezing<'a> {
    pub(super) hypervisor: &'a dyn Hypervisor,
    pub(super) domain: &'a DomainId,
    pub(super) options: &'a TakeOptions,
    pub(super) guard: &'a dyn GuardSpawner,
}

/// A frozen guest. Dropping it thaws.
pub(super) struct Frozen<'a> {
    hypervisor: &'a dyn Hypervisor,
    domain: &'a DomainId,
    /// `None` once it was told to end.
    guard: Option<Box<dyn Guard>>,
    since: Instant,
    count: u32,
    thawed: bool,
}

pub(super) struct Thawed {
    /// How long the guest was frozen.
    pub(super) lasted: Duration,
    /// How many file systems were frozen throughout, or why that can't be said.
    pub(super) held: Result<u32, String>,
}

impl<'a> Freezing<'a> {
    /// Freezes the guest. The inner error tells why it is not frozen.
    pub(super) fn freeze(
        &self,
        agent: AgentChannel,
        pen: &mut Pen<'_>,
    ) -> Result<Result<Frozen<'a>, String>, Error> {
        if let Err(why) = self.possible(agent)? {
            return Ok(Err(why));
        }
        let deadline = self.options.freeze_deadline;
        let guard = match self.guard.arm(self.domain, &pen.intent.tag, Release::Thaw, deadline) {
            Ok(guard) => guard,
            Err(error) => return Ok(Err(error.to_string())),
        };
        // From here on every early return drops the guard, which then thaws.
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        pen.record(StepKind::FreezeIntended { deadline_ms })?;
        if let Err(error) = self.hypervisor.set_agent_timeout(self.domain, self.options.agent_timeout) {
            guard.disarm();
            pen.record(StepKind::Thawed { file_systems: None })?;
            return Ok(Err(format!("no time-out could be set for its guest agent: {error}")));
        }
        let since = Instant::now();
        let (hypervisor, domain) = (self.hypervisor, self.domain);
        let mut frozen = Frozen { hypervisor, domain, guard: Some(guard), since, count: 0, thawed: false };
        match hypervisor.freeze(domain) {
            Ok(0) => {
                frozen.release(pen)?;
                Ok(Err("its guest agent froze no file system at all".into()))
            }
            Ok(count) => {
                frozen.count = count;
                pen.record(StepKind::Frozen { file_systems: count })?;
                Ok(Ok(frozen))
            }
            Err(error) => {
                if matches!(error.kind, CallErrorKind::AgentUnavailable | CallErrorKind::AgentFailed) {
                    frozen.release(pen)?;
                } else {
                    // The agent may freeze later, when it wakes: the guard, dropped, keeps thawing.
                    drop(frozen);
                    pen.record(StepKind::Thawed { file_systems: None })?;
                }
                Ok(Err(error.to_string()))
            }
        }
    }

    fn possible(&self, agent: AgentChannel) -> Result<Result<(), String>, Error> {
        let why = match agent {
            _ if self.options.quiesce == Quiesce::Never => "the policy is to leave its file systems alone",
            AgentChannel::Absent => "it has no channel for a guest agent",
            AgentChannel::Disconnected => "no guest agent is connected to its channel",
            AgentChannel::Connected | AgentChannel::Unknown => match self.hypervisor.state(self.domain)? {
                DomainState::Running => return Ok(Ok(())),
                _ => "it is paused, so its guest agent can't answer",
            },
        };
        Ok(Err(why.to_owned()))
    }
}

impl Frozen<'_> {
    /// Thaws, and tells whether the guest was frozen all the time.
    pub(super) fn thaw(mut self, pen: &mut Pen<'_>) -> Result<Thawed, Error> {
        let mut answer = self.hypervisor.thaw(self.domain);
        let lasted = self.since.elapsed();
        for _ in 1..THAW_TRIES {
            if answer.is_ok() {
                break;
            }
            answer = self.hypervisor.thaw(self.domain);
        }
        self.thawed = true;
        let held = match answer {
            Err(error) => {
                // The guard, dropped with this, goes on trying; the journal keeps saying that it may be frozen.
                return Ok(Thawed { lasted, held: Err(format!("thawing it failed: {error}")) });
            }
            Ok(count) => {
                let undisturbed = self.guard.take().is_none_or(Guard::disarm);
                pen.record(StepKind::Thawed { file_systems: Some(count) })?;
                if !undisturbed {
                    Err("its guard thawed it before the snapshot was known to be made".to_owned())
                } else if count < self.count {
                    Err(format!(
                        "of {} frozen file systems only {count} were still frozen at the thaw",
                        self.count
                    ))
                } else {
                    Ok(self.count)
                }
            }
        };
        Ok(Thawed { lasted, held })
    }

    /// Thaws what a failed freeze may have left.
    fn release(mut self, pen: &mut Pen<'_>) -> Result<(), Error> {
        if self.hypervisor.thaw(self.domain).is_ok() || self.count == 0 {
            self.thawed = true;
            if let Some(guard) = self.guard.take() {
                guard.disarm();
            }
            pen.record(StepKind::Thawed { file_systems: None })?;
        }
        Ok(())
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.thawed
            && let Err(error) = self.hypervisor.thaw(self.domain)
        {
            tracing::error!(domain = %self.domain, %error, "the guest could not be thawed; its guard goes on trying");
        }
    }
}
