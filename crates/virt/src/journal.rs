//! What is written down before it is done.

use std::error::Error;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{DomainId, Tag};

/// Where steps are written down.
///
/// A step is on stable storage when `record` returns; only then does its effect begin. A step that can't be
/// recorded is not taken.
pub trait Journal: Sync {
    /// Writes one step down.
    ///
    /// # Errors
    /// When it is not known to be on stable storage.
    fn record(&self, step: &Step) -> Result<(), JournalError>;
}

/// A journal could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the journal can't be written, so nothing more is done: {0}")]
pub struct JournalError(#[source] pub Box<dyn Error + Send + Sync>);

impl JournalError {
    /// Wraps what went wrong.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// A journal that keeps nothing. What dies on the way can then not be recovered: nothing says which overlays are ours.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullJournal;

impl Journal for NullJournal {
    fn record(&self, _: &Step) -> Result<(), JournalError> {
        Ok(())
    }
}

/// One step of one still point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The domain it is about.
    pub domain: DomainId,
    /// The still point it is about.
    pub tag: Tag,
    /// What is about to be done, or was verified to be done.
    #[serde(flatten)]
    pub kind: StepKind,
}

impl Step {
    /// The step's name, such as `pivot-requested`, as it stands in serialised form.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }
}

/// What is about to be done (`…Intended`, `…Requested`), or was verified to be done.
///
/// In the order in which a healthy run records them; those of a commit repeat for each disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepKind {
    /// A snapshot of these disks will be asked for. From here on the overlays named may exist.
    SnapshotIntended {
        /// Every disk that takes part.
        disks: Vec<IntendedDisk>,
    },
    /// The guest's file systems will be frozen. From here on the guest may be frozen.
    FreezeIntended {
        /// When the guard thaws at the latest, in ms from here.
        deadline_ms: u64,
    },
    /// The guest's file systems are frozen.
    Frozen {
        /// How many.
        file_systems: u32,
    },
    /// The guest is not frozen by us (any more).
    Thawed {
        /// How many file systems the thaw found frozen; `None` when freezing had failed.
        file_systems: Option<u32>,
    },
    /// Both XMLs show every overlay: the bases are still.
    SnapshotVerified,
    /// The snapshot failed, and the live XML shows none of the overlays.
    SnapshotAbandoned,
    /// The overlay of one disk will be committed into its base. From here on a block job may run.
    CommitIntended {
        /// The disk.
        target: String,
    },
    /// The live XML says that the commit is ready for its pivot.
    CommitReady {
        /// The disk.
        target: String,
    },
    /// The virtual CPUs will be stopped for the pivot. From here on the guest may be suspended by us.
    SuspendIntended {
        /// The disk whose pivot it is for.
        target: String,
    },
    /// The pivot will be asked for. From here on the base may be newer than the overlay.
    PivotRequested {
        /// The disk.
        target: String,
        /// Which start of the domain is asked.
        instance: Instance,
    },
    /// The domain is off, and all that the overlay holds is in the base and on stable storage. The definition names
    /// the overlay yet; a domain that is started on it loses nothing.
    OfflineCommitted {
        /// The disk.
        target: String,
    },
    /// Both XMLs show the base and no job: the overlay is stale from here on.
    PivotVerified {
        /// The disk.
        target: String,
    },
    /// The guest is not suspended by us (any more).
    Resumed,
    /// The overlay, stale, will be renamed and then deleted. The base is on stable storage.
    OverlayRemovalIntended {
        /// The disk.
        target: String,
        /// The overlay's path.
        overlay: PathBuf,
        /// Its name on the way out.
        quarantine: PathBuf,
    },
    /// The overlay's file is gone.
    OverlayRemoved {
        /// The disk.
        target: String,
    },
    /// An overlay that the journal doesn't allow to be deleted was renamed and kept.
    OverlayKept {
        /// The disk.
        target: String,
        /// Where it is now.
        quarantine: PathBuf,
    },
    /// An internal snapshot will be asked for. From here on it may exist, and the guest stand still while it is made.
    InternalIntended {
        /// Whether the guest's memory is part of it.
        with_memory: bool,
    },
    /// The hypervisor lists the internal snapshot. It stands until it is deleted.
    InternalVerified,
    /// The internal snapshot will be deleted.
    InternalDeletionIntended,
    /// The hypervisor lists the internal snapshot no more.
    InternalDeleted,
    /// Every disk is on its base, and nothing of this still point is left.
    Undone,
}

impl StepKind {
    /// The step's name, such as `pivot-requested`, as it stands in serialised form.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SnapshotIntended { .. } => "snapshot-intended",
            Self::FreezeIntended { .. } => "freeze-intended",
            Self::Frozen { .. } => "frozen",
            Self::Thawed { .. } => "thawed",
            Self::SnapshotVerified => "snapshot-verified",
            Self::SnapshotAbandoned => "snapshot-abandoned",
            Self::CommitIntended { .. } => "commit-intended",
            Self::CommitReady { .. } => "commit-ready",
            Self::SuspendIntended { .. } => "suspend-intended",
            Self::PivotRequested { .. } => "pivot-requested",
            Self::OfflineCommitted { .. } => "offline-committed",
            Self::PivotVerified { .. } => "pivot-verified",
            Self::Resumed => "resumed",
            Self::OverlayRemovalIntended { .. } => "overlay-removal-intended",
            Self::OverlayRemoved { .. } => "overlay-removed",
            Self::OverlayKept { .. } => "overlay-kept",
            Self::InternalIntended { .. } => "internal-intended",
            Self::InternalVerified => "internal-verified",
            Self::InternalDeletionIntended => "internal-deletion-intended",
            Self::InternalDeleted => "internal-deleted",
            Self::Undone => "undone",
        }
    }
}

/// One disk of a snapshot that is intended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntendedDisk {
    /// The disk's target, such as `vda`.
    pub target: String,
    /// The file that is the disk before the snapshot, and again after the commit.
    pub base: PathBuf,
    /// The base's format, as the XML has it.
    pub base_format: String,
    /// The file that is the disk in between.
    pub overlay: PathBuf,
}

/// One start of a domain, told from the next.
///
/// A domain's number counts up with every start on one boot of the host. Both being equal means: the same QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The number in the live XML.
    pub id: Option<u32>,
    /// The kernel's boot id on the machine where this ran, where it can be told.
    pub boot: Option<String>,
}
