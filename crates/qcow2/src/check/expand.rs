//! Findings in tables, one for each layer that reaches them, in the order in which QEMU tells them.

use stillpoint_storage::Storage;

use super::Scope;
use super::finding::{Class, Finding, L1Fault, Layer, Structure};
use super::report::Tally;
use super::roots::Roots;
use super::run::{L1, find};
use super::snapshots::Snapshot;
use super::spans::{Span, sweep};
use super::subject::Subject;
use super::walk::FaultyTables;
use crate::raw::RawL1Entry;
use crate::tables::GuestOffset;

/// Tells what a single L1 entry has wrong.
pub(super) type L1Faults<'f> = dyn Fn(u64) -> Vec<L1Fault> + 'f;

/// An L1 entry with something wrong in it or in the table that it leads to, and where in the file it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct BadEntry {
    position: u64,
    entry: u64,
}

/// Counts what is wrong with L1 entries and snapshots, and lists that with what is wrong with L2 entries, which were
/// counted before.
pub(super) fn expand<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    tables: &[L1],
    snapshots: &[Snapshot],
    scope: &Scope,
    l1_faults: &L1Faults<'_>,
    faulty: &FaultyTables,
    tally: &mut Tally,
) {
    let spans: Vec<_> = tables.iter().map(|l1| l1.span).collect();
    let bad = bad_entries(subject, &spans, l1_faults, faulty, tally);
    let mut tables = tables.iter().peekable();
    if let Some(active) = tables.next_if(|l1| l1.layer == Layer::Active) {
        list(subject, active, &bad, l1_faults, faulty, tally);
    }
    if *scope == Scope::All && subject.data_file && !snapshots.is_empty() {
        // At most 65,536.
        let count = u32::try_from(snapshots.len()).unwrap_or(u32::MAX);
        tally.add(Finding::SnapshotsWithDataFile { snapshots: count });
    }
    let wanted = match scope {
        Scope::All => snapshots,
        Scope::Active => &[],
        Scope::Snapshot(wanted) => find(snapshots, wanted).map_or(&[][..], std::slice::from_ref),
    };
    for snapshot in wanted {
        if let Some(finding) = snapshot.fault(subject) {
            tally.add(finding);
        } else if let Some(l1) = tables.next() {
            list(subject, l1, &bad, l1_faults, faulty, tally);
        }
    }
}

/// L1 entries with something wrong, in the order of the file, as many as can be listed. Counts what is wrong with the
/// entries themselves.
pub(super) fn bad_entries<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    spans: &[Span],
    l1_faults: &L1Faults<'_>,
    faulty: &FaultyTables,
    tally: &mut Tally,
) -> Vec<BadEntry> {
    let mut bad = Vec::new();
    let most = tally.room();
    // What can't be read was told when the tables were first gone through.
    let mut told = Vec::new();
    sweep(subject, spans, "an L1 table", &mut told, |position, entry, weight| {
        let faults = l1_faults(entry);
        for fault in &faults {
            let finding = Finding::L1 { layer: Layer::Active, index: 0, entry, fault: *fault };
            let times = match finding.class() {
                Class::Note => &mut tally.notes,
                _ => &mut tally.corruptions,
            };
            *times = times.saturating_add(weight.all);
        }
        if (!faults.is_empty() || faulty.contains_key(&RawL1Entry(entry).offset())) && bad.len() < most {
            bad.push(BadEntry { position, entry });
        }
    });
    bad
}

/// Lists what one L1 table leads to.
pub(super) fn list<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    l1: &L1,
    bad: &[BadEntry],
    l1_faults: &L1Faults<'_>,
    faulty: &FaultyTables,
    tally: &mut Tally,
) {
    let Span { offset, words, .. } = l1.span;
    let layer = l1.layer;
    if words > 0 {
        let past = Roots::new(subject).past_the_end(Structure::L1Table(layer), offset, words * 8);
        past.into_iter().for_each(|finding| tally.add(finding));
    }
    list_entries(subject, l1, bad, l1_faults, faulty, tally);
}

/// The same without the place of the L1 table itself.
pub(super) fn list_entries<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    l1: &L1,
    bad: &[BadEntry],
    l1_faults: &L1Faults<'_>,
    faulty: &FaultyTables,
    tally: &mut Tally,
) {
    let Span { offset, words, .. } = l1.span;
    let layer = l1.layer;
    let end = offset.saturating_add(words.saturating_mul(8));
    let first = bad.partition_point(|entry| entry.position < offset);
    let here = bad.iter().skip(first).take_while(|entry| entry.position < end);
    for BadEntry { position, entry } in here {
        // An L1 table has at most 2^22 entries.
        let index = u32::try_from((position - offset) / 8).unwrap_or(u32::MAX);
        for fault in l1_faults(*entry) {
            if !tally.list(Finding::L1 { layer, index, entry: *entry, fault }) {
                return;
            }
        }
        let start = u64::from(index).saturating_mul(subject.covered());
        for faulty in faulty.get(&RawL1Entry(*entry).offset()).into_iter().flatten() {
            let inside = u64::from(faulty.index) << subject.cluster_bits;
            let guest = GuestOffset(start.saturating_add(inside));
            let (index, entry, fault) = (faulty.index, faulty.entry, faulty.fault);
            if !tally.list(Finding::L2 { layer, guest, index, entry, fault }) {
                return;
            }
        }
    }
}
