//! What has to hold before a run, and the ways to a false or stuck *complete* that can be seen beforehand.

mod far;
mod fix;
mod log;
mod look;
mod rows;
mod session;
mod volume;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use fix::{Fix, Fixed, apply};
pub use look::{examine, preflight};

use crate::log::LogSource;
use crate::runner::Runner;

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

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warn => "warning",
            Self::Refuse => "refused",
        })
    }
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
    /// Changes are recorded at the primary's bricks (`changelog.changelog`), and the session goes by these records.
    Changelog,
    /// No rebalance and no removal of bricks is under way at the primary.
    Tasks,
    /// None is at the secondary.
    SecondaryTasks,
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
    /// `rsync-options` has nothing that makes rsync leave files out.
    RsyncOptions,
    /// Deletions are replicated.
    IgnoreDeletes,
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
    /// The secondary's bricks have room.
    SecondarySpace,
    /// Every brick has a row, and no row tells of a worker that can't run.
    Workers,
    /// No Active worker stands still.
    Starved,
    /// Nobody walks the whole volume, which leaves deletions and renames out.
    HybridCrawl,
    /// Bricks' clocks are not ahead of this one.
    Clock,
    /// The far side's clock is this one's.
    SecondaryClock,
    /// The log tells of no batch of which rsync looked at no file.
    EarlierNoOp,
    /// The log tells of nothing that was given up.
    EarlierFailures,
    /// rsync is there at the far side, and which.
    SecondaryRsync,
    /// The mount that is to be touched is one of the primary volume.
    Mount,
}

impl Check {
    /// Its name, as it is in JSON and on a command line: `secondary-access-mount`.
    #[must_use]
    pub fn name(self) -> String {
        // As serde's kebab-case makes it of the variant's name.
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.name())
    }
}

/// Something that was found not to be as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub what: Check,
    /// How much it matters.
    pub severity: Severity,
    /// What was seen.
    pub seen: String,
    /// What it leads to.
    pub matters: String,
    /// The command that sets it right, as it is typed, or what else to do; `None` where nothing can be said in a line.
    pub remedy: Option<String>,
    /// The same where it is the setting of an option that [`apply`] can set.
    pub fix: Option<Fix>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.seen, self.matters)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; set right by: {remedy}"),
            None => Ok(()),
        }
    }
}

/// What is looked at beyond the session itself.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PreflightOptions {
    /// The mount of the primary volume that is going to be touched; `None` leaves the check out.
    pub mount: Option<PathBuf>,
    /// The `gsyncd.log` of primary nodes: the ends of them tell what went wrong in earlier runs. A run reads what it
    /// writes itself, and needs none here.
    pub logs: Vec<Arc<dyn LogSource>>,
    /// What runs commands at the secondary's host: which rsync there is, what waits to be healed and what time it is
    /// can't be seen from the primary.
    pub far: Option<Arc<dyn Runner>>,
}

impl PreflightOptions {
    /// Looks at `mount`, too.
    #[must_use]
    pub fn with_mount(mut self, mount: impl Into<PathBuf>) -> Self {
        self.mount = Some(mount.into());
        self
    }

    /// Reads the end of `log`, too.
    #[must_use]
    pub fn with_log(mut self, log: Arc<dyn LogSource>) -> Self {
        self.logs.push(log);
        self
    }

    /// Asks the secondary's host through `runner`, too.
    #[must_use]
    pub fn with_far(mut self, runner: Arc<dyn Runner>) -> Self {
        self.far = Some(runner);
        self
    }
}

/// What came of looking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// What was looked at, and could be: what is not here and not in a finding was not looked at.
    pub looked_at: Vec<Check>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// The worst of the findings.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }
}

/// What no look at a session can tell, whatever it finds: each with what to do about it.
pub const UNSEEN: [&str; 3] = [
    "discards, hole punching and zeroing inside a guest are in no changelog: the bytes they leave at the secondary are      the old ones until that shard is written to again; comparing contents finds them",
    "holes inside a shard arrive as allocated zeros: the secondary can need more room than the primary",
    "a file that is written to while it is replicated arrives torn: only what is still at the primary is a point",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_s_name_is_what_serde_writes() {
        for check in [Check::SecondaryAccessMount, Check::EarlierNoOp, Check::Mount, Check::SecondaryRsync] {
            let written = serde_json::to_value(check).unwrap();
            assert_eq!(written.as_str(), Some(check.name().as_str()));
        }
    }
}
