//! All L2 tables, each read once, in the order of the file.

use std::collections::HashMap;

use stillpoint_storage::Storage;

use super::counts::{COPIED, Counts, DATA, METADATA, NOT_COPIED};
use super::finding::{Finding, L2Fault};
use super::l2::L2Table;
use super::report::Allocated;
use super::subject::Subject;
use crate::raw::{RawL2Entry, RawSubclusters};
use crate::tables::HostOffset;

/// Most bytes that are read at once, but for a single table: they stay in a processor's own cache.
const BATCH: u64 = 256 << 10;
/// Bytes between two tables that are rather read than skipped: one read costs more.
const GAP: u64 = 8 << 10;
/// Tables that aren't where a cluster begins lie over each other: so many are walked.
const MOST_UNALIGNED: usize = 4096;

/// An entry with something wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faulty {
    pub(super) index: u32,
    pub(super) entry: u64,
    pub(super) fault: L2Fault,
}

/// What is wrong with entries, by where their table begins.
pub(super) type FaultyTables = HashMap<u64, Vec<Faulty>>;

/// The walk, and what it comes to know.
pub(super) struct Walk<'a, 's, S: ?Sized> {
    subject: &'a Subject<'s, S>,
    pub(super) counts: &'a mut Counts,
    pub(super) allocated: Allocated,
    pub(super) faulty: FaultyTables,
    /// How many more faults are kept.
    room: usize,
    /// Faults that count as errors, once for each L1 entry that leads to them.
    pub(super) corruptions: u64,
    /// Faults that QEMU doesn't tell, counted the same way.
    pub(super) notes: u64,
    /// Whether an entry was seen whose `COPIED` can't be right, or can't be judged by the marks.
    pub(super) copied_suspect: bool,
    /// Whether tables were left out, since too many of them lie one over the other.
    pub(super) left_out: bool,
    pub(super) unreadable: Vec<Finding>,
}

/// An entry of the table that is being walked.
struct Entry {
    index: u32,
    raw: RawL2Entry,
    bits: RawSubclusters,
}

impl<'a, 's, S: Storage + ?Sized> Walk<'a, 's, S> {
    pub(super) fn new(subject: &'a Subject<'s, S>, counts: &'a mut Counts, most_faults: usize) -> Self {
        Self {
            subject,
            counts,
            allocated: Allocated::default(),
            faulty: HashMap::new(),
            room: most_faults,
            corruptions: 0,
            notes: 0,
            copied_suspect: false,
            left_out: false,
            unreadable: Vec::new(),
        }
    }

    /// Walks `tables`, which are sorted. Memory: 256 KiB, or a cluster if that is more.
    pub(super) fn tables(&mut self, tables: &[L2Table]) {
        let cluster = self.subject.cluster_size();
        let mut buffer = Vec::new();
        let mut unaligned = 0;
        let mut rest = tables;
        while let Some(first) = rest.first() {
            // Past the end there are zeros, which say nothing.
            if first.offset >= self.subject.file_len {
                break;
            }
            let near = |pair: &[L2Table]| match pair {
                [a, b] => b.offset - a.offset <= cluster + GAP && b.offset + cluster - first.offset <= BATCH,
                _ => false,
            };
            let count = 1 + rest.windows(2).take_while(|pair| near(pair)).count();
            let (batch, after) = rest.split_at(count);
            rest = after;
            let last = batch.last().unwrap_or(first);
            let len = usize::try_from(last.offset + cluster - first.offset).unwrap_or_default();
            buffer.resize(len, 0);
            if let Err(error) = self.subject.read(first.offset, &mut buffer, "an L2 table") {
                let finding = Finding::unreadable("an L2 table", HostOffset(first.offset), &error);
                self.unreadable.push(finding);
                continue;
            }
            for table in batch {
                if !self.subject.is_aligned(table.offset) {
                    unaligned += 1;
                    if unaligned > MOST_UNALIGNED {
                        self.left_out = true;
                        continue;
                    }
                }
                let start = usize::try_from(table.offset - first.offset).unwrap_or_default();
                let bytes = buffer.get(start..).unwrap_or_default();
                let bytes = bytes.get(..usize::try_from(cluster).unwrap_or_default()).unwrap_or_default();
                self.table(table, bytes);
            }
        }
    }

    fn table(&mut self, table: &L2Table, bytes: &[u8]) {
        let mut next = 0;
        if self.subject.extended {
            for (index, words) in (0..).zip(bytes.as_chunks::<16>().0) {
                if *words != [0; 16] {
                    let both = u128::from_be_bytes(*words);
                    let (raw, bits) = (RawL2Entry((both >> 64) as u64), RawSubclusters(both as u64));
                    self.entry(table, &Entry { index, raw, bits }, &mut next);
                }
            }
            return;
        }
        for (first, eight) in (0..).step_by(8).zip(bytes.as_chunks::<64>().0) {
            // Most of a sparse disk's tables; without a branch for each.
            if eight.as_chunks::<8>().0.iter().fold(0, |all, word| all | u64::from_be_bytes(*word)) == 0 {
                continue;
            }
            for (index, word) in (first..).zip(eight.as_chunks::<8>().0) {
                if *word != [0; 8] {
                    let raw = RawL2Entry(u64::from_be_bytes(*word));
                    self.entry(table, &Entry { index, raw, bits: RawSubclusters(0) }, &mut next);
                }
            }
        }
    }

    /// Judges and counts one entry. `next` is where the cluster would be that goes on the one before.
    fn entry(&mut self, table: &L2Table, entry: &Entry, next: &mut u64) {
        let raw = entry.raw;
        if raw.is_compressed() {
            self.compressed(table, entry);
            return;
        }
        if raw.reserved() != 0 {
            self.fault(table, entry, L2Fault::Reserved);
        }
        let zero = raw.is_zero() && !self.subject.extended;
        if zero && self.subject.v2 {
            self.fault(table, entry, L2Fault::ZeroInV2);
        }
        let offset = raw.offset();
        if offset == 0 && (zero || !self.subject.data_file || !raw.is_copied()) {
            if !zero && entry.bits.allocated() != 0 {
                self.fault(table, entry, L2Fault::SubclustersWithoutCluster);
            }
            return;
        }
        if entry.bits.allocated() & entry.bits.zeros() != 0 {
            self.fault(table, entry, L2Fault::SubclustersContradict);
        }
        if !self.subject.is_aligned(offset) {
            let data = if self.subject.extended { entry.bits.allocated() != 0 } else { !zero };
            self.fault(table, entry, L2Fault::Unaligned { data });
        }
        let active = table.weight.active;
        self.allocated.add(active, *next != 0 && offset != *next, false);
        *next = offset + self.subject.cluster_size();
        if self.subject.data_file {
            // Such an image has no snapshots: one entry leads to each table.
            let l1 = self.subject.header.l1_table().offset.0;
            let first = table.position.saturating_sub(l1) / 8 * self.subject.covered();
            if active > 0 && offset != first + (u64::from(entry.index) << self.subject.cluster_bits) {
                self.fault(table, entry, L2Fault::NotAtItsPlace);
            }
            self.copied_suspect |= active > 0 && !raw.is_copied();
            return;
        }
        let mark = match (active, raw.is_copied()) {
            (0, _) => DATA,
            (_, true) => DATA | COPIED,
            (_, false) => DATA | NOT_COPIED,
        };
        self.region(table, entry, offset, self.subject.cluster_size(), mark);
    }

    fn compressed(&mut self, table: &L2Table, entry: &Entry) {
        let place = entry.raw.compressed(self.subject.cluster_bits);
        if entry.raw.is_copied() {
            self.fault(table, entry, L2Fault::CompressedCopied(HostOffset(place.offset)));
        }
        if self.subject.data_file {
            self.fault(table, entry, L2Fault::CompressedInDataFile);
        } else if entry.bits.0 != 0 {
            self.fault(table, entry, L2Fault::CompressedSubclusters);
        } else {
            self.region(table, entry, place.offset, place.len, DATA);
            self.allocated.add(table.weight.active, true, true);
        }
    }

    /// Counts the clusters of what an entry points to.
    fn region(&mut self, table: &L2Table, entry: &Entry, offset: u64, size: u64, mark: u8) {
        if !self.subject.is_countable(offset, size) {
            self.fault(table, entry, L2Fault::PastTheEnd { offset: HostOffset(offset), size });
            self.copied_suspect |= mark != DATA;
            return;
        }
        let bits = self.subject.cluster_bits;
        let (first, last) = (offset >> bits, (offset + size - 1) >> bits);
        let mut before = self.counts.add(first, table.weight.all, mark);
        for cluster in first + 1..=last {
            before |= self.counts.add(cluster, table.weight.all, DATA);
        }
        if before & METADATA != 0 {
            self.fault(table, entry, L2Fault::InMetadata(HostOffset(offset)));
        }
    }

    #[cold]
    fn fault(&mut self, table: &L2Table, entry: &Entry, fault: L2Fault) {
        let times = if fault.is_note() { &mut self.notes } else { &mut self.corruptions };
        *times = times.saturating_add(table.weight.all);
        if let Some(room) = self.room.checked_sub(1) {
            self.room = room;
            let faulty = Faulty { index: entry.index, entry: entry.raw.0, fault };
            self.faulty.entry(table.offset).or_default().push(faulty);
        }
    }
}
