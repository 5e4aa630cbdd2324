//! What a check finds.

use std::fmt;

use crate::Name;
use crate::tables::{GuestOffset, HostOffset};

/// A part of an image that takes clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// The header with its extensions, in the first cluster.
    Header,
    /// An L1 table.
    L1Table(Layer),
    /// An L2 table.
    L2Table,
    /// The snapshot table.
    SnapshotTable,
    /// The refcount table.
    RefcountTable,
    /// A refcount block.
    RefcountBlock,
    /// The LUKS header with its key material.
    LuksHeader,
    /// The bitmap directory.
    BitmapDirectory,
    /// The table of the bitmap of that number.
    BitmapTable(u32),
    /// Bits of the bitmap of that number.
    BitmapData(u32),
    /// Guest data.
    GuestData,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::L1Table(layer) => write!(f, "the L1 table of {layer}"),
            Self::L2Table => f.write_str("an L2 table"),
            Self::SnapshotTable => f.write_str("the snapshot table"),
            Self::RefcountTable => f.write_str("the refcount table"),
            Self::RefcountBlock => f.write_str("a refcount block"),
            Self::LuksHeader => f.write_str("the LUKS header"),
            Self::BitmapDirectory => f.write_str("the bitmap directory"),
            Self::BitmapTable(number) => write!(f, "the table of bitmap {number}"),
            Self::BitmapData(number) => write!(f, "the bits of bitmap {number}"),
            Self::GuestData => f.write_str("guest data"),
        }
    }
}

/// Whose tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The disk as it is now.
    Active,
    /// The snapshot of that number, from 0, in the snapshot table.
    Snapshot(u32),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("the active disk"),
            Self::Snapshot(number) => write!(f, "snapshot {number}"),
        }
    }
}

/// What is wrong with an entry of an L1 table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum L1Fault {
    /// Bits that must be zero are not.
    Reserved,
    /// The L2 table goes past the end of the file by a cluster or more.
    PastTheEnd {
        /// How long the table is in bytes: a cluster.
        size: u64,
    },
    /// The L2 table is not where a cluster begins.
    Unaligned,
    /// `COPIED` must be set if, and only if, the L2 table's refcount is 1.
    Copied {
        /// What the refcount is.
        refcount: u64,
    },
    /// The L2 table begins in the file but ends past it.
    Cut,
}

/// What is wrong with an entry of an L2 table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum L2Fault {
    /// Bits that must be zero are not.
    Reserved,
    /// `COPIED` is set for a compressed cluster.
    CompressedCopied(HostOffset),
    /// A compressed cluster in an image whose data is in another file.
    CompressedInDataFile,
    /// A compressed cluster with subclusters.
    CompressedSubclusters,
    /// Subclusters that are both there and zeros.
    SubclustersContradict,
    /// Subclusters that are there in a cluster that isn't.
    SubclustersWithoutCluster,
    /// The cluster is not where one can begin.
    Unaligned {
        /// Whether it holds data, or is only kept for it.
        data: bool,
    },
    /// The cluster goes past the end of the file.
    PastTheEnd {
        /// Where it begins.
        offset: HostOffset,
        /// How long it is in bytes.
        size: u64,
    },
    /// `COPIED` must be set if, and only if, the cluster's refcount is 1.
    Copied {
        /// What the refcount is.
        refcount: u64,
    },
    /// A zero cluster in an image of version 2, which has none.
    ZeroInV2,
    /// The cluster's place in the external data file is not its place in the disk.
    NotAtItsPlace,
    /// The cluster lies where metadata is.
    InMetadata(HostOffset),
}

/// What is wrong with an entry of the refcount table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockFault {
    /// Bits that must be zero are not.
    Reserved,
    /// The block is not where a cluster begins.
    Unaligned,
    /// The block is past the end of the file.
    PastTheEnd,
    /// The block's cluster has other references than this one.
    References(u64),
}

/// One thing that is wrong, or worth knowing, with where it is.
///
/// Its text tells place and cause; [`consequence`](Self::consequence) what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The dirty bit is set: the image was not closed.
    Dirty,
    /// The corrupt bit is set: QEMU found damage when it wrote.
    MarkedCorrupt,
    /// An entry of the snapshot table lacks extra data that version 3 requires.
    SnapshotIncomplete {
        /// Number of the entry, from 0.
        entry: u32,
    },
    /// Snapshots in an image whose guest data is in another file.
    SnapshotsWithDataFile {
        /// How many there are.
        snapshots: u32,
    },
    /// A snapshot's L1 table can't be where, or as long as, it is told.
    SnapshotL1(Box<SnapshotL1>),
    /// A structure goes past the end of the file by a cluster or more.
    PastTheEnd {
        /// Which one.
        structure: Structure,
        /// Where it begins.
        offset: HostOffset,
        /// How long it is in bytes.
        size: u64,
    },
    /// A structure goes past the end of the file by less than a cluster.
    Cut {
        /// Which one.
        structure: Structure,
        /// Where it begins.
        offset: HostOffset,
        /// How long it is in bytes.
        size: u64,
    },
    /// An entry of an L1 table is wrong.
    L1 {
        /// Whose table.
        layer: Layer,
        /// Number of the entry.
        index: u32,
        /// The entry as stored.
        entry: u64,
        /// What is wrong.
        fault: L1Fault,
    },
    /// An entry of an L2 table is wrong.
    L2 {
        /// Whose table. A table may be that of several snapshots: the finding is there for each.
        layer: Layer,
        /// The cluster's first byte in the guest's disk. The VM state lies behind the disk.
        guest: GuestOffset,
        /// Number of the entry in its table.
        index: u32,
        /// The entry as stored; the first half of an extended one.
        entry: u64,
        /// What is wrong.
        fault: L2Fault,
    },
    /// An entry of the refcount table is wrong.
    Block {
        /// Number of the entry.
        index: u32,
        /// Where the block is told to be.
        offset: HostOffset,
        /// What is wrong.
        fault: BlockFault,
    },
    /// A cluster's refcount is not the number of its references.
    Refcount {
        /// The cluster's number: its offset in the file divided by the cluster size.
        cluster: u64,
        /// The refcount that is stored.
        stored: u64,
        /// The references that were counted.
        counted: u64,
    },
    /// A cluster's refcount can't be had, since its block can't.
    NoRefcount {
        /// The cluster's number.
        cluster: u64,
        /// Number of the block in the refcount table.
        index: u64,
        /// Where the block is told to be.
        offset: HostOffset,
        /// Whether no cluster begins there; otherwise no file can reach so far.
        unaligned: bool,
    },
    /// A cluster has more references than its refcount can count.
    TooManyReferences {
        /// Where the cluster begins.
        offset: HostOffset,
    },
    /// Two structures are in one cluster.
    Overlap {
        /// Where the cluster begins.
        offset: HostOffset,
        /// The structure that was found to be in a cluster that was taken.
        structure: Structure,
    },
    /// A part of the image can't be read.
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Where it begins.
        offset: HostOffset,
        /// What the storage says.
        problem: String,
    },
}

/// See [`Finding::SnapshotL1`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotL1 {
    /// The snapshot's id.
    pub id: Name,
    /// Its name.
    pub name: Name,
    /// Where its L1 table is told to be.
    pub offset: HostOffset,
    /// How many entries it is told to have.
    pub entries: u32,
    /// Whether it is refused for its length, more than 32 MiB; otherwise no cluster begins where it does.
    pub too_long: bool,
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Consequence {
    /// Nothing for who only reads, and a writer sees to it himself.
    None,
    /// Space is taken that nothing uses.
    WastesSpace,
    /// All can be read, but writing to the image may destroy data.
    UnsafeToWrite,
    /// A bitmap, a key or a snapshot's facts can't be believed.
    LosesMetadata,
    /// Guest data can't be read, or what is read is not what was written.
    LosesData,
    /// It is not known: a part of the image could not be looked at.
    Unknown,
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nothing is lost; whoever opens it for writing sees to it",
            Self::WastesSpace => "space is taken that nothing uses; no data is harmed",
            Self::UnsafeToWrite => "it can be read, but writing to the image may destroy data",
            Self::LosesMetadata => "a bitmap, a key or a snapshot's facts can't be believed",
            Self::LosesData => "guest data there can't be read, or is not what was written",
            Self::Unknown => "not known: that part could not be looked at",
        })
    }
}

/// How qemu-img counts a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// As an error ("corruption").
    Corruption,
    /// As a leaked cluster.
    Leak,
    /// As an internal error of the check.
    CheckError,
    /// Not at all: qemu-img doesn't tell it.
    Note,
}

impl L2Fault {
    /// Whether it is one that qemu-img doesn't tell.
    pub(super) const fn is_note(self) -> bool {
        matches!(self, Self::ZeroInV2 | Self::InMetadata(_) | Self::NotAtItsPlace)
    }
}

impl Finding {
    /// How qemu-img counts it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Dirty | Self::MarkedCorrupt | Self::Cut { .. } | Self::Overlap { .. } => Class::Note,
            Self::L1 { fault: L1Fault::Cut, .. } => Class::Note,
            Self::L2 { fault, .. } if fault.is_note() => Class::Note,
            Self::Refcount { stored, counted, .. } if *stored > *counted => Class::Leak,
            Self::NoRefcount { .. } | Self::Unreadable { .. } => Class::CheckError,
            _ => Class::Corruption,
        }
    }

    /// What follows from it.
    #[must_use]
    pub const fn consequence(&self) -> Consequence {
        match self {
            Self::Dirty => Consequence::None,
            Self::MarkedCorrupt | Self::Block { .. } | Self::TooManyReferences { .. } => {
                Consequence::UnsafeToWrite
            }
            Self::SnapshotIncomplete { .. } | Self::SnapshotsWithDataFile { .. } => {
                Consequence::LosesMetadata
            }
            Self::SnapshotL1(_) | Self::Overlap { .. } => Consequence::LosesData,
            Self::PastTheEnd { structure, .. } | Self::Cut { structure, .. } => of_structure(*structure),
            Self::L1 { fault, .. } => match fault {
                L1Fault::Reserved | L1Fault::Copied { .. } => Consequence::UnsafeToWrite,
                L1Fault::PastTheEnd { .. } | L1Fault::Unaligned | L1Fault::Cut => Consequence::LosesData,
            },
            Self::L2 { fault, .. } => match fault {
                L2Fault::Reserved | L2Fault::CompressedCopied(_) | L2Fault::Copied { .. } => {
                    Consequence::UnsafeToWrite
                }
                L2Fault::Unaligned { data: false } => Consequence::UnsafeToWrite,
                _ => Consequence::LosesData,
            },
            Self::Refcount { stored, counted, .. } if *stored > *counted => Consequence::WastesSpace,
            Self::Refcount { .. } => Consequence::UnsafeToWrite,
            Self::NoRefcount { .. } | Self::Unreadable { .. } => Consequence::Unknown,
        }
    }
}

const fn of_structure(structure: Structure) -> Consequence {
    match structure {
        Structure::RefcountTable | Structure::RefcountBlock => Consequence::UnsafeToWrite,
        Structure::BitmapDirectory | Structure::BitmapTable(_) | Structure::BitmapData(_) => {
            Consequence::LosesMetadata
        }
        _ => Consequence::LosesData,
    }
}
