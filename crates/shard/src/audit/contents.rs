//! The shards of a file, and its size against what is stored.

use std::path::PathBuf;

use uuid::Uuid;

use super::compare::{Compared, compare};
use super::copies::{Examined, Spot};
use super::index::Named;
use super::parallel::{Steps, for_each};
use super::report::{Grouped, Report};
use super::{Auditor, Problem};
use crate::file::count;

/// Shards are looked at in batches of this many, so that memory doesn't grow with the file.
const BATCH: usize = 1024;

/// What a base tells of its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sharded {
    pub(super) gfid: Uuid,
    pub(super) size: u64,
    /// Bytes in a shard.
    pub(super) span: u64,
    /// Blocks of 512 bytes that are allocated, by the xattr's count.
    pub(super) blocks: Option<u64>,
}

/// What is stored of a file or shard.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stored {
    /// Bytes of it.
    pub(super) length: u64,
    /// Bytes allocated for one copy, or for as many fragments as are needed.
    pub(super) allocated: u64,
    /// Whether it is known.
    pub(super) known: bool,
}

/// What looking at one shard came to.
#[derive(Default)]
struct Looked {
    out: Examined,
    stored: Stored,
    compared: Option<Compared>,
}

impl Auditor<'_> {
    /// Compares the contents of a base's or shard's good copies, if that is wanted.
    fn compare(&self, out: &mut Examined, steps: &dyn Steps) -> Option<Compared> {
        let ranked = out.ranked.take().filter(|_| self.options.compare)?;
        let set = self.inner.sets.get(ranked.set)?;
        Some(compare(set, ranked, steps))
    }

    /// Tells what comparing a base or shard came to.
    fn tell_compared(
        index: Option<u64>,
        compared: Option<Compared>,
        grouped: &mut Grouped,
        report: &mut Report<'_>,
    ) {
        match compared {
            None | Some(Compared::Stopped) => {}
            Some(Compared::Same) => report.summary.compared += 1,
            Some(Compared::Alone) => report.summary.not_comparable += 1,
            Some(Compared::Unreadable(why)) => report.not_seen(why),
            Some(Compared::Differs(problem)) => {
                report.summary.compared += 1;
                grouped.add(index, problem, report);
            }
        }
    }

    /// Compares the contents of a base's good copies, if that is wanted.
    pub(super) fn compare_base(
        &self,
        index: Option<u64>,
        mut out: Examined,
        grouped: &mut Grouped,
        report: &mut Report<'_>,
    ) {
        if !self.options.compare || out.ranked.is_none() {
            return;
        }
        let base = std::sync::Mutex::new(&mut out);
        let work = |(): &(), steps: &dyn Steps| {
            let mut base = base.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.compare(&mut base, steps)
        };
        let compared = for_each(self.options.jobs, &[()], work, &mut |bytes| report.read(bytes));
        Self::tell_compared(index, compared.into_iter().next().flatten(), grouped, report);
    }

    /// Looks at all shards of a file whose base holds `base`.
    pub(super) fn shards(
        &self,
        file: &Sharded,
        base: Stored,
        grouped: &mut Grouped,
        report: &mut Report<'_>,
    ) {
        let all = self.names.of(file.gfid);
        let count = count(file.size, file.span);
        let (within, past) = all.split_at(all.partition_point(|shard| shard.index < count));
        let mut sum = Sum::new(file, base);
        for batch in within.chunks(BATCH) {
            if report.is_stopped() {
                return;
            }
            for (shard, looked) in batch.iter().zip(self.look_at(file, batch, report)) {
                report.summary.shards += 1;
                report.summary.copies += looked.out.copies;
                sum.add(looked.stored);
                looked.out.not_seen.into_iter().for_each(|what| report.not_seen(what));
                for problem in looked.out.problems {
                    grouped.add(Some(shard.index), problem, report);
                }
                Self::tell_compared(Some(shard.index), looked.compared, grouped, report);
            }
        }
        if report.is_stopped() {
            return;
        }
        let past: Vec<u64> =
            past.iter().filter(|shard| self.counts(**shard)).map(|shard| shard.index).collect();
        if let Some(&last) = past.last() {
            let shards = past.len() as u64;
            grouped.add(None, Problem::PastTheEnd { size: file.size, shards, last }, report);
        }
        let bases = within.iter().filter(|shard| shard.index == 0).count() as u64;
        let absent = count.saturating_sub(1).saturating_sub(within.len() as u64 - bases);
        let recorded = file.blocks.map(|blocks| (blocks.saturating_mul(512), base.allocated));
        let lost = || self.inner.shards_lost(recorded.filter(|_| base.known));
        if let (1.., Some(why)) = (absent, self.absence.clone().or_else(lost)) {
            grouped.add(None, Problem::ShardsUnknown { shards: absent, why }, report);
        } else if let Some(problem) = sum.problem() {
            grouped.add(None, problem, report);
        }
    }

    fn look_at(&self, file: &Sharded, batch: &[Named<'_>], report: &mut Report<'_>) -> Vec<Looked> {
        let before = report.progress.shards;
        let mut done = 0;
        let work = |shard: &Named<'_>, steps: &dyn Steps| self.shard(file, *shard, steps);
        let looked = for_each(self.options.jobs, batch, work, &mut |bytes| {
            done += u64::from(bytes == 0);
            report.progress.shards = before + done;
            report.read(bytes)
        });
        report.progress.shards = before + batch.len() as u64;
        looked
    }

    fn shard(&self, file: &Sharded, shard: Named<'_>, steps: &dyn Steps) -> Looked {
        let name = PathBuf::from(format!("{}.{}", file.gfid, shard.index));
        let spot = Spot {
            dirs: &self.inner.shard_dirs,
            name: &name,
            hashed: true,
            all_sets_known: self.inner.all_sets_known,
            base: false,
        };
        let mut looked = Looked::default();
        let named = |s: usize, i: usize| self.names.is_listed(s, i).then(|| self.names.has(shard, s, i));
        let seen = self.look(&spot, &named, &mut looked.out);
        self.examine(&spot, seen, &mut looked.out);
        looked.stored = stored(&looked.out);
        if looked.stored.length > file.span {
            looked.out.add(Problem::TooLong { length: looked.stored.length });
        }
        looked.compared = self.compare(&mut looked.out, steps);
        looked
    }

    /// Whether a shard is on a brick whose word counts on which names there are.
    pub(super) fn counts(&self, shard: Named<'_>) -> bool {
        self.inner.shard_dirs.iter().enumerate().any(|(s, dir)| {
            (0..dir.members.len()).any(|i| {
                self.names.has(shard, s, i) && (dir.witnesses.is_empty() || dir.witnesses.contains(&i))
            })
        })
    }
}

/// What is stored, given what was found.
pub(super) fn stored(out: &Examined) -> Stored {
    match &out.ranked {
        Some(ranked) => Stored {
            length: ranked.len(),
            allocated: ranked.read().fold(0, |sum, copy| sum.saturating_add(copy.open.allocated)),
            known: true,
        },
        None => Stored::default(),
    }
}

/// What all shards of a file hold together.
struct Sum {
    size: u64,
    span: u64,
    recorded: Option<u64>,
    allocated: u64,
    /// Shards that are there and empty.
    empty: u64,
    /// Shards that are there and not.
    filled: u64,
    all_known: bool,
}

impl Sum {
    fn new(file: &Sharded, base: Stored) -> Self {
        let recorded = file.blocks.map(|blocks| blocks.saturating_mul(512));
        let mut sum = Self {
            size: file.size,
            span: file.span,
            recorded,
            allocated: 0,
            empty: 0,
            filled: 0,
            all_known: true,
        };
        if file.size > 0 {
            sum.add(base);
        }
        sum
    }

    const fn add(&mut self, stored: Stored) {
        if !stored.known {
            self.all_known = false;
        } else if stored.length == 0 {
            self.empty += 1;
        } else {
            self.filled += 1;
        }
        self.allocated = self.allocated.saturating_add(stored.allocated);
    }

    /// What the count of blocks in the size xattr makes of it.
    ///
    /// The count is the sum of what each change allocated, so that it is too large where a file system allocated ahead
    /// and gave back (a qcow2 image that grew to 32 MiB had 700 counted), and is another site's where geo-replication wrote
    /// the file. One beyond the file's size tells nothing of a part of it. An empty shard is nothing odd as such: reading a
    /// hole through a mount makes one. So it takes what half of the empty shards would hold.
    fn problem(&self) -> Option<Problem> {
        let recorded = self.recorded.filter(|recorded| self.all_known && *recorded > 0)?;
        let allocated = self.allocated;
        let lack = recorded.saturating_sub(allocated);
        if self.filled == 0 && self.empty > 0 && self.size > 0 {
            return Some(Problem::AllEmpty { size: self.size, recorded });
        }
        let span = self.span.min(self.size);
        let can_be = recorded <= self.size.saturating_add(span);
        if self.empty > 0 && can_be && lack >= self.empty.saturating_mul(span / 2).max(1) {
            return Some(Problem::EmptyShards { shards: self.empty, recorded, allocated });
        }
        let few = allocated.saturating_mul(4).saturating_add(span.saturating_mul(4));
        (recorded > few).then_some(Problem::FewBlocks { recorded, allocated })
    }
}
