//! Whether an image looks preallocated (specification, section "Host cluster management").

use stillpoint_storage::Storage;

use crate::Image;
use crate::views::whole_sectors;

/// As QEMU judges it: at least a tenth more clusters, and two more, have a refcount than the file has room for.
///
/// `false` where that can't be told: the allocation isn't known, or the refcounts are damaged.
/// Work: the refcount blocks of the file, each read at most once. Memory: one of them, and a row of the table.
pub(super) fn is_preallocated<S: Storage>(image: &Image<S>) -> bool {
    let storage = image.storage();
    let cluster = image.header().cluster_size().bytes();
    let Some(allocated) = storage.allocated() else { return false };
    let real = allocated / cluster;
    let cutoff = (real.saturating_mul(10) / 9).max(real + 2);
    let clusters = whole_sectors(storage.len()).div_ceil(cluster);
    // Most images are told apart here: no more clusters can have a refcount than there are.
    clusters >= cutoff && refcounted(image, clusters, cutoff).is_some_and(|count| count >= cutoff)
}

/// How many of the file's first `clusters` clusters have a refcount, counted up to `enough`.
fn refcounted<S: Storage>(image: &Image<S>, clusters: u64, enough: u64) -> Option<u64> {
    let (storage, header) = (image.storage(), image.header());
    let size = header.cluster_size();
    let per_block = size.bytes() * 8 / u64::from(header.refcount_bits());
    let (table, entries) = (header.raw().refcount_table_offset, header.raw().refcount_table_clusters);
    let entries = u64::from(entries) * (size.bytes() / 8);
    let mut block = vec![0; usize::try_from(size.bytes()).ok()?];
    let mut count = 0;
    for index in 0..clusters.div_ceil(per_block).min(entries) {
        let mut entry = [0; 8];
        storage.read_exact_at(table.checked_add(index * 8)?, &mut entry).ok()?;
        let offset = u64::from_be_bytes(entry) & !0x1ff;
        if offset == 0 {
            continue;
        }
        if !size.is_aligned(offset) {
            return None;
        }
        storage.read_exact_at(offset, &mut block).ok()?;
        let here = (clusters - index * per_block).min(per_block);
        count += nonzero(&block, here, header.refcount_bits());
        if count >= enough {
            break;
        }
    }
    Some(count)
}

/// How many of the first `count` refcounts of `bits` bits in a block are not zero.
fn nonzero(block: &[u8], count: u64, bits: u32) -> u64 {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if bits < 8 {
        let (mask, per_byte) = ((1_u8 << bits) - 1, 8 / bits);
        let all = block.iter().flat_map(|byte| (0..per_byte).map(move |i| byte >> (i * bits) & mask));
        all.take(count).filter(|&refcount| refcount != 0).count()
    } else {
        let width = usize::try_from(bits / 8).unwrap_or(1);
        block.chunks_exact(width).take(count).filter(|bytes| bytes.iter().any(|&byte| byte != 0)).count()
    };
    found as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcounts_of_every_width_are_counted() {
        // The lowest bits of a byte are the first refcount.
        let block = [0b0100_0001, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(nonzero(&block, 64, 1), 3);
        assert_eq!(nonzero(&block, 6, 1), 1);
        assert_eq!(nonzero(&block, 32, 2), 3);
        assert_eq!(nonzero(&block, 16, 4), 3);
        assert_eq!(nonzero(&block, 8, 8), 2);
        assert_eq!(nonzero(&block, 4, 16), 2);
        assert_eq!(nonzero(&block, 2, 32), 1);
        assert_eq!(nonzero(&block, 1, 64), 1);
        assert_eq!(nonzero(&block, 0, 64), 0);
    }
}
