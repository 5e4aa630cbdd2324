//! A check from its beginning to its end.

use stillpoint_storage::Storage;

use super::blocks::{Blocks, Judge};
use super::copied;
use super::counts::{COPIED, Counts, METADATA, NOT_COPIED};
use super::expand::expand;
use super::finding::{Finding, L1Fault, Layer, Structure};
use super::l2::{L2Table, L2Tables, l1_faults};
use super::report::{Allocated, CheckReport, Failure, Tally};
use super::roots::Roots;
use super::snapshots::{self, Snapshot, SnapshotTable};
use super::spans::{Span, sweep};
use super::subject::Subject;
use super::walk::Walk;
use super::{CheckOptions, Scope, bitmaps};
use crate::raw::{Incompatible, RawL1Entry};
use crate::tables::{Bitmap, HostOffset};
use crate::{Error, Name};

/// Most clusters of a file, as QEMU has it.
const MOST_CLUSTERS: u64 = i32::MAX as u64;

/// An L1 table that is walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct L1 {
    pub(super) layer: Layer,
    pub(super) span: Span,
}

pub(super) fn run<S: Storage + ?Sized>(storage: &S, options: &CheckOptions) -> Result<CheckReport, Error> {
    let subject = Subject::open(storage)?;
    // A disk by itself is not the worse for bitmaps that can't be read.
    let bitmaps = if options.scope == Scope::All { bitmaps::directory(&subject)? } else { Vec::new() };
    let mut check = Check {
        subject: &subject,
        options,
        tally: Tally::new(options.max_findings),
        report: CheckReport {
            corruptions: 0,
            leaks: 0,
            check_errors: 0,
            notes: 0,
            total_clusters: (subject.header.virtual_size() & !511).div_ceil(subject.cluster_size()),
            allocated: Allocated::default(),
            image_end_offset: 0,
            stale_bitmaps: subject.extensions.stale_bitmaps(),
            findings: Vec::new(),
            unlisted: 0,
            failure: None,
        },
    };
    let failure = check.judge(&bitmaps).err();
    let Check { tally, mut report, .. } = check;
    report.failure = failure.or(report.failure);
    (report.corruptions, report.leaks) = (tally.corruptions, tally.leaks);
    (report.check_errors, report.notes) = (tally.check_errors, tally.notes);
    (report.findings, report.unlisted) = tally.into_findings();
    Ok(report)
}

struct Check<'a, 's, S: ?Sized> {
    subject: &'a Subject<'s, S>,
    options: &'a CheckOptions,
    tally: Tally,
    report: CheckReport,
}

impl<S: Storage + ?Sized> Check<'_, '_, S> {
    fn judge(&mut self, bitmaps: &[Bitmap]) -> Result<(), Failure> {
        let subject = self.subject;
        self.bits();
        let table = match self.options.scope {
            Scope::Active => SnapshotTable::default(),
            _ => snapshots::read(subject, &mut self.tally)?,
        };
        if subject.clusters() > MOST_CLUSTERS {
            return Err(Failure::TooManyClusters);
        }
        let all = self.options.scope == Scope::All;
        let tables = self.l1_tables(&table)?;
        let mut counts = Counts::new(subject, self.options.max_findings);
        // What is told after the tables, but has to be marked before they are walked.
        let mut tail = Tally::new(self.options.max_findings);
        let blocks = Blocks::read(subject, &mut tail);
        let counted = self.mark(&mut counts, &tables, &table, bitmaps, &blocks, &mut tail);

        let l2_tables = self.l2_tables(&mut counts, &tables);
        let checks_copied = !matches!(self.options.scope, Scope::Snapshot(_));
        let mut copied_suspect = self.walk(&mut counts, &tables, &l2_tables, &table);
        self.tally.append(tail);
        counted?;
        for (cluster, times) in counts.overflows() {
            let offset = HostOffset(cluster << subject.cluster_bits);
            for _ in 0..times {
                if !self.tally.list(Finding::TooManyReferences { offset }) {
                    break;
                }
            }
        }
        self.tally.corruptions = self.tally.corruptions.saturating_add(counts.overflowed());
        if all {
            blocks.check_entries(&mut counts, &mut self.tally);
        }
        let judge = if all { Judge::All } else { Judge::TooLow };
        let (highest, contradicts) = blocks.compare(&counts, judge, &mut self.tally);
        self.report.image_end_offset = (highest + 1) << subject.cluster_bits;
        copied_suspect |= contradicts;
        drop(counts);
        if checks_copied && copied_suspect {
            copied::check(subject, &tables, &l2_tables, blocks, &mut self.tally);
        }
        Ok(())
    }

    fn bits(&mut self) {
        let incompatible = self.subject.header.incompatible();
        if incompatible.contains(Incompatible::DIRTY) {
            self.tally.add(Finding::Dirty);
        }
        if incompatible.contains(Incompatible::CORRUPT) {
            self.tally.add(Finding::MarkedCorrupt);
        }
    }

    /// The L1 tables that are walked, in QEMU's order. Those of snapshots that can't be are left out.
    fn l1_tables(&self, table: &SnapshotTable) -> Result<Vec<L1>, Failure> {
        let place = self.subject.header.l1_table();
        let words = u64::from(place.entries);
        let active = L1 { layer: Layer::Active, span: Span { offset: place.offset.0, words, active: true } };
        let of_snapshot = |snapshot: &Snapshot, active| L1 {
            layer: Layer::Snapshot(snapshot.number),
            span: Span { offset: snapshot.l1_offset, words: u64::from(snapshot.l1_entries), active },
        };
        Ok(match &self.options.scope {
            Scope::Active => vec![active],
            Scope::Snapshot(wanted) => {
                let snapshot =
                    find(&table.snapshots, wanted).ok_or_else(|| Failure::NoSuchSnapshot(wanted.clone()))?;
                let sound = snapshot.fault(self.subject).is_none();
                sound.then(|| of_snapshot(snapshot, true)).into_iter().collect()
            }
            Scope::All => {
                let sound = table.snapshots.iter().filter(|snapshot| snapshot.fault(self.subject).is_none());
                std::iter::once(active).chain(sound.map(|snapshot| of_snapshot(snapshot, false))).collect()
            }
        })
    }

    /// Counts and marks everything but L2 tables, refcount blocks and guest data. What is found goes to `tail`,
    /// since QEMU tells it after the tables.
    fn mark(
        &self,
        counts: &mut Counts,
        tables: &[L1],
        table: &SnapshotTable,
        bitmaps: &[Bitmap],
        blocks: &Blocks<'_, '_, S>,
        tail: &mut Tally,
    ) -> Result<(), Failure> {
        let subject = self.subject;
        let header = subject.header.raw();
        let roots = Roots::new(subject);
        let all = self.options.scope == Scope::All;
        roots.add(counts, Structure::Header, 0, subject.cluster_size(), tail);
        let l1_tables: Vec<_> = tables.iter().map(|l1| (Structure::L1Table(l1.layer), l1.span)).collect();
        roots.add_l1_tables(counts, &l1_tables, tail);
        blocks.mark(counts, tail);
        roots.add(counts, Structure::SnapshotTable, table.offset, table.len, tail);
        let len = u64::from(header.refcount_table_clusters) * subject.cluster_size();
        roots.add(counts, Structure::RefcountTable, header.refcount_table_offset, len, tail);
        if let Some(place) = subject.extensions.crypto_header() {
            roots.add(counts, Structure::LuksHeader, place.offset, place.length, tail);
        }
        if all { bitmaps::count(subject, bitmaps, counts, tail) } else { Ok(()) }
    }

    /// Finds all L2 tables, counts and marks them.
    fn l2_tables(&mut self, counts: &mut Counts, tables: &[L1]) -> Vec<L2Table> {
        let subject = self.subject;
        let bits = subject.cluster_bits;
        let spans: Vec<_> = tables.iter().map(|l1| l1.span).collect();
        let mut found = L2Tables::default();
        let mut unreadable = Vec::new();
        sweep(subject, &spans, "an L1 table", &mut unreadable, |position, word, weight| {
            let entry = RawL1Entry(word);
            found.push(entry.offset(), position, weight);
            if weight.active > 0 && entry.offset() != 0 {
                let mark = if entry.is_copied() { COPIED } else { NOT_COPIED };
                counts.mark(entry.offset() >> bits, mark);
            }
        });
        for finding in unreadable {
            self.tally.add(finding);
        }
        let found = found.into_sorted();
        for table in &found {
            let (offset, size) = (table.offset, subject.cluster_size());
            if !subject.is_countable(offset, size) {
                continue;
            }
            for cluster in offset >> bits..=(offset + size - 1) >> bits {
                if counts.add(cluster, table.weight.all, METADATA) & METADATA != 0 {
                    let offset = HostOffset(cluster << bits);
                    self.tally.add(Finding::Overlap { offset, structure: Structure::L2Table });
                }
            }
        }
        found
    }

    /// Walks the L2 tables, and tells what is wrong in L1 and L2 tables. Gives whether `COPIED` is to be looked at.
    fn walk(
        &mut self,
        counts: &mut Counts,
        tables: &[L1],
        l2_tables: &[L2Table],
        table: &SnapshotTable,
    ) -> bool {
        let subject = self.subject;
        let mut walk = Walk::new(subject, counts, self.options.max_findings);
        walk.tables(l2_tables);
        let mut suspect = walk.copied_suspect;
        // An L2 table past the end of the file has no marks.
        suspect |= l2_tables.iter().any(|l2| {
            l2.weight.active > 0 && l2.offset != 0 && !subject.is_countable(l2.offset, subject.cluster_size())
        });
        let Walk { faulty, corruptions, notes, allocated, unreadable, left_out, .. } = walk;
        self.report.allocated = allocated;
        self.tally.corruptions = self.tally.corruptions.saturating_add(corruptions);
        self.tally.notes = self.tally.notes.saturating_add(notes);
        for finding in unreadable {
            self.tally.add(finding);
        }
        if left_out {
            self.report.failure = Some(Failure::UnalignedTables);
        }
        let l1 = |entry: u64| -> Vec<L1Fault> { l1_faults(subject, RawL1Entry(entry)).collect() };
        expand(subject, tables, &table.snapshots, &self.options.scope, &l1, &faulty, &mut self.tally);
        suspect
    }
}

/// The snapshot of that id or, if no id is the same, the first of that name.
pub(super) fn find<'t>(snapshots: &'t [Snapshot], wanted: &Name) -> Option<&'t Snapshot> {
    let by_id = snapshots.iter().find(|snapshot| snapshot.id == *wanted);
    by_id.or_else(|| snapshots.iter().find(|snapshot| snapshot.name == *wanted))
}
