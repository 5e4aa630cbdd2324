//! Entries of L1 and L2 tables (specification, section "Cluster mapping").

/// Bits 9 to 55 of an entry: where in the file, in bytes.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// An entry of an L1 table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawL1Entry(pub u64);

impl RawL1Entry {
    /// Where the L2 table begins, in bytes; 0 when there is none.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 & OFFSET_MASK
    }

    /// Whether the L2 table's refcount is exactly one.
    #[must_use]
    pub const fn is_copied(self) -> bool {
        self.0 & COPIED != 0
    }

    /// Bits that must be zero.
    #[must_use]
    pub const fn reserved(self) -> u64 {
        self.0 & !(OFFSET_MASK | COPIED)
    }
}

/// An entry of an L2 table: 64 bits, or the first 64 of an extended one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawL2Entry(pub u64);

impl RawL2Entry {
    /// Whether the cluster is compressed. Then only [`compressed`](Self::compressed) means anything.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        self.0 & COMPRESSED != 0
    }

    /// Whether the cluster's refcount is exactly one.
    #[must_use]
    pub const fn is_copied(self) -> bool {
        self.0 & COPIED != 0
    }

    /// Bit 0: the cluster reads as zeros. Of version 3 without extended L2 entries only.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 & ZERO != 0
    }

    /// Where the cluster begins, in bytes; 0 when it has none (or, with an external data file, when it is there
    /// and its first).
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 & OFFSET_MASK
    }

    /// Bits that must be zero in the entry of a cluster that isn't compressed.
    #[must_use]
    pub const fn reserved(self) -> u64 {
        self.0 & !(OFFSET_MASK | COPIED | COMPRESSED | ZERO)
    }

    /// Where the compressed bytes of a cluster of `1 << cluster_bits` bytes are (9 to 21 bits).
    #[must_use]
    pub const fn compressed(self, cluster_bits: u32) -> RawCompressed {
        let shift = 62 - (cluster_bits - 8);
        let offset = self.0 & ((1 << shift) - 1);
        let sectors = (self.0 & (COMPRESSED - 1)) >> shift;
        RawCompressed { offset, len: (sectors + 1) * 512 - (offset & 511) }
    }
}

/// Where compressed bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawCompressed {
    /// Their first byte; not aligned to anything.
    pub offset: u64,
    /// How many bytes there are up to the end of the last sector of 512. The compressed stream may end sooner.
    pub len: u64,
}

/// The second 64 bits of an extended L2 entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSubclusters(pub u64);

impl RawSubclusters {
    /// Subclusters that are in the cluster, the first being bit 0.
    #[must_use]
    pub const fn allocated(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// Subclusters that read as zeros, the first being bit 0.
    #[must_use]
    pub const fn zeros(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether subcluster `index` (0 to 31) is in the cluster.
    #[must_use]
    pub const fn is_allocated(self, index: u32) -> bool {
        self.0 >> index & 1 != 0
    }

    /// Whether subcluster `index` (0 to 31) reads as zeros.
    #[must_use]
    pub const fn is_zero(self, index: u32) -> bool {
        self.0 >> (index + 32) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_entry_has_its_length_above_its_offset() {
        // 64 KiB clusters: 54 bits of offset, 8 of sectors.
        let entry = RawL2Entry(COMPRESSED | 2 << 54 | 0x12345);
        assert_eq!(entry.compressed(16), RawCompressed { offset: 0x12345, len: 3 * 512 - 0x145 });
        // 512-byte clusters: 61 bits of offset, one of sectors.
        let entry = RawL2Entry(COMPRESSED | 1 << 61 | 0x200);
        assert_eq!(entry.compressed(9), RawCompressed { offset: 0x200, len: 1024 });
        // 2 MiB clusters: 49 bits of offset, 13 of sectors.
        let entry = RawL2Entry(COMPRESSED | ((1 << 13) - 1) << 49 | 511);
        assert_eq!(entry.compressed(21), RawCompressed { offset: 511, len: 8192 * 512 - 511 });
    }

    #[test]
    fn bits_that_mean_nothing_are_told_apart() {
        assert_eq!(RawL1Entry(COPIED | 0x50000).reserved(), 0);
        assert_eq!(RawL1Entry(0x50001).reserved(), 1);
        assert_eq!(RawL2Entry(COPIED | ZERO | 0x50000).reserved(), 0);
        assert_eq!(RawL2Entry(0x50000 | 1 << 61 | 2).reserved(), 1 << 61 | 2);
    }
}
