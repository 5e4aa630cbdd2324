//! `COPIED`, held against the refcounts as stored. Only looked at when the marks say that something is wrong.

use std::collections::HashMap;

use stillpoint_storage::Storage;

use super::blocks::Blocks;
use super::expand::{bad_entries, list_entries};
use super::finding::{Finding, L1Fault, L2Fault};
use super::l2::L2Table;
use super::report::Tally;
use super::run::L1;
use super::subject::Subject;
use super::walk::{Faulty, FaultyTables};
use crate::raw::{RawL1Entry, RawL2Entry};
use crate::tables::HostOffset;

/// Checks the active layer's tables.
pub(super) fn check<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    tables: &[L1],
    l2_tables: &[L2Table],
    mut blocks: Blocks<'_, '_, S>,
    tally: &mut Tally,
) {
    let bits = subject.cluster_bits;
    let Some(active) = tables.iter().find(|l1| l1.span.active) else { return };
    let mut faulty = FaultyTables::new();
    let mut refcounts = HashMap::new();
    for table in l2_tables.iter().filter(|table| table.weight.active > 0 && table.offset != 0) {
        refcounts.insert(table.offset, blocks.refcount(table.offset >> bits));
        if table.offset < subject.file_len {
            check_table(subject, table, &mut blocks, &mut faulty, tally);
        }
    }
    let l1_faults = |entry: u64| {
        let raw = RawL1Entry(entry);
        let refcount = refcounts.get(&raw.offset()).copied().flatten();
        let wrong = refcount.filter(|&refcount| (refcount == 1) != raw.is_copied());
        wrong.map(|refcount| L1Fault::Copied { refcount }).into_iter().collect()
    };
    let bad = bad_entries(subject, &[active.span], &l1_faults, &faulty, tally);
    list_entries(subject, active, &bad, &l1_faults, &faulty, tally);
}

fn check_table<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    table: &L2Table,
    blocks: &mut Blocks<'_, '_, S>,
    faulty: &mut FaultyTables,
    tally: &mut Tally,
) {
    let mut bytes = vec![0; usize::try_from(subject.cluster_size()).unwrap_or_default()];
    if let Err(error) = subject.read(table.offset, &mut bytes, "an L2 table") {
        tally.add(Finding::unreadable("an L2 table", HostOffset(table.offset), &error));
        return;
    }
    let step = if subject.extended { 2 } else { 1 };
    for (index, word) in (0..).zip(bytes.as_chunks::<8>().0.iter().step_by(step)) {
        let raw = RawL2Entry(u64::from_be_bytes(*word));
        let zero = raw.is_zero() && !subject.extended;
        let stored = raw.offset() != 0 || (subject.data_file && raw.is_copied() && !zero);
        if raw.0 == 0 || raw.is_compressed() || !stored {
            continue;
        }
        let refcount =
            if subject.data_file { Some(1) } else { blocks.refcount(raw.offset() >> subject.cluster_bits) };
        let Some(refcount) = refcount.filter(|&refcount| (refcount == 1) != raw.is_copied()) else {
            continue;
        };
        tally.corruptions = tally.corruptions.saturating_add(table.weight.active);
        // Each is listed at least once.
        if faulty.values().map(Vec::len).sum::<usize>() < tally.room() {
            let fault = L2Fault::Copied { refcount };
            faulty.entry(table.offset).or_default().push(Faulty { index, entry: raw.0, fault });
        }
    }
}
