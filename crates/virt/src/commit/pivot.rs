//! From ready to both XMLs on the base.

use std::thread;
use std::time::{Duration, Instant};

use super::{Committer, Pivoted};
use crate::domain::{Ready, rebase_definition};
use crate::pen::Pen;
use crate::view::Place;
use crate::{
    CallErrorKind, DomainId, DomainState, Error, Guard, Hypervisor, IntendedDisk, PauseReason, Release,
    StepKind, Which,
};

/// How much longer than the pivot's own deadline the guard waits.
const GUARD_MARGIN: Duration = Duration::from_secs(10);
/// How long a definition may lag behind the live XML before it is set right by us.
const DEFINITION_LAG: Duration = Duration::from_secs(2);
/// The pauses between two looks, while the guest stands still.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

impl Committer<'_> {
    /// Pivots a commit that is ready, and waits until both XMLs show the base.
    pub(super) fn pivot(&self, disk: &IntendedDisk, pen: &mut Pen<'_>) -> Result<Pivoted, Error> {
        let target = disk.target.clone();
        let instance = self.look(Instant::now() + self.options.pivot_deadline)?.instance();
        let suspended = if self.options.suspend_for_pivot { self.suspend(disk, pen)? } else { None };
        pen.record(StepKind::PivotRequested { target: target.clone(), instance })?;
        let begun = Instant::now();
        if let Err(error) = self.until_home(disk, begun + self.options.pivot_deadline) {
            // The guest goes on, on whichever file: that must be known to whoever finds an overlay later.
            if let Some(suspended) = suspended
                && suspended.resume().is_ok()
                && self.hypervisor.state(self.domain).is_ok_and(|state| state == DomainState::Running)
            {
                pen.record(StepKind::Resumed)?;
            }
            return Err(error);
        }
        let pivot = begun.elapsed();
        let lasted = suspended.map(Suspended::resume).transpose()?;
        pen.record(StepKind::PivotVerified { target })?;
        if lasted.is_some() {
            pen.record(StepKind::Resumed)?;
        }
        Ok(Pivoted { pivot, suspended: lasted })
    }

    fn until_home(&self, disk: &IntendedDisk, until: Instant) -> Result<(), Error> {
        let mut asked = false;
        let mut refused = None;
        let mut pause = POLL.0;
        let mut live_since: Option<Instant> = None;
        loop {
            if !asked {
                match self.hypervisor.pivot(self.domain, &disk.target) {
                    Ok(()) => asked = true,
                    Err(error) => {
                        tracing::debug!(domain = %self.domain, %error, "pivot refused");
                        refused = Some(error);
                    }
                }
            }
            let view = self.look(until)?;
            match view.place(disk) {
                Place::Home { defined: true } => return Ok(()),
                Place::Home { defined: false } => {
                    if live_since.get_or_insert_with(Instant::now).elapsed() >= DEFINITION_LAG {
                        self.redefine(disk)?;
                    }
                }
                Place::Moving(mirror) => match (mirror.ready, refused.take()) {
                    (Ready::Pivot | Ready::Abort, _) => asked = true,
                    // Asked, and the answer was an error that is not "not yet": it is the reason.
                    (_, Some(error)) if !error.is_retryable() && error.kind != CallErrorKind::NotInState => {
                        return Err(error.into());
                    }
                    _ => {}
                },
                Place::Away => {
                    return Err(Error::JobVanished {
                        domain: self.domain.name.clone(),
                        target: disk.target.clone(),
                        base: disk.base.clone(),
                    });
                }
                Place::Strange(what) => return Err(self.foreign(disk, what)),
            }
            if Instant::now() >= until {
                let what = "the pivot was not seen in both XMLs";
                return Err(self.late(disk, what, self.options.pivot_deadline));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(POLL.1);
        }
    }

    /// Makes sure that the definition names the base, of a disk whose guest is on it.
    pub(super) fn settle_definition(&self, disk: &IntendedDisk) -> Result<(), Error> {
        let until = Instant::now() + self.options.pivot_deadline;
        loop {
            let view = self.look(until)?;
            match view.place(disk) {
                Place::Home { defined: true } => return Ok(()),
                Place::Home { defined: false } if Instant::now() < until => self.redefine(disk)?,
                Place::Strange(what) => return Err(self.foreign(disk, what)),
                _ => {
                    return Err(self.late(
                        disk,
                        "the base was not seen in both XMLs",
                        self.options.pivot_deadline,
                    ));
                }
            }
        }
    }

    /// Defines the domain with this disk on its base.
    pub(crate) fn redefine(&self, disk: &IntendedDisk) -> Result<(), Error> {
        let secret = self.hypervisor.xml(self.domain, Which::InactiveWithSecrets)?;
        let xml = rebase_definition(&secret, &disk.target, &disk.base, &disk.base_format)?;
        Ok(self.hypervisor.define(&xml)?)
    }

    /// Stops the guest's CPUs, unless someone else has.
    fn suspend(&self, disk: &IntendedDisk, pen: &mut Pen<'_>) -> Result<Option<Suspended<'_>>, Error> {
        if self.hypervisor.state(self.domain)? != DomainState::Running {
            return Ok(None);
        }
        let deadline = self.options.pivot_deadline + GUARD_MARGIN;
        let guard = self.guard.arm(self.domain, &pen.intent.tag, Release::Resume, deadline)?;
        pen.record(StepKind::SuspendIntended { target: disk.target.clone() })?;
        let (hypervisor, domain) = (self.hypervisor, self.domain);
        let suspended = Suspended { hypervisor, domain, guard: Some(guard), since: Instant::now() };
        hypervisor.suspend(domain)?;
        Ok(Some(suspended))
    }
}

/// A guest whose CPUs we stopped. Dropping it lets them run.
struct Suspended<'a> {
    hypervisor: &'a dyn Hypervisor,
    domain: &'a DomainId,
    /// `None` once it was told to end.
    guard: Option<Box<dyn Guard>>,
    since: Instant,
}

impl Suspended<'_> {
    /// Lets the guest run, and tells how long it stood still.
    fn resume(mut self) -> Result<Duration, Error> {
        resume(self.hypervisor, self.domain)?;
        let lasted = self.since.elapsed();
        if let Some(guard) = self.guard.take() {
            guard.disarm();
        }
        Ok(lasted)
    }
}

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        if self.guard.is_some()
            && let Err(error) = resume(self.hypervisor, self.domain)
        {
            tracing::error!(domain = %self.domain, %error, "the guest could not be resumed; its guard goes on trying");
        }
    }
}

/// Lets the guest's CPUs run, if they stand still because someone asked for it.
pub(crate) fn resume(hypervisor: &dyn Hypervisor, domain: &DomainId) -> Result<(), Error> {
    let Err(error) = hypervisor.resume(domain) else { return Ok(()) };
    match hypervisor.state(domain)? {
        DomainState::Paused(PauseReason::User) => Err(error.into()),
        _ => Ok(()),
    }
}
