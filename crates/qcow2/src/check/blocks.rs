//! The refcounts as stored (specification, section "Host cluster management").

use std::collections::HashMap;

use stillpoint_storage::Storage;

use super::counts::{COPIED, Counts, METADATA, NOT_COPIED};
use super::finding::{BlockFault, Finding, Structure};
use super::report::Tally;
use super::subject::Subject;
use crate::tables::HostOffset;

/// Bits 9 to 63 of an entry of the refcount table: where the block begins.
const OFFSET_MASK: u64 = !0x1ff;
/// The longest file that QEMU reads: 2^63 bytes, less a gibibyte.
const MAX_FILE_LEN: u64 = (1 << 63) - (1 << 30);
/// Blocks that are kept when refcounts are asked for one by one.
const KEPT_BLOCKS: usize = 64;

/// The refcount table, and its blocks as they are asked for.
pub(super) struct Blocks<'a, 's, S: ?Sized> {
    subject: &'a Subject<'s, S>,
    /// Entries, up to the last that isn't zero: 8 MiB at most, and never more than the file.
    table: Vec<u64>,
    refcount_bits: u32,
    kept: HashMap<u64, Vec<u8>>,
}

/// What a comparison judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// Every cluster.
    All,
    /// Clusters that are referred to and whose refcount is too low.
    TooLow,
}

impl<'a, 's, S: Storage + ?Sized> Blocks<'a, 's, S> {
    /// Reads the refcount table.
    pub(super) fn read(subject: &'a Subject<'s, S>, tally: &mut Tally) -> Self {
        let raw = subject.header.raw();
        let offset = raw.refcount_table_offset;
        let told = u64::from(raw.refcount_table_clusters) * subject.cluster_size();
        let len = told.min(subject.file_len.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        if let Err(error) = subject.read(offset, &mut bytes, "the refcount table") {
            tally.add(Finding::unreadable("the refcount table", HostOffset(offset), &error));
            bytes.clear();
        }
        let mut table: Vec<_> =
            bytes.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect();
        table.truncate(table.iter().rposition(|&entry| entry != 0).map_or(0, |last| last + 1));
        Self { subject, table, refcount_bits: subject.header.refcount_bits(), kept: HashMap::new() }
    }

    /// Clusters that one block is for.
    const fn per_block(&self) -> u64 {
        self.subject.cluster_size() * 8 / self.refcount_bits as u64
    }

    fn entry(&self, index: u64) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.table.get(index)).copied().unwrap_or_default()
    }

    /// Whether a block can be read at `offset`: past the end of the file it is zeros, but past what a file can have
    /// there is nothing.
    const fn can_be_at(&self, offset: u64) -> bool {
        self.subject.is_aligned(offset) && offset <= MAX_FILE_LEN - self.subject.cluster_size()
    }

    /// Marks the blocks as metadata, without counting them.
    pub(super) fn mark(&self, counts: &mut Counts, tally: &mut Tally) {
        for entry in &self.table {
            let offset = entry & OFFSET_MASK;
            if offset == 0 || !self.subject.is_aligned(offset) {
                continue;
            }
            if counts.mark(offset >> self.subject.cluster_bits, METADATA) & METADATA != 0 {
                tally.add(Finding::Overlap {
                    offset: HostOffset(offset),
                    structure: Structure::RefcountBlock,
                });
            }
        }
    }

    /// Judges the table's entries and counts their blocks, after everything else was counted.
    pub(super) fn check_entries(&self, counts: &mut Counts, tally: &mut Tally) {
        for (index, &entry) in (0..).zip(&self.table) {
            if entry == 0 {
                continue;
            }
            let offset = entry & OFFSET_MASK;
            let cluster = offset >> self.subject.cluster_bits;
            let fault = if entry & !OFFSET_MASK != 0 {
                Some(BlockFault::Reserved)
            } else if !self.subject.is_aligned(offset) {
                Some(BlockFault::Unaligned)
            } else if cluster >= counts.len() {
                Some(BlockFault::PastTheEnd)
            } else {
                let overflowed = counts.overflowed();
                counts.add(cluster, 1, METADATA);
                if counts.overflowed() > overflowed {
                    tally.add(Finding::TooManyReferences { offset: HostOffset(offset) });
                }
                let references = counts.get(cluster);
                (references != 1).then_some(BlockFault::References(references))
            };
            if let Some(fault) = fault {
                tally.add(Finding::Block { index, offset: HostOffset(offset), fault });
            }
        }
    }

    /// Compares all refcounts with what was counted, reading each block once. Gives the last cluster that is used,
    /// and whether a `COPIED` contradicts a refcount.
    pub(super) fn compare(&self, counts: &Counts, judge: Judge, tally: &mut Tally) -> (u64, bool) {
        let mut seen = Seen { highest: 0, copied_suspect: false };
        let mut block = vec![0; usize::try_from(self.subject.cluster_size()).unwrap_or_default()];
        let per_block = self.per_block();
        for index in 0..counts.len().div_ceil(per_block) {
            let first = index * per_block;
            let run = counts.run(first, per_block);
            let offset = self.entry(index) & OFFSET_MASK;
            if offset == 0 {
                if run.iter().any(|&counted| counted != 0) {
                    self.each(counts, first, run, |_| 0, judge, &mut seen, tally);
                }
                continue;
            }
            if !self.can_be_at(offset) {
                let unaligned = !self.subject.is_aligned(offset);
                for cluster in first..first + run.len() as u64 {
                    if judge == Judge::All || counts.get(cluster) > 0 {
                        let offset = HostOffset(offset);
                        tally.add(Finding::NoRefcount { cluster, index, offset, unaligned });
                    }
                }
                continue;
            }
            if let Err(error) = self.subject.read(offset, &mut block, "a refcount block") {
                tally.add(Finding::unreadable("a refcount block", HostOffset(offset), &error));
                continue;
            }
            if self.refcount_bits == 16 {
                let words = block.as_chunks::<2>().0;
                let stored = |i: usize| words.get(i).map_or(0, |word| u64::from(u16::from_be_bytes(*word)));
                self.each(counts, first, run, stored, judge, &mut seen, tally);
            } else {
                let stored = |i| refcount(&block, self.refcount_bits, i);
                self.each(counts, first, run, stored, judge, &mut seen, tally);
            }
        }
        (seen.highest, seen.copied_suspect)
    }

    #[allow(clippy::too_many_arguments)] // once for each way to read a refcount
    fn each(
        &self,
        counts: &Counts,
        first: u64,
        run: &[u16],
        stored: impl Fn(usize) -> u64,
        judge: Judge,
        seen: &mut Seen,
        tally: &mut Tally,
    ) {
        for (i, &counted) in run.iter().enumerate() {
            let stored = stored(i);
            if stored == 0 && counted == 0 {
                continue;
            }
            let cluster = first + i as u64;
            if judge == Judge::All || counted > 0 {
                seen.highest = cluster;
            }
            let contradicts = if stored == 1 { NOT_COPIED } else { COPIED };
            seen.copied_suspect |= counts.marks(cluster) & contradicts != 0;
            if stored != u64::from(counted) || counted == u16::MAX {
                let counted = counts.get(cluster);
                if stored < counted || (stored > counted && judge == Judge::All) {
                    tally.add(Finding::Refcount { cluster, stored, counted });
                }
            }
        }
    }

    /// The refcount of one cluster, or `None` where it can't be had.
    pub(super) fn refcount(&mut self, cluster: u64) -> Option<u64> {
        let per_block = self.per_block();
        let offset = self.entry(cluster / per_block) & OFFSET_MASK;
        if offset == 0 {
            return Some(0);
        }
        if !self.can_be_at(offset) {
            return None;
        }
        if !self.kept.contains_key(&offset) {
            let mut block = vec![0; usize::try_from(self.subject.cluster_size()).ok()?];
            self.subject.read(offset, &mut block, "a refcount block").ok()?;
            if self.kept.len() >= KEPT_BLOCKS {
                self.kept.clear();
            }
            self.kept.insert(offset, block);
        }
        let index = usize::try_from(cluster % per_block).ok()?;
        self.kept.get(&offset).map(|block| refcount(block, self.refcount_bits, index))
    }
}

/// What a comparison came by.
struct Seen {
    highest: u64,
    copied_suspect: bool,
}

/// The refcount number `index` of a block.
fn refcount(block: &[u8], bits: u32, index: usize) -> u64 {
    if bits < 8 {
        let per_byte = 8 / bits as usize;
        let shift = index % per_byte * bits as usize;
        let byte = block.get(index / per_byte).copied().unwrap_or_default();
        return u64::from(byte >> shift) & ((1 << bits) - 1);
    }
    let len = bits as usize / 8;
    let bytes = block.get(index * len..index * len + len).unwrap_or_default();
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::refcount;

    #[test]
    fn refcounts_narrower_than_a_byte_begin_at_its_lowest_bit() {
        assert_eq!(
            (0..8).map(|i| refcount(&[0b1011_0001], 1, i)).collect::<Vec<_>>(),
            [1, 0, 0, 0, 1, 1, 0, 1]
        );
        assert_eq!((0..4).map(|i| refcount(&[0b0001_1011], 2, i)).collect::<Vec<_>>(), [3, 2, 1, 0]);
        assert_eq!((0..2).map(|i| refcount(&[0x1b], 4, i)).collect::<Vec<_>>(), [11, 1]);
    }

    #[test]
    fn wider_refcounts_are_big_endian() {
        let block = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(refcount(&block, 8, 5), 5);
        assert_eq!(refcount(&block, 16, 1), 0x0203);
        assert_eq!(refcount(&block, 32, 1), 0x0405_0607);
        assert_eq!(refcount(&block, 64, 0), 0x0001_0203_0405_0607);
        assert_eq!(refcount(&block, 64, 1), 0);
    }
}
