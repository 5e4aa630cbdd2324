//! Which L2 tables there are, and what is wrong with the L1 entries that say so.

use stillpoint_storage::Storage;

use super::finding::L1Fault;
use super::spans::Weight;
use super::subject::Subject;
use crate::raw::RawL1Entry;

/// An L2 table, and how often L1 tables point to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct L2Table {
    /// Where it begins.
    pub(super) offset: u64,
    /// Where one of the L1 entries is that point to it.
    pub(super) position: u64,
    /// How many entries of L1 tables point to it.
    pub(super) weight: Weight,
}

/// All L2 tables, each once.
#[derive(Debug, Default)]
pub(super) struct L2Tables {
    tables: Vec<L2Table>,
    /// How many there were when equal ones were last put together.
    merged: usize,
}

impl L2Tables {
    /// Memory: 32 bytes for each, and twice that before equal ones are put together.
    pub(super) fn push(&mut self, offset: u64, position: u64, weight: Weight) {
        self.tables.push(L2Table { offset, position, weight });
        if self.tables.len() > 2 * self.merged + (64 << 10) {
            self.merge();
        }
    }

    /// The tables by where they are.
    pub(super) fn into_sorted(mut self) -> Vec<L2Table> {
        self.merge();
        self.tables
    }

    fn merge(&mut self) {
        self.tables.sort_unstable_by_key(|table| table.offset);
        self.tables.dedup_by(|next, kept| {
            let same = next.offset == kept.offset;
            if same {
                kept.weight.all = kept.weight.all.saturating_add(next.weight.all);
                kept.weight.active = kept.weight.active.saturating_add(next.weight.active);
            }
            same
        });
        self.merged = self.tables.len();
    }
}

/// What is wrong with an L1 entry by itself, in the order in which QEMU tells it.
pub(super) fn l1_faults<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    entry: RawL1Entry,
) -> impl Iterator<Item = L1Fault> {
    let (offset, size) = (entry.offset(), subject.cluster_size());
    let countable = subject.is_countable(offset, size);
    // Offsets have 56 bits.
    let cut = countable && offset + size > subject.storage.len();
    [
        (entry.reserved() != 0).then_some(L1Fault::Reserved),
        (!countable).then_some(L1Fault::PastTheEnd { size }),
        (!subject.is_aligned(offset)).then_some(L1Fault::Unaligned),
        cut.then_some(L1Fault::Cut),
    ]
    .into_iter()
    .flatten()
}
