//! What will be done to a domain, and whether it may be.

mod apparmor;
mod neighbours;
mod preflight;
mod selinux;
mod space;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::escape;
use crate::{DomainId, Error, Hypervisor, IntendedDisk, Tag};
pub(crate) use neighbours::Neighbours;
pub(crate) use preflight::{Findings, is_inside};

/// What to plan.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The still point's name.
    pub tag: Tag,
    /// The targets of the disks that take part; all when `None`. What others hold is not part of the point.
    pub disks: Option<Vec<String>>,
    /// Where overlays are made; beside each disk when `None`.
    pub overlay_dir: Option<PathBuf>,
    /// The directory below which every layer of every disk must lie, such as the mount of the replicated volume;
    /// anywhere when `None`.
    pub inside: Option<PathBuf>,
    /// Go on where AppArmor and a libvirt older than 12.1 would deny the commit its base: for those who know that
    /// their libvirt carries the fix, or that their profile allows it.
    pub trust_apparmor: bool,
}

impl PlanOptions {
    /// Overlays beside the disks, disks anywhere.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        Self { tag, disks: None, overlay_dir: None, inside: None, trust_apparmor: false }
    }
}

/// What will be done to one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The domain.
    pub domain: DomainId,
    /// The still point's name.
    pub tag: Tag,
    /// The disks that take part.
    pub disks: Vec<PlannedDisk>,
    /// The targets of drives that don't: empty, read-only media, floppies, and disks that were not asked for.
    pub left_out: Vec<String>,
    /// What was found that does not forbid it.
    pub warnings: Vec<Finding>,
}

/// What will be done to one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDisk {
    /// The names.
    #[serde(flatten)]
    pub disk: IntendedDisk,
    /// The layers below the base, from the top down: they are part of the point too.
    pub below: Vec<PathBuf>,
}

impl Plan {
    /// The `<domainsnapshot>` that is asked for: every drive listed, every overlay named, its format given.
    #[must_use]
    pub fn snapshot_xml(&self) -> String {
        let mut xml =
            format!("<domainsnapshot>\n  <name>{}</name>\n  <memory snapshot='no'/>\n  <disks>\n", self.tag);
        for PlannedDisk { disk, .. } in &self.disks {
            xml.push_str(&format!(
                "    <disk name='{}' snapshot='external'><driver type='qcow2'/><source file='{}'/></disk>\n",
                escape(&disk.target),
                escape(&disk.overlay.to_string_lossy())
            ));
        }
        for target in &self.left_out {
            xml.push_str(&format!("    <disk name='{}' snapshot='no'/>\n", escape(target)));
        }
        xml.push_str("  </disks>\n</domainsnapshot>\n");
        xml
    }
}

/// Something that the preflight found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check found it.
    pub check: Check,
    /// Whether it forbids the still point.
    pub severity: Severity,
    /// The disk it is about, by target.
    pub target: Option<String>,
    /// What is so.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = &self.target {
            write!(f, "disk {target}: ")?;
        }
        write!(f, "{} ({})", self.what, self.remedy)
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Warning,
    /// Forbids it.
    Refusal,
}

/// The checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Check {
    /// The domain runs.
    Running,
    /// The domain is persistent.
    Persistent,
    /// No block job is on its disks.
    NoJob,
    /// No save, migration, dump or backup of it is under way.
    NoTask,
    /// Libvirt keeps no snapshots of it.
    NoSnapshots,
    /// It has no checkpoints.
    NoCheckpoints,
    /// It has disks, and every one is a file in a format that can be overlaid and committed.
    Disks,
    /// Every layer lies in the directory asked for.
    Inside,
    /// No other domain has a disk that is on top of one of its disks, or the same.
    Template,
    /// There is room for what the guest may write while its overlays are in use.
    Space,
    /// No disk is on an overlay of another run or tool that looks temporary; live and inactive XML agree.
    Chain,
    /// The overlays' names are free and differ.
    OverlayNames,
    /// Nothing of the machine forbids saving the guest's memory (internal snapshots).
    Machine,
    /// AppArmor will not deny the commit.
    AppArmor,
    /// `SELinux` lets QEMU use images on a FUSE mount.
    SeLinux,
    /// No version with a known fault is in use.
    Versions,
}

/// Checks the domain and names its overlays. Touches nothing.
///
/// # Errors
/// [`Error::Refused`] with everything found, or a failed call.
pub fn plan(hypervisor: &dyn Hypervisor, domain: &DomainId, options: &PlanOptions) -> Result<Plan, Error> {
    preflight::plan(hypervisor, domain, options, &Neighbours::read(hypervisor)?)
}

/// As [`plan`](fn@plan), of several domains, with one look at all others: what each gave, in their order.
///
/// # Errors
/// When the hypervisor can't be reached.
pub fn plan_all(
    hypervisor: &dyn Hypervisor,
    domains: &[(DomainId, PlanOptions)],
) -> Result<Vec<Result<Plan, Error>>, Error> {
    let neighbours = Neighbours::read(hypervisor)?;
    let plan = |(domain, options): &(DomainId, PlanOptions)| {
        preflight::plan(hypervisor, domain, options, &neighbours)
    };
    Ok(domains.iter().map(plan).collect())
}

/// The domains that run and have a disk that takes part in still points below this directory, and those that have one
/// and are off.
///
/// # Errors
/// When the hypervisor can't be reached, or the directory isn't there.
pub fn domains_below(hypervisor: &dyn Hypervisor, directory: &Path) -> Result<DomainsBelow, Error> {
    preflight::domains_below(hypervisor, directory)
}

/// The domains with disks below a directory, such as the mount of a volume; each list by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainsBelow {
    /// Those that run, or are paused.
    pub active: Vec<DomainId>,
    /// Those that are off.
    pub off: Vec<DomainId>,
}
