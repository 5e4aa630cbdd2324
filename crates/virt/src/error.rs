//! The crate's error.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::call::{CallError, CallErrorKind};
use crate::domain::XmlError;
use crate::guard::GuardError;
use crate::journal::JournalError;
use crate::plan::{Finding, Severity};

/// What can go wrong between a running domain and its still point.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to the hypervisor failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The hypervisor's XML can't be read.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// A step can't be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The guard process can't be had, so the guest is neither frozen nor suspended.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The preflight refuses; nothing was touched.
    #[error("domain '{domain}' is not ready for a still point, nothing was touched:{}", list(.findings))]
    Refused {
        /// The domain's name.
        domain: String,
        /// All that was found, refusals and warnings.
        findings: Vec<Finding>,
    },
    /// The policy requires frozen file systems, and they could not be frozen. The guest is on its bases.
    #[error(
        "domain '{domain}' can't be made quiet, and the policy requires it: {why}. Mend the guest agent, or choose the \
         policy 'prefer'"
    )]
    NotQuiet {
        /// The domain's name.
        domain: String,
        /// What the agent said, or what is missing.
        why: String,
    },
    /// The snapshot failed and no disk is on an overlay.
    #[error("no snapshot of domain '{domain}' was made, its disks are as before: {cause}")]
    NoSnapshot {
        /// The domain's name.
        domain: String,
        /// What the hypervisor said.
        cause: String,
    },
    /// The snapshot can't be believed, but disks are on their overlays: recovery commits them.
    #[error(
        "the snapshot of domain '{domain}' is no still point ({cause}), but {} on an overlay now: run recover; \
         do not delete the overlays", disks(.targets)
    )]
    LeftOnOverlay {
        /// The domain's name.
        domain: String,
        /// The disks' targets.
        targets: Vec<String>,
        /// What went wrong.
        cause: String,
    },
    /// A disk is neither on its base nor on our overlay, or something else changed it.
    #[error(
        "disk {target} of domain '{domain}' is not as this still point left it: {what}. Nothing was changed; settle it by \
         hand, then run recover"
    )]
    Foreign {
        /// The domain's name.
        domain: String,
        /// The disk's target.
        target: String,
        /// What is there instead.
        what: String,
    },
    /// A commit did not become ready, or a pivot was not seen, in time. The job is left as it is and can be
    /// attached to again.
    #[error(
        "disk {target} of domain '{domain}': {what} within {after:.1?}. The overlay stays the disk and no data is lost; \
         run recover when the guest writes less, or with a longer deadline"
    )]
    Deadline {
        /// The domain's name.
        domain: String,
        /// The disk's target.
        target: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// A block job ended without its effect. The overlay stays the disk.
    #[error(
        "disk {target} of domain '{domain}': the commit ended by itself, the overlay is still the disk and no data is lost. \
         Look for a full file system or a read error below {}, then run recover", .base.display()
    )]
    JobVanished {
        /// The domain's name.
        domain: String,
        /// The disk's target.
        target: String,
        /// Where it was committed to.
        base: PathBuf,
    },
    /// The files of a domain that is off could not be committed. The overlay, with the base below it, is the disk.
    #[error(
        "disk {target} of domain '{domain}': its overlay can't be committed while the domain is off: {source}. No data is \
         lost: run recover again, or start the domain and run recover; do not delete the overlay"
    )]
    Offline {
        /// The domain's name.
        domain: String,
        /// The disk's target.
        target: String,
        /// What was said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An internal snapshot is not what was planned.
    #[error(
        "the internal snapshot of domain '{domain}' can't be relied on: {cause}. Run recover, which deletes it"
    )]
    NotAsPlanned {
        /// The domain's name.
        domain: String,
        /// Why.
        cause: &'static str,
    },
    /// Another job of the whole domain does not end.
    #[error(
        "domain '{domain}' is busy with a job of its own for more than {after:.0?}: wait for it, or end it with 'virsh domjobabort', then run recover"
    )]
    Busy {
        /// The domain's name.
        domain: String,
        /// How long was waited.
        after: Duration,
    },
    /// The domain must run for what is to be done.
    #[error("domain '{domain}' is off, and its disks are on overlays: {remedy}")]
    NotRunning {
        /// The domain's name.
        domain: String,
        /// What to do.
        remedy: String,
    },
    /// A file operation failed.
    #[error("can't {what} {}: {source}", .path.display())]
    File {
        /// What was tried, such as `fsync`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The backend is not compiled in.
    #[error(
        "this build has no libvirt backend: build with the feature 'libvirt', or use the backend 'virsh'"
    )]
    BackendMissing,
}

impl Error {
    /// Whether trying again, with nothing changed by anyone, can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call(error) => error.is_retryable(),
            Self::Deadline { .. } | Self::JobVanished { .. } | Self::Offline { .. } | Self::Busy { .. } => {
                true
            }
            _ => false,
        }
    }

    /// Whether disks may be left on overlays, or a job, so that recovery has something to do.
    #[must_use]
    pub fn needs_recovery(&self) -> bool {
        !matches!(
            self,
            Self::Refused { .. } | Self::NotQuiet { .. } | Self::NoSnapshot { .. } | Self::BackendMissing
        )
    }

    /// The kind of the failed call, where it was one.
    #[must_use]
    pub fn call_kind(&self) -> Option<CallErrorKind> {
        match self {
            Self::Call(error) => Some(error.kind),
            _ => None,
        }
    }
}

fn list(findings: &[Finding]) -> String {
    findings
        .iter()
        .filter(|finding| finding.severity == Severity::Refusal)
        .map(|finding| format!("\n  - {finding}"))
        .collect()
}

fn disks(targets: &[String]) -> String {
    match targets {
        [one] => format!("disk {one} is"),
        many => format!("disks {} are", many.join(", ")),
    }
}
