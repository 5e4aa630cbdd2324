//! A domain's XML, as far as its disks go.
//!
//! Written from libvirt's documentation of the domain XML format (formatdomain, "Hard drives, floppy disks,
//! CDROMs", `backingStore`, `mirror`).

mod edit;
mod parse;

use std::path::{Path, PathBuf};

use uuid::Uuid;

pub(crate) use edit::escape;
pub use edit::rebase_definition;

/// A domain's XML can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the domain's XML can't be read: {0}")]
pub struct XmlError(pub String);

/// A domain, as its XML tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// The UUID.
    pub uuid: Uuid,
    /// The name.
    pub name: String,
    /// The number of this start, in the live XML of an active domain.
    pub id: Option<u32>,
    /// Its disks, in the order of the XML.
    pub disks: Vec<Disk>,
    /// The guest agent's channel.
    pub agent: AgentChannel,
    /// The guest's memory in bytes, where the XML tells it.
    pub memory: Option<u64>,
    /// What it boots by.
    pub firmware: Firmware,
    /// Whether a device of the host is passed through to it.
    pub passthrough: bool,
    /// The models of its security labels, such as `apparmor`.
    pub security_models: Vec<String>,
}

/// What a domain boots by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firmware {
    /// Whether it is in flash memory, as UEFI is.
    pub flash: bool,
    /// The format of the file with its variables, where it has one.
    pub variables: Option<String>,
}

/// Whether a guest agent can be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentChannel {
    /// The domain has no channel for one.
    Absent,
    /// There is a channel, and nobody opened it inside the guest.
    Disconnected,
    /// There is a channel, and it is open inside the guest.
    Connected,
    /// There is a channel, and the XML doesn't say more (as inactive XML never does).
    Unknown,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The target, such as `vda`, which is unique in a domain.
    pub target: String,
    /// The attribute `device`: `disk`, `cdrom`, `floppy` or `lun`.
    pub device: String,
    /// The active layer, with all below it.
    pub source: Source,
    /// The active layer's format, where the XML tells it.
    pub format: Option<String>,
    /// Whether the guest may only read it.
    pub readonly: bool,
    /// Whether several domains may write it at once.
    pub shareable: bool,
    /// Whether changes are thrown away when the domain ends.
    pub transient: bool,
    /// The layers below, from the top down, as far as the XML tells.
    pub backing: Vec<Layer>,
    /// The block job that copies it elsewhere or commits it, if there is one.
    pub mirror: Option<Mirror>,
}

/// One layer below the active one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Where it is.
    pub source: Source,
    /// Its format, where the XML tells it.
    pub format: Option<String>,
}

/// Where a layer is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A block device.
    Block(PathBuf),
    /// Something over the network.
    Network {
        /// The protocol, such as `gluster`.
        protocol: String,
        /// The name, such as `volume/path`.
        name: String,
    },
    /// A volume of a storage pool of libvirt's.
    Volume {
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
    },
    /// Nothing, as in an empty drive.
    Empty,
    /// Anything else, by the attribute `type`.
    Other(String),
}

/// A block job, as the live XML tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The kind: `copy` or `active-commit`.
    pub job: String,
    /// How far it is.
    pub ready: Ready,
    /// Where the job writes.
    pub source: Option<PathBuf>,
}

/// How far a block job is (the attribute `ready`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Still copying.
    No,
    /// Both sides are equal and are kept so: it may be pivoted or ended.
    Yes,
    /// A pivot is under way.
    Pivot,
    /// An end without effect is under way.
    Abort,
}

impl Domain {
    /// Reads a domain's XML, live or inactive.
    ///
    /// # Errors
    /// [`XmlError`] when it is no XML of a domain.
    pub fn parse(xml: &str) -> Result<Self, XmlError> {
        parse::domain(xml)
    }

    /// The disk of this target.
    #[must_use]
    pub fn disk(&self, target: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.target == target)
    }
}

impl Source {
    /// The path, for a file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it is the file of this path.
    #[must_use]
    pub fn is_file(&self, path: &Path) -> bool {
        self.file() == Some(path)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Block(path) => write!(f, "the block device {}", path.display()),
            Self::Network { protocol, name } => write!(f, "{name} over {protocol}"),
            Self::Volume { pool, volume } => write!(f, "the volume {volume} of the pool {pool}"),
            Self::Empty => f.write_str("nothing"),
            Self::Other(kind) => write!(f, "something of the type {kind:?}"),
        }
    }
}

impl Disk {
    /// Whether it is a plain disk that holds something: what a still point is about.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self.device.as_str(), "disk" | "lun") && self.source != Source::Empty
    }
}
