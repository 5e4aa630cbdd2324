//! What is asked of a hypervisor, whichever way it is reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::call::CallError;

/// A hypervisor that speaks libvirt's language: domains, their XML, and the block jobs on their disks.
///
/// Every method is one call with a deadline of the implementation's own. None waits for a block job: a commit is
/// started, watched in the XML, and pivoted, so that a caller that dies leaves a state that the next can read.
pub trait Hypervisor: Send + Sync + fmt::Debug {
    /// Which way the hypervisor is reached.
    fn backend(&self) -> Backend;

    /// The connect URI, as given.
    fn uri(&self) -> &str;

    /// The versions of libvirt and of the hypervisor, as far as they can be told.
    ///
    /// # Errors
    /// When the hypervisor can't be reached.
    fn versions(&self) -> Result<Versions, CallError>;

    /// All domains, running or not, in no particular order.
    ///
    /// # Errors
    /// When the hypervisor can't be reached.
    fn domains(&self) -> Result<Vec<DomainId>, CallError>;

    /// The domain of this name or UUID; a name wins.
    ///
    /// # Errors
    /// [`NoDomain`](crate::CallErrorKind::NoDomain) when there is none.
    fn find(&self, name_or_uuid: &str) -> Result<DomainId, CallError>;

    /// What the domain does just now.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn state(&self, domain: &DomainId) -> Result<DomainState, CallError>;

    /// Whether the domain is defined for longer than it runs.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn is_persistent(&self, domain: &DomainId) -> Result<bool, CallError>;

    /// The domain's XML. For a domain that is off, live and inactive are the same.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn xml(&self, domain: &DomainId, which: Which) -> Result<String, CallError>;

    /// Sets how long the hypervisor waits for the guest agent, in whole seconds, at least 1. Libvirt's default is
    /// for ever. Holds until it is set again or the domain stops.
    ///
    /// # Errors
    /// When it can't be set: then don't call the agent.
    fn set_agent_timeout(&self, domain: &DomainId, timeout: Duration) -> Result<(), CallError>;

    /// Freezes all of the guest's file systems through its agent and tells how many.
    ///
    /// # Errors
    /// The agent's kinds. After an error the guest may be frozen all the same: thaw.
    fn freeze(&self, domain: &DomainId) -> Result<u32, CallError>;

    /// Thaws all of the guest's file systems and tells how many were frozen, or 0 when that isn't told. Harmless
    /// when none is.
    ///
    /// # Errors
    /// The agent's kinds.
    fn thaw(&self, domain: &DomainId) -> Result<u32, CallError>;

    /// Makes the snapshot that this `<domainsnapshot>` describes, with the flags `DISK_ONLY`, `ATOMIC`,
    /// `NO_METADATA` and `VALIDATE`.
    ///
    /// # Errors
    /// After *any* error the snapshot may exist all the same: read the XML again.
    fn snapshot(&self, domain: &DomainId, xml: &str) -> Result<(), CallError>;

    /// Makes the internal snapshot that this `<domainsnapshot>` describes, with the flag `VALIDATE`, of a domain that
    /// runs or is off, and waits for it, at most so long: a guest's memory may be written meanwhile.
    ///
    /// # Errors
    /// After *any* error the snapshot may exist, or come to exist: list the snapshots.
    fn snapshot_internal(&self, domain: &DomainId, xml: &str, deadline: Duration) -> Result<(), CallError>;

    /// The names of the snapshots that libvirt keeps metadata of, in no particular order.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn snapshots(&self, domain: &DomainId) -> Result<Vec<String>, CallError>;

    /// Deletes the snapshot of this name, with what it holds.
    ///
    /// # Errors
    /// When there is no such domain or snapshot. After any other error it may be gone, or go later.
    fn delete_snapshot(&self, domain: &DomainId, name: &str) -> Result<(), CallError>;

    /// Starts an active block commit and returns while it runs.
    ///
    /// # Errors
    /// After any error the job may run all the same: read the XML again.
    fn commit(&self, domain: &DomainId, spec: &CommitSpec) -> Result<(), CallError>;

    /// How far the block job on this disk is, if there is one. For showing progress only: `current == end` is
    /// not ready.
    ///
    /// # Errors
    /// When there is no such domain or disk, or no answer.
    fn block_job(&self, domain: &DomainId, target: &str) -> Result<Option<BlockJob>, CallError>;

    /// Ends a ready commit by making the base the disk again.
    ///
    /// # Errors
    /// [`NotReady`](crate::CallErrorKind::NotReady) when it is not ready. After any error, read the XML again.
    fn pivot(&self, domain: &DomainId, target: &str) -> Result<(), CallError>;

    /// Ends a block job without its effect: the overlay stays the disk.
    ///
    /// # Errors
    /// When there is no such domain, disk or job, or no answer.
    fn cancel_job(&self, domain: &DomainId, target: &str) -> Result<(), CallError>;

    /// Stops the virtual CPUs.
    ///
    /// # Errors
    /// When the domain doesn't run, or no answer.
    fn suspend(&self, domain: &DomainId) -> Result<(), CallError>;

    /// Lets the virtual CPUs run again.
    ///
    /// # Errors
    /// When the domain isn't paused, or no answer.
    fn resume(&self, domain: &DomainId) -> Result<(), CallError>;

    /// Defines a domain from XML, or defines one of the same UUID anew.
    ///
    /// # Errors
    /// When the XML is refused, or no answer.
    fn define(&self, xml: &str) -> Result<(), CallError>;

    /// Stores an element in the domain's metadata under this namespace, live (where it runs) and in its
    /// definition, or removes it.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn set_metadata(&self, domain: &DomainId, namespace: &str, xml: Option<&str>) -> Result<(), CallError>;

    /// The element stored under this namespace in the domain's definition, without its namespace declaration.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn metadata(&self, domain: &DomainId, namespace: &str) -> Result<Option<String>, CallError>;

    /// Whether a job of the whole domain is under way: a save, migration, dump or backup.
    ///
    /// # Errors
    /// When there is no such domain, it is off, or no answer.
    fn has_task(&self, domain: &DomainId) -> Result<bool, CallError>;

    /// The size of this disk as the guest sees it, in bytes.
    ///
    /// # Errors
    /// When there is no such domain or disk, or no answer.
    fn capacity(&self, domain: &DomainId, target: &str) -> Result<u64, CallError>;

    /// Whether the domain, off, goes on from its saved memory ('managed save') when it is started.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn has_saved_state(&self, domain: &DomainId) -> Result<bool, CallError>;

    /// How many snapshots libvirt keeps metadata of.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn snapshot_count(&self, domain: &DomainId) -> Result<u32, CallError>;

    /// How many checkpoints (for incremental backup) the domain has.
    ///
    /// # Errors
    /// When there is no such domain, or no answer.
    fn checkpoint_count(&self, domain: &DomainId) -> Result<u32, CallError>;
}

/// The ways to reach a hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// The program `virsh`, one process a call.
    Virsh,
    /// Libvirt's C library, through the `virt` crate.
    Libvirt,
    /// In memory, for tests and demonstrations.
    Simulated,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virsh => "virsh",
            Self::Libvirt => "libvirt",
            Self::Simulated => "simulated",
        })
    }
}

/// A domain: the UUID tells it from others, the name is for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DomainId {
    /// The UUID, by which every call finds the domain.
    pub uuid: Uuid,
    /// The name, as it was when the domain was looked up.
    pub name: String,
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' ({})", self.name, self.uuid)
    }
}

/// What a domain does (libvirt's `virDomainState` and its reasons, as far as they matter here).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainState {
    /// Its virtual CPUs run.
    Running,
    /// Its virtual CPUs are stopped.
    Paused(PauseReason),
    /// It is shutting down by itself just now.
    ShuttingDown,
    /// It is off, by shutdown, destruction or crash.
    Off,
    /// It sleeps by its own power management. No snapshot can be made.
    Sleeping,
    /// Anything else, by libvirt's number.
    Other(u32),
}

impl DomainState {
    /// From the numbers of `virDomainGetState`: `virDomainState` and the reason of that state.
    #[must_use]
    pub fn from_numbers(state: u32, reason: u32) -> Self {
        match state {
            1 | 2 => Self::Running,
            3 => Self::Paused(PauseReason::from_number(reason)),
            4 => Self::ShuttingDown,
            5 | 6 => Self::Off,
            7 => Self::Sleeping,
            other => Self::Other(other),
        }
    }

    /// Whether a QEMU runs for the domain, with its CPUs stopped or not.
    #[must_use]
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Off)
    }
}

/// Why virtual CPUs are stopped (`virDomainPausedReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PauseReason {
    /// Someone asked for it (1), which may have been this crate.
    User,
    /// A disk had an I/O error (5), such as no space left for its overlay.
    IoError,
    /// Anything else, by libvirt's number.
    Other(u32),
}

impl PauseReason {
    fn from_number(reason: u32) -> Self {
        match reason {
            1 => Self::User,
            5 => Self::IoError,
            other => Self::Other(other),
        }
    }
}

/// Which of a domain's XML descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// What runs now.
    Live,
    /// What the next start uses.
    Inactive,
    /// What the next start uses, with secrets in it: only to be defined again, never logged or kept.
    InactiveWithSecrets,
}

/// A version of libvirt or QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub micro: u32,
}

impl Version {
    /// A version of three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, micro: u32) -> Self {
        Self { major, minor, micro }
    }

    /// From libvirt's form of a version: `major * 1,000,000 + minor * 1,000 + micro`.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        // Each part is below 2^32: the first for all that libvirt can return, the others by the remainder.
        Self::new((number / 1_000_000) as u32, (number / 1_000 % 1_000) as u32, (number % 1_000) as u32)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.').map(str::parse);
        let mut next = || parts.next().unwrap_or(Ok(0)).map_err(|_| ());
        Ok(Self::new(next()?, next()?, next()?))
    }
}

/// The versions that a hypervisor told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Versions {
    /// Of the libvirt daemon, or of the library where the driver runs inside the caller.
    pub libvirt: Option<Version>,
    /// Of QEMU, or what else runs the domains.
    pub hypervisor: Option<Version>,
}

/// What to commit into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSpec {
    /// The disk's target, such as `vda`.
    pub target: String,
    /// The layer to commit into, as the XML writes it. Never left out: libvirt's default is the bottom of the
    /// chain, which may be a template that other domains share.
    pub base: PathBuf,
    /// The active layer, as the XML writes it.
    pub top: PathBuf,
    /// The most bytes a second to copy; no limit when `None`.
    pub bandwidth: Option<u64>,
}

/// How far a block job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockJob {
    /// What is done, in the job's own unit (bytes, for a commit).
    pub current: u64,
    /// What there is to do, which grows while the guest writes.
    pub end: u64,
}
