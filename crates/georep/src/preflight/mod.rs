//! What has to hold before a run, and the ways to a false or stuck *complete* that can be seen beforehand.

mod look;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use look::preflight;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// The run can succeed, and a fault may go unseen or be slower to see.
    Warn,
    /// A run can't be believed, or can't succeed. A caller refuses by default; it may go on when told to by name.
    Refuse,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Check {
    /// The session exists and its rows can be read.
    Session,
    /// The session runs as root at the far side.
    RootSession,
    /// The primary volume is started.
    PrimaryStarted,
    /// The secondary volume is started and can be asked about.
    SecondaryStarted,
    /// `features.shard` is on at both sides.
    Sharding,
    /// The shard size is the same at both sides.
    ShardSize,
    /// `performance.write-behind` is off at the primary: on a sharded volume it damages what is written.
    WriteBehind,
    /// The secondary volume is read-only for its clients.
    SecondaryReadOnly,
    /// `sync-method` is rsync.
    SyncMethod,
    /// `sync-xattrs` is true.
    SyncXattrs,
    /// `secondary-access-mount` is true.
    SecondaryAccessMount,
    /// `rsync-options` has `--modify-window=-1`.
    ModifyWindow,
    /// `rsync-options` has `--whole-file`.
    WholeFile,
    /// One worker is Active in each replica set (`use-meta-volume`), not all of them.
    MetaVolume,
    /// `log-rsync-performance` is true.
    LogRsyncPerformance,
    /// Every brick of the primary volume runs.
    BricksUp,
    /// Every brick of the secondary volume runs.
    SecondaryBricksUp,
    /// Nothing waits to be healed at the primary.
    HealClean,
    /// Nothing waits to be healed at the secondary.
    SecondaryHealClean,
    /// The mount that is to be touched is one of the primary volume.
    Mount,
}

/// Something that was found not to be as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub what: Check,
    /// How much it matters.
    pub severity: Severity,
    /// What was seen, and what it leads to.
    pub explanation: String,
    /// The command that sets it right, as it is typed; `None` where no single command does.
    pub remedy: Option<String>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.explanation)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; set right by: {remedy}"),
            None => Ok(()),
        }
    }
}

/// What the preflight looks at beyond the session itself.
#[derive(Clone, Debug, Default)]
pub struct PreflightOptions {
    /// The mount of the primary volume that is going to be touched; `None` leaves the check out.
    pub mount: Option<PathBuf>,
}
