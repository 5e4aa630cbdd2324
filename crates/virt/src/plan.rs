//! What will be done to a domain, and whether it may be.

mod apparmor;
mod preflight;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::escape;
use crate::{DomainId, Error, Hypervisor, IntendedDisk, Tag};

/// What to plan.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The still point's name.
    pub tag: Tag,
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
        Self { tag, overlay_dir: None, inside: None, trust_apparmor: false }
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
    /// The targets of drives that don't: empty, read-only media, floppies.
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
    /// Libvirt keeps no snapshots of it.
    NoSnapshots,
    /// It has no checkpoints.
    NoCheckpoints,
    /// It has disks, and every one is a file in a format that can be overlaid and committed.
    Disks,
    /// Every layer lies in the directory asked for.
    Inside,
    /// No disk is on an overlay of another run or tool that looks temporary; live and inactive XML agree.
    Chain,
    /// The overlays' names are free and differ.
    OverlayNames,
    /// AppArmor will not deny the commit.
    AppArmor,
    /// No version with a known fault is in use.
    Versions,
}

/// Checks the domain and names its overlays. Touches nothing.
///
/// # Errors
/// [`Error::Refused`] with everything found, or a failed call.
pub fn plan(hypervisor: &dyn Hypervisor, domain: &DomainId, options: &PlanOptions) -> Result<Plan, Error> {
    preflight::plan(hypervisor, domain, options)
}
