//! Committing overlays back, one disk after the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::commit::Committer;
use crate::pen::Pen;
use crate::{DomainId, Error, GuardSpawner, Hypervisor, Intent, Journal, StepKind, StillPoint};

/// How to undo a still point.
#[derive(Debug, Clone, Copy)]
pub struct UndoOptions {
    /// Stop the virtual CPUs from the moment a commit is ready until both XMLs show the base. Then no write of the
    /// guest can fall between QEMU's pivot and libvirt's record of it.
    pub suspend_for_pivot: bool,
    /// How long one disk's commit may take until it is ready. After it the job is left running, to be attached to
    /// again.
    pub deadline: Duration,
    /// How long a pivot may take until both XMLs show the base. With suspension, the guard lets the guest run
    /// again after this too.
    pub pivot_deadline: Duration,
    /// The most bytes a second to copy; no limit when `None`.
    pub bandwidth: Option<u64>,
    /// How often the XML is looked at.
    pub poll: Duration,
}

impl Default for UndoOptions {
    fn default() -> Self {
        Self {
            suspend_for_pivot: true,
            deadline: Duration::from_secs(3600),
            pivot_deadline: Duration::from_secs(30),
            bandwidth: None,
            poll: Duration::from_millis(200),
        }
    }
}

/// How far an undoing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitProgress {
    /// The domain.
    pub domain: DomainId,
    /// The disk, by target.
    pub target: String,
    /// What it is at.
    pub phase: CommitPhase,
    /// What is copied, in bytes.
    pub current: u64,
    /// What there is to copy, in bytes; grows while the guest writes. 0 when not known.
    pub end: u64,
}

/// What the commit of one disk is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CommitPhase {
    /// It copies.
    Copying,
    /// It is ready for its pivot.
    Ready,
    /// Both XMLs show the base.
    Pivoted,
    /// The overlay is gone.
    Removed,
}

/// What undoing did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The domain.
    pub domain: DomainId,
    /// Its disks, in the order in which they were committed.
    pub disks: Vec<DiskUndone>,
}

/// What undoing did to one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUndone {
    /// The disk, by target.
    pub target: String,
    /// From the start of the commit until it was ready.
    pub commit: Duration,
    /// From the request of the pivot until both XMLs showed the base.
    pub pivot: Duration,
    /// How long the guest's CPUs were stopped; `None` when they were not.
    pub suspended: Option<Duration>,
    /// The overlay's allocated size in bytes just before it was removed.
    pub overlay_bytes: u64,
}

/// Commits every overlay of the still point into its base, pivots, and removes it.
///
/// Disk after disk: commit, ready by the live XML, CPUs stopped, pivot, both XMLs on the base, CPUs on, the base to
/// stable storage, the overlay renamed and deleted. A guest that an I/O error paused, as when its overlay could not grow,
/// is let go on in the end.
///
/// # Errors
/// The first disk that fails ends it; [`recover`](fn@crate::recover) goes on from any point.
pub fn undo(
    hypervisor: &dyn Hypervisor,
    point: &StillPoint,
    options: &UndoOptions,
    journal: &dyn Journal,
    guard: &dyn GuardSpawner,
    progress: &mut dyn FnMut(CommitProgress),
) -> Result<Undone, Error> {
    let mut intent = Intent::begun(point.domain.clone(), point.tag.clone());
    let disks = || point.disks.iter().map(|still| still.disk.clone());
    intent.apply(&StepKind::SnapshotIntended { disks: disks().collect() });
    intent.apply(&StepKind::SnapshotVerified);
    let mut pen = Pen::new(journal, intent);
    let committer = Committer { hypervisor, domain: &point.domain, options, guard };
    let disks: Result<Vec<_>, Error> =
        disks().map(|disk| committer.bring_home(&disk, &mut pen, progress)).collect();
    let undone = Undone { domain: point.domain.clone(), disks: disks? };
    committer.let_go_on();
    pen.record(StepKind::Undone)?;
    Ok(undone)
}
