//! What a journal says that was meant and done.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::journal::{Instance, IntendedDisk, Step, StepKind};
use crate::{DomainId, InternalProgress, Tag};

/// What the journal says of one still point of one domain: the names, and how far it got.
///
/// It is never believed against the domain's own XML; it says what is ours, and what may have begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The domain.
    pub domain: DomainId,
    /// The still point.
    pub tag: Tag,
    /// Its disks, in the order of the snapshot.
    pub disks: Vec<DiskIntent>,
    /// How far its internal snapshot got, if it is one.
    pub internal: Option<InternalProgress>,
    /// Whether freezing may have begun without a thaw known after it.
    pub maybe_frozen: bool,
    /// Whether freezing is known to have succeeded without a thaw known after it.
    pub frozen: bool,
    /// Whether suspension may have begun without a resume known after it.
    pub maybe_suspended: bool,
    /// Whether it is known that nothing of it is left.
    pub finished: bool,
}

/// What the journal says of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskIntent {
    /// The names.
    pub disk: IntendedDisk,
    /// How far it got.
    pub progressed: Progressed,
    /// Which start of the domain the last pivot was asked of.
    pub pivot_instance: Option<Instance>,
    /// Whether the guest's CPUs were stopped by us when the last pivot was asked for, and nothing is known of their being
    /// let go since. Then the guest wrote nothing after the commit was ready, unless its guard let it go.
    pub pivot_suspended: bool,
    /// The overlay's name on the way out, where its removal was intended or it was kept.
    pub quarantine: Option<PathBuf>,
}

impl DiskIntent {
    /// Whether its pivot was asked for, its end never seen, and all between was with the CPUs stopped.
    pub(crate) fn stood_still(&self) -> bool {
        self.progressed == Progressed::PivotRequested && self.pivot_suspended
    }
}

/// How far one disk got, by the journal. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progressed {
    /// Its snapshot was intended; it may exist.
    SnapshotIntended,
    /// Its snapshot was verified.
    SnapshotVerified,
    /// Its commit was intended; a job may exist.
    CommitIntended,
    /// Its commit was seen ready.
    CommitReady,
    /// Its overlay was committed into the base with the domain off; both hold the same.
    OfflineCommitted,
    /// Its pivot was asked for; the base may be newer than the overlay.
    PivotRequested,
    /// Its pivot was verified; the overlay is stale.
    PivotVerified,
    /// Its overlay's removal was intended.
    RemovalIntended,
    /// Its overlay is gone, or was renamed and kept for a person to judge.
    Done,
}

impl Intent {
    /// What the steps say, one intent for each still point of each domain, in the order of their first steps.
    /// Steps of several runs may be given at once. Steps about disks that no snapshot named are ignored.
    pub fn from_steps<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<Self> {
        let mut intents: Vec<Self> = Vec::new();
        for step in steps {
            let found = intents.iter().position(|i| i.domain.uuid == step.domain.uuid && i.tag == step.tag);
            let at = found.unwrap_or_else(|| {
                intents.push(Self::begun(step.domain.clone(), step.tag.clone()));
                intents.len() - 1
            });
            intents[at].apply(&step.kind);
        }
        intents
    }

    /// Whether anything may be left to do.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.maybe_frozen
            || self.maybe_suspended
            || (!self.finished && (!self.disks.is_empty() || self.internal.is_some()))
    }

    /// The intent about one disk.
    #[must_use]
    pub fn disk(&self, target: &str) -> Option<&DiskIntent> {
        self.disks.iter().find(|disk| disk.disk.target == target)
    }

    /// An intent of which nothing is known yet.
    #[must_use]
    pub fn begun(domain: DomainId, tag: Tag) -> Self {
        Self {
            domain,
            tag,
            disks: Vec::new(),
            internal: None,
            maybe_frozen: false,
            frozen: false,
            maybe_suspended: false,
            finished: false,
        }
    }

    /// Takes one more step in.
    pub fn apply(&mut self, kind: &StepKind) {
        match kind {
            StepKind::SnapshotIntended { disks } => {
                self.finished = false;
                self.disks = disks
                    .iter()
                    .map(|disk| DiskIntent {
                        disk: disk.clone(),
                        progressed: Progressed::SnapshotIntended,
                        pivot_instance: None,
                        pivot_suspended: false,
                        quarantine: None,
                    })
                    .collect();
            }
            StepKind::FreezeIntended { .. } => (self.maybe_frozen, self.finished) = (true, false),
            StepKind::Frozen { .. } => (self.maybe_frozen, self.frozen) = (true, true),
            StepKind::Thawed { .. } => (self.maybe_frozen, self.frozen) = (false, false),
            StepKind::SnapshotVerified => {
                for disk in &mut self.disks {
                    disk.progressed = disk.progressed.max(Progressed::SnapshotVerified);
                }
            }
            StepKind::InternalIntended { .. } => self.internally(InternalProgress::Intended, false),
            StepKind::InternalVerified => self.internally(InternalProgress::Verified, true),
            StepKind::InternalDeletionIntended => self.internally(InternalProgress::DeletionIntended, false),
            StepKind::InternalDeleted => self.internally(InternalProgress::Deleted, true),
            StepKind::SnapshotAbandoned | StepKind::Undone => self.finished = true,
            StepKind::CommitIntended { target } => {
                // Only a commit that starts anew goes back: what an earlier pivot of this disk may have
                // done is not undone by it.
                self.reach(target, Progressed::CommitIntended);
            }
            StepKind::CommitReady { target } => self.reach(target, Progressed::CommitReady),
            StepKind::SuspendIntended { .. } => self.maybe_suspended = true,
            StepKind::PivotRequested { target, instance } => {
                let suspended = self.maybe_suspended;
                self.reach(target, Progressed::PivotRequested);
                self.with(target, |disk| {
                    disk.pivot_instance = Some(instance.clone());
                    disk.pivot_suspended = suspended;
                });
            }
            StepKind::OfflineCommitted { target } => self.reach(target, Progressed::OfflineCommitted),
            StepKind::PivotVerified { target } => self.reach(target, Progressed::PivotVerified),
            StepKind::Resumed => {
                self.maybe_suspended = false;
                // Where a pivot's end was never seen, the guest may write to either file from here on.
                for disk in self.disks.iter_mut().filter(|disk| disk.progressed == Progressed::PivotRequested)
                {
                    disk.pivot_suspended = false;
                }
            }
            StepKind::OverlayRemovalIntended { target, quarantine, .. } => {
                self.reach(target, Progressed::RemovalIntended);
                self.with(target, |disk| disk.quarantine = Some(quarantine.clone()));
            }
            StepKind::OverlayRemoved { target } => self.reach(target, Progressed::Done),
            StepKind::OverlayKept { target, quarantine } => {
                self.reach(target, Progressed::Done);
                self.with(target, |disk| disk.quarantine = Some(quarantine.clone()));
            }
        }
    }

    fn internally(&mut self, progress: InternalProgress, finished: bool) {
        (self.internal, self.finished) = (self.internal.max(Some(progress)), finished);
    }

    /// Whether this disk's pivot was asked for, its end never seen, and all between was with the CPUs stopped.
    pub(crate) fn stood_still(&self, target: &str) -> bool {
        self.disk(target).is_some_and(DiskIntent::stood_still)
    }

    fn reach(&mut self, target: &str, progressed: Progressed) {
        self.with(target, |disk| disk.progressed = disk.progressed.max(progressed));
    }

    fn with(&mut self, target: &str, change: impl FnOnce(&mut DiskIntent)) {
        if let Some(disk) = self.disks.iter_mut().find(|disk| disk.disk.target == target) {
            change(disk);
        }
    }
}
