//! Freeze, snapshot, thaw.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DomainId, Error, GuardSpawner, Hypervisor, IntendedDisk, Journal, Plan, Tag};

/// Whether the guest's file systems are frozen for the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quiesce {
    /// They must be: else there is no still point.
    Require,
    /// They are where the guest agent can; else the point is crash-consistent, and says so.
    #[default]
    Prefer,
    /// They are left alone.
    Never,
}

impl FromStr for Quiesce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "require" => Ok(Self::Require),
            "prefer" => Ok(Self::Prefer),
            "never" => Ok(Self::Never),
            other => Err(format!("no quiesce policy {other:?}: use require, prefer or never")),
        }
    }
}

/// How to take a still point.
#[derive(Debug, Clone, Copy)]
pub struct TakeOptions {
    /// The policy on freezing.
    pub quiesce: Quiesce,
    /// How long one answer of the guest agent may take, in whole seconds.
    pub agent_timeout: Duration,
    /// When the guard thaws at the latest. A point that took longer is not called consistent. Guests that use
    /// Windows' VSS thaw by themselves after 10 s.
    pub freeze_deadline: Duration,
}

impl Default for TakeOptions {
    fn default() -> Self {
        Self {
            quiesce: Quiesce::Prefer,
            agent_timeout: Duration::from_secs(10),
            freeze_deadline: Duration::from_secs(30),
        }
    }
}

/// A still point that was taken: from here on, until [`undo`](crate::undo), the bases don't change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillPoint {
    /// The domain.
    pub domain: DomainId,
    /// The still point's name.
    pub tag: Tag,
    /// Its disks.
    pub disks: Vec<StillDisk>,
    /// What can be said of what is in them.
    pub consistency: Consistency,
    /// How long the guest's file systems were frozen, from the call to freeze to the answer of the thaw. Zero
    /// when they were not.
    pub frozen: Duration,
    /// How long the snapshot call took.
    pub snapshot: Duration,
}

/// One disk of a still point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillDisk {
    /// The names. The base is what stands still.
    #[serde(flatten)]
    pub disk: IntendedDisk,
    /// The layers below the base, from the top down.
    pub below: Vec<PathBuf>,
}

/// What can be said of the data of a still point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[non_exhaustive]
pub enum Consistency {
    /// The guest's file systems were frozen throughout.
    FileSystem {
        /// How many.
        frozen: u32,
    },
    /// As after a power cut.
    Crash {
        /// Why no more can be said.
        why: String,
    },
}

/// Takes the still point that was planned.
///
/// The order: the snapshot is journalled as intended, the guard stands, the guest is frozen, the snapshot is made,
/// the guest is thawed. Between freeze and thaw there is the snapshot and one record of the journal, nothing
/// else. Then both XMLs must show every overlay.
///
/// # Errors
/// [`Error::NotQuiet`], [`Error::NoSnapshot`]: nothing is left behind. [`Error::LeftOnOverlay`] and any other: run
/// [`recover`](crate::recover).
pub fn take(
    hypervisor: &dyn Hypervisor,
    plan: &Plan,
    options: &TakeOptions,
    journal: &dyn Journal,
    guard: &dyn GuardSpawner,
) -> Result<StillPoint, Error> {
    let _ = (hypervisor, plan, options, journal, guard);
    Err(Error::BackendMissing)
}
