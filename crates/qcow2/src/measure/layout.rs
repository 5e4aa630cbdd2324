//! How a new image is laid out (specification, sections "Host cluster management" and "Cluster mapping").

use super::Measure;
use crate::tables::limits::{MAX_L1_BYTES, MIN_EXTENDED_L2_CLUSTER_BITS};
use crate::tables::{Bitmap, ClusterSize, Version};

/// A disk or layout that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The tables for it would be larger than is allowed.
    #[error("The image size is too large (try using a larger cluster size)")]
    TooLarge,
    /// A width that refcounts can't have.
    #[error("Refcount width must be a power of two and may not exceed 64 bits")]
    RefcountBits,
    /// A width that needs version 3.
    #[error(
        "Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)"
    )]
    RefcountBitsOfV2,
    /// Subclusters would be smaller than a sector.
    #[error("Extended L2 entries are only supported with cluster sizes of at least 16384 bytes")]
    ExtendedL2ClusterSize,
    /// Extended L2 entries need version 3.
    #[error(
        "Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)"
    )]
    ExtendedL2OfV2,
}

/// What a new image is to be like. By default as qemu-img makes one: version 3, clusters of 64 KiB, refcounts of
/// 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Version of the format.
    pub version: Version,
    /// Size of a cluster.
    pub cluster_size: ClusterSize,
    /// Width of a refcount in bits: 1, 2, 4, 8, 16, 32 or 64.
    pub refcount_bits: u32,
    /// Whether L2 entries are extended.
    pub extended_l2: bool,
    /// Whether all data clusters are there from the beginning, needed or not.
    pub preallocated: bool,
}

impl Default for Layout {
    fn default() -> Self {
        const CLUSTER_SIZE: ClusterSize = match ClusterSize::from_bits(16) {
            Some(size) => size,
            None => unreachable!(),
        };
        Self {
            version: Version::V3,
            cluster_size: CLUSTER_SIZE,
            refcount_bits: 16,
            extended_l2: false,
            preallocated: false,
        }
    }
}

impl Layout {
    pub(super) fn has_bitmaps(&self) -> bool {
        self.version == Version::V3
    }

    fn check(&self) -> Result<(), MeasureError> {
        if !self.refcount_bits.is_power_of_two() || self.refcount_bits > 64 {
            return Err(MeasureError::RefcountBits);
        }
        let v2 = self.version == Version::V2;
        if v2 && self.refcount_bits != 16 {
            return Err(MeasureError::RefcountBitsOfV2);
        }
        if self.extended_l2 && v2 {
            return Err(MeasureError::ExtendedL2OfV2);
        }
        if self.extended_l2 && self.cluster_size.bits() < MIN_EXTENDED_L2_CLUSTER_BITS {
            return Err(MeasureError::ExtendedL2ClusterSize);
        }
        Ok(())
    }

    /// A disk of `size` bytes with so many clusters of data.
    pub(super) fn measure(&self, size: u64, data_clusters: u64) -> Result<Measure, MeasureError> {
        self.check()?;
        let cluster = self.cluster_size.bytes();
        // Sizes are below 2^63, so that no rounding overflows.
        if size > i64::MAX as u64 - cluster {
            return Err(MeasureError::TooLarge);
        }
        let clusters = size.div_ceil(cluster);
        let entry = if self.extended_l2 { 16 } else { 8 };
        let l2_tables = clusters.div_ceil(cluster / entry);
        if l2_tables * 8 > MAX_L1_BYTES {
            return Err(MeasureError::TooLarge);
        }
        let l1_clusters = (l2_tables * 8).div_ceil(cluster);
        // The header has the first cluster.
        let tables = 1 + l2_tables + l1_clusters;
        let metadata = (tables + self.refcount_clusters(tables + clusters)) * cluster;
        let data = if self.preallocated { clusters } else { data_clusters };
        Ok(Measure {
            bitmaps: None,
            required: metadata + data * cluster,
            fully_allocated: metadata + clusters * cluster,
        })
    }

    /// How many clusters the refcount blocks and their table take that count `clusters` others and themselves.
    fn refcount_clusters(&self, clusters: u64) -> u64 {
        let cluster = self.cluster_size.bytes();
        let per_block = cluster * 8 / u64::from(self.refcount_bits);
        let (mut blocks, mut table) = (0, 0);
        loop {
            let more_blocks = (clusters + blocks + table).div_ceil(per_block);
            let more_table = more_blocks.div_ceil(cluster / 8);
            if (more_blocks, more_table) == (blocks, table) {
                return blocks + table;
            }
            (blocks, table) = (more_blocks, more_table);
        }
    }

    /// Room for the bitmaps of a disk of `size` bytes, as if all of their bits were stored.
    pub(super) fn bitmaps(&self, size: u64, bitmaps: &[Bitmap]) -> u64 {
        let cluster = self.cluster_size.bytes();
        let (mut clusters, mut directory) = (0, 0);
        for bitmap in bitmaps {
            let data = size.div_ceil(bitmap.granularity).div_ceil(8).div_ceil(cluster);
            clusters += data + (data * 8).div_ceil(cluster);
            directory += (24 + bitmap.name.as_bytes().len() as u64).next_multiple_of(8);
        }
        (clusters + u64::div_ceil(directory, cluster)) * cluster
    }
}
