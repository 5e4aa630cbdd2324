//! What a run is asked to do, with what, and what it tells meanwhile.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stillpoint_georep as georep;
use stillpoint_shard::BrickMapping;
use stillpoint_virt as virt;

use crate::SiteSpec;
use crate::error::Result;
use crate::journal::{AfterRun, Record};
use crate::report::Stage;

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The domains, by name or UUID.
    pub domains: Vec<String>,
    /// Where the primary volume is mounted on this host, which is where the domains' disks are named.
    pub mount: PathBuf,
    /// The primary's volume.
    pub primary: Site,
    /// The secondary's volume.
    pub secondary: Site,
    /// Where journals, reports and locks are kept.
    pub state_dir: PathBuf,
    /// Where overlays are made; beside their bases when `None`.
    pub overlay_dir: Option<PathBuf>,
    /// As [`virt::PlanOptions::trust_apparmor`].
    pub trust_apparmor: bool,
    /// How still points are taken.
    pub take: virt::TakeOptions,
    /// How replication is driven. The mount is set to [`mount`](Self::mount), the deadline to what is left of the run's.
    pub sync: georep::SyncOptions,
    /// How overlays are committed.
    pub undo: virt::UndoOptions,
    /// Checks of replication's preflight whose refusal is only a warning.
    pub override_checks: Vec<georep::Check>,
    /// The longest that everything up to the proof may take. What undoes isn't cut short by it.
    pub deadline: Duration,
    /// How replication is left.
    pub after_run: AfterRun,
    /// How many threads digest at each site; see [`ManifestOptions`](crate::manifest::ManifestOptions).
    pub threads: Option<NonZeroUsize>,
}

/// A site's volume, and where its bricks are on this host.
#[derive(Debug, Clone)]
pub struct Site {
    /// How the volume is described.
    pub spec: SiteSpec,
    /// Where bricks are, if not at their own paths. Those of another site are ignored.
    pub mappings: Vec<BrickMapping>,
}

impl Site {
    /// Opens the volume.
    ///
    /// # Errors
    /// As [`SiteSpec::open`].
    pub fn open(&self) -> Result<stillpoint_shard::Volume> {
        self.spec.open(&self.mappings)
    }
}

/// What a run is made with.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Where the domains are.
    pub hypervisor: &'a dyn virt::Hypervisor,
    /// The session of replication.
    pub session: &'a georep::Session,
    /// What thaws or resumes a guest when this process dies.
    pub guard: &'a dyn virt::GuardSpawner,
    /// What commits the overlays of a domain that is off.
    pub offline: &'a dyn virt::OfflineCommit,
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("hypervisor", &self.hypervisor)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// One of the two sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteName {
    /// Where the domains run.
    Primary,
    /// Where the volume is replicated to.
    Secondary,
}

impl std::fmt::Display for SiteName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// What a run or a recovery tells while it goes on, from whichever thread.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A part begins.
    Stage(Stage),
    /// A record is on disk, and its effect has not begun.
    Recorded(&'a Record),
    /// What replication is at.
    Replication(&'a georep::SyncProgress),
    /// How much of a site's files is digested.
    Digest {
        /// The site.
        site: SiteName,
        /// How many logical bytes are done.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// What a commit is at.
    Commit(&'a virt::CommitProgress),
}
