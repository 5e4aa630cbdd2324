//! What is so now, by the domain's XML and the files.

use serde::Serialize;

use crate::{DomainState, Error, Hypervisor, Intent};

/// What was seen of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the domain does.
    pub state: DomainState,
    /// Whether the guest may be frozen by us.
    pub maybe_frozen: bool,
    /// Whether the guest is suspended, and may be so by us.
    pub suspended: bool,
    /// Its disks that the still point is about.
    pub disks: Vec<DiskObservation>,
}

/// What was seen of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskObservation {
    /// The disk, by target.
    pub target: String,
    /// What it is at.
    pub condition: DiskCondition,
}

/// What a disk of a still point is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "condition", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DiskCondition {
    /// On its base, no overlay's file.
    Clean,
    /// The guest writes to the overlay; no job.
    OnOverlay,
    /// A commit of ours copies.
    Committing,
    /// A commit of ours waits for its pivot.
    Ready,
    /// A commit of ours is pivoting or ending just now.
    Completing,
    /// The guest writes to the base, and the definition still names the overlay.
    DefinitionBehind,
    /// On its base, and the overlay's file is still there. Never to be committed again.
    StaleOverlay {
        /// Whether the journal says that its data went into the base, so that it may be deleted. Else it is renamed
        /// and kept.
        merged: bool,
    },
    /// The domain is off, and its definition names the overlay.
    OfflineOverlay,
    /// The definition names the overlay, but a pivot was asked for in a start of the domain that ended: the base may
    /// be newer.
    AmbiguousPivot,
    /// Something that is not ours.
    Foreign {
        /// What.
        what: String,
    },
}

/// Looks at the domain and the files, and says of each disk of the intent what it is at.
///
/// # Errors
/// When the domain or its XML can't be read.
pub fn observe(hypervisor: &dyn Hypervisor, intent: &Intent) -> Result<Observation, Error> {
    let _ = (hypervisor, intent);
    Err(Error::BackendMissing)
}
