//! One overlay's way home.

mod pivot;

pub(crate) use pivot::resume;

use std::thread;
use std::time::{Duration, Instant};

use crate::domain::Ready;
use crate::pen::Pen;
use crate::view::{Place, View};
use crate::{
    CommitPhase, CommitProgress, CommitSpec, DiskUndone, DomainId, DomainState, Error, GuardSpawner,
    Hypervisor, IntendedDisk, PauseReason, Progressed, StepKind, UndoOptions, files,
};

/// What all steps of one domain's commits need.
pub(crate) struct Committer<'a> {
    pub(crate) hypervisor: &'a dyn Hypervisor,
    pub(crate) domain: &'a DomainId,
    pub(crate) options: &'a UndoOptions,
    pub(crate) guard: &'a dyn GuardSpawner,
}

/// How long a pivot took, and how long the guest stood still for it.
#[derive(Default)]
struct Pivoted {
    pivot: Duration,
    suspended: Option<Duration>,
}

impl Committer<'_> {
    /// Commits the disk's overlay, or attaches to its commit, and removes it once both XMLs show the base.
    pub(crate) fn bring_home(
        &self,
        disk: &IntendedDisk,
        pen: &mut Pen<'_>,
        progress: &mut dyn FnMut(CommitProgress),
    ) -> Result<DiskUndone, Error> {
        let begun = Instant::now();
        let home = self.until_ready(disk, pen, progress)?;
        let asked =
            pen.intent.disk(&disk.target).map(|disk| disk.progressed) >= Some(Progressed::PivotRequested);
        if home && !asked {
            // Whatever brought it there, we don't know that the overlay's data came with it.
            let what = "it is on its base, though no pivot was asked for by us".into();
            return Err(self.foreign(disk, what));
        }
        let commit = begun.elapsed();
        let pivoted = if home { Pivoted::default() } else { self.pivot(disk, pen)? };
        self.settle_definition(disk)?;
        self.report(disk, CommitPhase::Pivoted, progress);
        let overlay_bytes = files::allocated(&disk.overlay);
        self.remove_overlay(disk, pen)?;
        self.report(disk, CommitPhase::Removed, progress);
        Ok(DiskUndone {
            target: disk.target.clone(),
            commit,
            pivot: pivoted.pivot,
            suspended: pivoted.suspended,
            overlay_bytes,
        })
    }

    /// Starts the commit where none runs, and waits until it is ready. `true` when the disk is home already.
    fn until_ready(
        &self,
        disk: &IntendedDisk,
        pen: &mut Pen<'_>,
        progress: &mut dyn FnMut(CommitProgress),
    ) -> Result<bool, Error> {
        let until = Instant::now() + self.options.deadline;
        let mut started = false;
        loop {
            let view = self.look(until)?;
            match view.place(disk) {
                Place::Home { .. } => return Ok(true),
                Place::Strange(what) => return Err(self.foreign(disk, what)),
                Place::Away if started => {
                    return Err(Error::JobVanished {
                        domain: self.domain.name.clone(),
                        target: disk.target.clone(),
                        base: disk.base.clone(),
                    });
                }
                Place::Away => {
                    started = self.start(disk, pen, until)?;
                    continue;
                }
                place if place.is_ready() => {
                    pen.record(StepKind::CommitReady { target: disk.target.clone() })?;
                    self.report(disk, CommitPhase::Ready, progress);
                    return Ok(false);
                }
                Place::Moving(mirror) => {
                    // A job that ends by itself just now, with or without effect, shows as one or the other soon.
                    started = mirror.ready == Ready::No;
                    self.report(disk, CommitPhase::Copying, progress);
                }
            }
            if Instant::now() >= until {
                return Err(self.late(disk, "the commit did not become ready", self.options.deadline));
            }
            thread::sleep(self.options.poll);
        }
    }

    /// Starts the commit. `false` when it could not be started yet and may be tried again.
    fn start(&self, disk: &IntendedDisk, pen: &mut Pen<'_>, until: Instant) -> Result<bool, Error> {
        let target = disk.target.clone();
        pen.record(StepKind::CommitIntended { target: target.clone() })?;
        let spec = CommitSpec {
            target,
            base: disk.base.clone(),
            top: disk.overlay.clone(),
            bandwidth: self.options.bandwidth,
        };
        let Err(error) = self.hypervisor.commit(self.domain, &spec) else { return Ok(true) };
        match self.look(until)?.place(disk) {
            Place::Moving(_) => Ok(true),
            _ if error.is_retryable() && Instant::now() < until => {
                tracing::warn!(domain = %self.domain, %error, "the commit could not be started yet");
                thread::sleep(self.options.poll.max(Duration::from_millis(100)));
                Ok(false)
            }
            _ => Err(error.into()),
        }
    }

    /// Removes a stale overlay: the base to stable storage, the overlay renamed, then deleted.
    pub(crate) fn remove_overlay(&self, disk: &IntendedDisk, pen: &mut Pen<'_>) -> Result<(), Error> {
        let target = disk.target.clone();
        let quarantine = files::quarantine(disk);
        files::sync(&disk.base)?;
        pen.record(StepKind::OverlayRemovalIntended {
            target: target.clone(),
            overlay: disk.overlay.clone(),
            quarantine: quarantine.clone(),
        })?;
        if files::exists(&disk.overlay)? {
            files::rename(&disk.overlay, &quarantine)?;
        }
        if files::exists(&quarantine)? {
            files::remove(&quarantine, &disk.overlay, &pen.intent.tag)?;
        }
        pen.record(StepKind::OverlayRemoved { target })?;
        Ok(())
    }

    /// Lets a guest go on that an I/O error paused, such as an overlay that could not grow: its disks are home, and QEMU
    /// tries the request again there. Where the error was another, it pauses again.
    pub(crate) fn let_go_on(&self) {
        let paused = self.hypervisor.state(self.domain);
        if paused.is_ok_and(|state| state == DomainState::Paused(PauseReason::IoError)) {
            let resumed = self.hypervisor.resume(self.domain);
            tracing::warn!(domain = %self.domain, ?resumed, "an I/O error had paused the guest; its overlays are gone, so it is let go on");
        }
    }

    /// Both XMLs of the domain, which must run.
    fn look(&self, until: Instant) -> Result<View, Error> {
        let view = View::read_patiently(self.hypervisor, self.domain, until)?;
        if view.live.id.is_some() {
            return Ok(view);
        }
        let remedy = "start it and run recover; do not delete the overlays".into();
        Err(Error::NotRunning { domain: self.domain.name.clone(), remedy })
    }

    fn report(&self, disk: &IntendedDisk, phase: CommitPhase, progress: &mut dyn FnMut(CommitProgress)) {
        let job = match phase {
            // Only for show: that it can't be told is no reason to stop.
            CommitPhase::Copying => self.hypervisor.block_job(self.domain, &disk.target).ok().flatten(),
            _ => None,
        };
        let (current, end) = job.map_or((0, 0), |job| (job.current, job.end));
        let (domain, target) = (self.domain.clone(), disk.target.clone());
        progress(CommitProgress { domain, target, phase, current, end });
    }

    fn foreign(&self, disk: &IntendedDisk, what: String) -> Error {
        Error::Foreign { domain: self.domain.name.clone(), target: disk.target.clone(), what }
    }

    fn late(&self, disk: &IntendedDisk, what: &'static str, after: Duration) -> Error {
        Error::Deadline { domain: self.domain.name.clone(), target: disk.target.clone(), what, after }
    }
}
