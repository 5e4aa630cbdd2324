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
    /// Whether all domains that run and have a disk below [`mount`](Self::mount) are taken too. What is off is told.
    pub all_domains: bool,
    /// The disks that take part; all where none is named for a domain.
    pub disks: Vec<DiskChoice>,
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

/// A disk that takes part, by its target such as `vda`: `TARGET` of every domain, or `DOMAIN:TARGET` of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskChoice {
    /// The domain, by name or UUID; every domain when `None`.
    pub domain: Option<String>,
    /// The disk, by target.
    pub target: String,
}

impl DiskChoice {
    /// Whether it is about this domain.
    pub(super) fn is_about(&self, domain: &virt::DomainId) -> bool {
        let is_it = |name: &String| *name == domain.name || *name == domain.uuid.to_string();
        self.domain.as_ref().is_none_or(is_it)
    }
}

impl std::str::FromStr for DiskChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        // A target has no colon; a domain's name may.
        let (domain, target) = match text.rsplit_once(':') {
            Some((domain, target)) => (Some(domain), target),
            None => (None, text),
        };
        if target.is_empty() || domain.is_some_and(str::is_empty) {
            return Err(format!("{text:?} is no disk: use TARGET or DOMAIN:TARGET, such as vm1:vda"));
        }
        Ok(Self { domain: domain.map(str::to_owned), target: target.to_owned() })
    }
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
