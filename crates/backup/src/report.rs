//! What a run tells when it is over.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::RunId;
use crate::proof::Proof;

/// The version of [`RunReport`]'s schema.
pub const SCHEMA_VERSION: u32 = 1;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The secondary was proven to hold exactly the point, and nothing of the run is left at the primary.
    Proven,
    /// As [`Proven`](Self::Proven), for some of the domains; the others were left out, and are as before.
    Partial,
    /// There is no proven point. Nothing of the run is left at the primary.
    Failed,
    /// There is something left that recovery has to finish.
    NeedsRecovery,
    /// There is something left that takes a person's decision.
    NeedsOperator,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proven => "proven",
            Self::Partial => "proven in part",
            Self::Failed => "failed",
            Self::NeedsRecovery => "needs recovery",
            Self::NeedsOperator => "needs an operator",
        })
    }
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// Finishing or undoing what an earlier run left.
    Recovery,
    /// Looking for what would make the run fail or lie.
    Preflight,
    /// Stopping replication.
    StopReplication,
    /// Snapshots.
    StillPoint,
    /// Driving replication to its checkpoint.
    Replicate,
    /// Digesting the primary's bases; goes on while replication runs.
    DigestPrimary,
    /// Digesting the secondary's.
    DigestSecondary,
    /// Comparing.
    Prove,
    /// Committing overlays.
    Undo,
    /// Leaving replication as it was found.
    LeaveReplication,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recovery => "recovery",
            Self::Preflight => "preflight",
            Self::StopReplication => "stop replication",
            Self::StillPoint => "still point",
            Self::Replicate => "replicate",
            Self::DigestPrimary => "digest primary",
            Self::DigestSecondary => "digest secondary",
            Self::Prove => "prove",
            Self::Undo => "undo",
            Self::LeaveReplication => "leave replication",
        })
    }
}

/// All that a run did, and the evidence for what it claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run: RunId,
    /// The version of the program.
    pub version: String,
    /// The session of replication.
    pub session: georep::SessionName,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, in the order in which it did. Empty when the point is proven.
    pub failures: Vec<Failure>,
    /// What was found before the guest was touched that doesn't keep a run from being made.
    pub warnings: Vec<String>,
    /// Earlier runs that were finished first.
    pub recovered: Vec<crate::recover::RunRecovery>,
    /// The domains.
    pub domains: Vec<DomainReport>,
    /// What replication told, and how far that can be believed.
    pub verdict: Option<georep::Verdict>,
    /// What comparing both sites told.
    pub proof: Option<Proof>,
    /// The commits that were made.
    pub commits: Vec<virt::Undone>,
    /// Whether replication was running before the run; `None` when it couldn't be told.
    pub replication_found_running: Option<bool>,
    /// Whether replication was left running; `None` when that isn't known.
    pub replication_left_running: Option<bool>,
    /// How long each part took, in the order in which they began.
    pub durations: Vec<StageDuration>,
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// The domain's name, where it concerns one.
    pub domain: Option<String>,
    /// What happened, to what, and what to do next.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.what)
    }
}

/// How long a part took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageDuration {
    /// The part.
    pub stage: Stage,
    /// How long, in milliseconds.
    #[serde(with = "millis", rename = "took_ms")]
    pub took: Duration,
}

/// What was done to a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainReport {
    /// The domain.
    pub domain: virt::DomainId,
    /// Its still point, if one was taken.
    pub point: Option<PointReport>,
    /// Whether every overlay of it was committed and removed.
    pub undone: bool,
    /// Its disks.
    pub disks: Vec<DiskReport>,
}

/// A still point that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointReport {
    /// The tag in the overlays' names.
    pub tag: virt::Tag,
    /// What can be said of the data in it.
    pub consistency: virt::Consistency,
    /// How long the guest's file systems were frozen, in milliseconds; 0 when they weren't.
    #[serde(with = "millis", rename = "frozen_ms")]
    pub frozen: Duration,
    /// How long the snapshot call took, in milliseconds.
    #[serde(with = "millis", rename = "snapshot_ms")]
    pub snapshot: Duration,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskReport {
    /// The target name, such as `vda`.
    pub target: String,
    /// The base.
    pub base: PathBuf,
    /// The overlay.
    pub overlay: PathBuf,
    /// The base and the layers below it, as paths from the volume's root on.
    pub layers: Vec<String>,
}

impl RunReport {
    /// How long a part took, if it was reached.
    #[must_use]
    pub fn took(&self, stage: Stage) -> Option<Duration> {
        self.durations.iter().find(|duration| duration.stage == stage).map(|duration| duration.took)
    }
}

/// Durations as milliseconds, to the microsecond.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let millis = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(millis / 1000.0).map_err(serde::de::Error::custom)
    }
}
