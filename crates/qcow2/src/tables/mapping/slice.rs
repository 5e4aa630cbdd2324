//! How far QEMU looks at once.

use super::Mapping;
use crate::raw::RawL1Entry;

/// What QEMU keeps of an L2 table in one piece, unless it is told otherwise: 64 KiB.
const SLICE: u64 = 64 << 10;

impl Mapping {
    /// Where, in bytes of the disk, ends what QEMU 10 tells about `at` at once: where the L2 table or, if that is larger
    /// than 64 KiB, such a slice of it ends.
    pub(crate) fn status_ends(&self, at: u64) -> u64 {
        let covered = self.rules.covered();
        let index = usize::try_from(at / covered).unwrap_or(usize::MAX);
        let absent = self.l1.get(index).is_none_or(|&entry| RawL1Entry(entry).offset() == 0);
        let table = self.rules.cluster_size.bytes();
        // All are powers of two.
        let unit = if absent || table <= SLICE { covered } else { covered / (table / SLICE) };
        (at / unit + 1).saturating_mul(unit)
    }
}
