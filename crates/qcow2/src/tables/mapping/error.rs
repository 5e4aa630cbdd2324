//! What can be wrong with L1 and L2 tables.

use crate::tables::{GuestOffset, HostOffset};

/// An L1 or L2 table that isn't believed, at a place of the guest's disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The L1 table goes past the end of the file.
    #[error("the L1 table at {offset}, of {entries} entries, goes past the end of the file")]
    L1PastTheEnd {
        /// Where it begins.
        offset: HostOffset,
        /// How many entries it has.
        entries: u32,
    },
    /// The L1 table is not where a cluster begins.
    #[error("the L1 table is told to be at {0}, where no cluster begins")]
    L1Offset(HostOffset),
    /// The L1 table is longer than 32 MiB, or too short for the disk.
    #[error(
        "the L1 table has {entries} entries, but the disk needs {needed}, and at most 4194304 are allowed"
    )]
    L1Size {
        /// How many entries it has.
        entries: u32,
        /// How many the disk needs.
        needed: u64,
    },
    /// An L2 table that is not where a cluster begins, or not wholly in the file.
    #[error(
        "the L2 table for {guest} is told to be at {offset}, where no cluster begins or the file has ended"
    )]
    L2Offset {
        /// The first place that the table is for.
        guest: GuestOffset,
        /// Where it is told to be.
        offset: HostOffset,
    },
    /// A cluster that is not where a cluster begins.
    #[error("the cluster of {guest} is told to be at {offset}, where no cluster begins")]
    ClusterOffset {
        /// The cluster's first byte in the guest's disk.
        guest: GuestOffset,
        /// Where it is told to be.
        offset: HostOffset,
    },
    /// A cluster that begins past the end of the file.
    #[error("the cluster of {guest} is told to be at {offset}, past the end of the file")]
    PastTheEnd {
        /// The cluster's first byte in the guest's disk.
        guest: GuestOffset,
        /// Where it is told to be.
        offset: HostOffset,
    },
    /// A zero cluster in an image of version 2, which has none.
    #[error("the cluster of {0} is a zero cluster, which an image of version 2 can't have")]
    ZeroInV2(GuestOffset),
    /// A compressed cluster where there can be none.
    #[error("the cluster of {0} is compressed, which an image with an external data file can't have")]
    CompressedInDataFile(GuestOffset),
    /// A cluster of an external data file that isn't where the guest has it.
    #[error(
        "the cluster of {guest} is told to be at {offset}, but in an external data file it must be where the guest has it"
    )]
    NotAtItsPlace {
        /// The cluster's first byte in the guest's disk.
        guest: GuestOffset,
        /// Where a byte of it is told to be.
        offset: HostOffset,
    },
    /// Subclusters that are both allocated and zero, or allocated in no cluster.
    #[error("the subclusters of {guest} contradict each other: {bits:#018x}")]
    Subclusters {
        /// The cluster's first byte in the guest's disk.
        guest: GuestOffset,
        /// The entry's second 64 bits.
        bits: u64,
    },
    /// A place past the end of the disk.
    #[error("{0} is past its end")]
    NoSuchPlace(GuestOffset),
}
