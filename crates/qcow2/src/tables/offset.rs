//! Offsets and sizes that can't be mixed up.

use std::fmt;

/// A place in the guest's disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestOffset(pub u64);

/// A place in the image file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostOffset(pub u64);

impl fmt::Display for GuestOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} of the guest's disk", self.0)
    }
}

impl fmt::Display for HostOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} of the image file", self.0)
    }
}

/// The size of a cluster: a power of two from 512 bytes to 2 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterSize {
    bits: u32,
}

impl ClusterSize {
    /// A cluster of `1 << bits` bytes, or `None` where QEMU's limits don't allow it (9 to 21).
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        use super::limits::{MAX_CLUSTER_BITS, MIN_CLUSTER_BITS};
        if bits >= MIN_CLUSTER_BITS && bits <= MAX_CLUSTER_BITS { Some(Self { bits }) } else { None }
    }

    /// log2 of the size.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.bits
    }

    /// Whether `offset` is where a cluster begins.
    #[must_use]
    pub const fn is_aligned(self, offset: u64) -> bool {
        offset.trailing_zeros() >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_sizes_are_those_that_qemu_allows() {
        assert_eq!(ClusterSize::from_bits(8), None);
        assert_eq!(ClusterSize::from_bits(9).map(ClusterSize::bytes), Some(512));
        assert_eq!(ClusterSize::from_bits(21).map(ClusterSize::bytes), Some(2 << 20));
        assert_eq!(ClusterSize::from_bits(22), None);
    }

    #[test]
    fn zero_is_aligned_to_any_cluster() {
        let size = ClusterSize::from_bits(16).expect("16 is allowed");
        assert!(size.is_aligned(0) && size.is_aligned(0x10000));
        assert!(!size.is_aligned(0x8000) && !size.is_aligned(1));
    }
}
