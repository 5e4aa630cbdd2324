//! What every brick has under one name, compared.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use super::index::bricks;
use super::links::Links;
use super::{Auditor, Problem};
use crate::ShardError;
use crate::file::Ranked;
use crate::finding::Finding;
use crate::raw::xattr;
use crate::set::{Change, Copies, Copy, Counted, DirState, Held, Seen, Set, SetDir};
use crate::tree::{Handle, file_identity};
use crate::volume::{Inner, Resolved};

/// A name that is looked at on every brick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'a> {
    /// Its directory on each set.
    pub(super) dirs: &'a [SetDir],
    pub(super) name: &'a Path,
    /// Whether DHT places the name by its hash.
    pub(super) hashed: bool,
    /// Whether no subvolume is left out.
    pub(super) all_sets_known: bool,
    /// Whether the name can be a sharded file's base.
    pub(super) base: bool,
}

/// What was found under a name.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) problems: Vec<Problem>,
    /// What could not be looked at, and why.
    pub(super) not_seen: Vec<String>,
    /// How many copies were looked at.
    pub(super) copies: u64,
    /// The gfids of all of them.
    pub(super) gfids: Vec<Uuid>,
    /// The copies that count, where it can be told and they can be read.
    pub(super) ranked: Option<Ranked>,
    /// The block count that the copies that count have in their size xattr.
    pub(super) blocks: Option<u64>,
}

impl Examined {
    pub(super) fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Adds what keeps a name from being resolved, unless it was told more precisely already.
    pub(super) fn refused(&mut self, error: ShardError) {
        let told = |kind: fn(&Problem) -> bool| self.problems.iter().any(kind);
        let problem = match error {
            ShardError::SplitBrain { .. } if told(|known| matches!(known, Problem::SplitBrain { .. })) => {
                return;
            }
            ShardError::GfidMismatch { .. }
                if told(|known| matches!(known, Problem::GfidMismatch { .. })) =>
            {
                return;
            }
            ShardError::Unattributed { .. }
                if told(|known| matches!(known, Problem::Unattributed { .. })) =>
            {
                return;
            }
            ShardError::SplitBrain { why, matrix, .. } => {
                Problem::SplitBrain { change: "data", why: format!("{why}\n{matrix}") }
            }
            ShardError::TooFewFragments { needed, agreeing, .. } => {
                Problem::TooFewFragments { needed: needed as u64, agreeing: agreeing as u64 }
            }
            ShardError::Inconsistent { problem, .. } => Problem::Inconsistent { problem },
            ShardError::DanglingLinkto { subvolume, target, .. } => {
                Problem::LinkToNothing { subvolume, target }
            }
            ShardError::BadXattr { xattr, problem, .. } => Problem::BadXattr { xattr, problem },
            ShardError::Unknown { why, .. } => Problem::Unknown { why },
            other => Problem::Unknown { why: other.to_string() },
        };
        self.add(problem);
    }
}

/// What counters count, as findings tell it.
pub(super) const fn in_words(change: Change) -> &'static str {
    match change {
        Change::Data => "data",
        Change::Metadata => "metadata",
        Change::Entry => "names",
    }
}

/// Adds what counters say.
pub(super) fn add_counted(set: &Set, counted: Counted, healed: bool, out: &mut Examined) {
    let Counted { behind, changes, unfinished, split, unattributed } = counted;
    let is_split = !split.is_empty();
    for (change, why) in split {
        out.add(Problem::SplitBrain { change: in_words(change), why });
    }
    for (i, xattr) in unattributed {
        out.add(Problem::Unattributed { brick: set.brick(i), xattr });
    }
    if !behind.is_empty() {
        let changes = changes.into_iter().map(in_words).collect();
        out.add(Problem::NeedsHeal { bricks: bricks(set, &behind), changes });
    } else if !unfinished.is_empty() && healed && !is_split {
        out.add(Problem::Unfinished { bricks: bricks(set, &unfinished) });
    }
}

impl Inner {
    /// Why a shard that no brick here has may exist all the same; `None` where that is proven. `listed` says of which
    /// bricks all names are known.
    pub(super) fn absence_of_shards(&self, listed: &dyn Fn(usize, usize) -> bool) -> Option<String> {
        let what = || "a shard".to_owned();
        let mut held = Vec::with_capacity(self.sets.len());
        for (s, (set, dir)) in self.sets.iter().zip(&self.shard_dirs).enumerate() {
            let seen = set.trees.iter().enumerate().map(|(i, tree)| match tree {
                Ok(_) if listed(s, i) => Seen::Absent,
                _ => Seen::NotLooked,
            });
            match set.judge(dir, seen.collect(), &what) {
                Ok(judged) => held.push(judged),
                Err(error) => return Some(error.to_string()),
            }
        }
        match self.resolve(&self.shard_dirs, None, held, self.all_sets_known, &what) {
            Ok(_) => None,
            Err(ShardError::Unknown { why, .. }) => Some(why),
            Err(error) => Some(error.to_string()),
        }
    }
}

impl Auditor<'_> {
    /// Looks for a name on every brick. `named` says what its directory's list says: whether it has the name, or that
    /// the list is not known.
    pub(super) fn look(
        &self,
        spot: &Spot<'_>,
        named: &dyn Fn(usize, usize) -> Option<bool>,
        out: &mut Examined,
    ) -> Vec<Vec<Seen>> {
        let sets = self.inner.sets.iter().zip(spot.dirs).enumerate();
        let look = |(s, (set, dir)): (usize, (&Set, &SetDir))| {
            let members = dir.members.iter().enumerate();
            let each = members.map(|(i, member)| match (set.tree(i), member, named(s, i)) {
                (None, ..) | (Some(_), Some(_), None) => Seen::NotLooked,
                (Some(_), None, _) | (Some(_), Some(_), Some(false)) => Seen::Absent,
                (Some(_), Some(member), Some(true)) => match set.look(i, member, spot.name, spot.base) {
                    Ok(seen) => seen,
                    Err(error) => {
                        out.not_seen.push(error.to_string());
                        Seen::NotLooked
                    }
                },
            });
            each.collect()
        };
        sets.map(look).collect()
    }

    /// Compares what was seen under a name, and finds out which copies count.
    pub(super) fn examine(&self, spot: &Spot<'_>, seen: Vec<Vec<Seen>>, out: &mut Examined) {
        let mut gfids = Vec::new();
        for ((s, (set, dir)), seen) in self.inner.sets.iter().zip(spot.dirs).enumerate().zip(&seen) {
            if dir.state == DirState::Present {
                gfids.extend(self.compare_copies(s, set, dir, seen, out));
            }
        }
        if gfids.iter().any(|(_, gfid)| gfids.first().is_some_and(|(_, first)| first != gfid)) {
            out.add(Problem::GfidMismatch { copies: gfids });
        }
        let what = || spot.name.display().to_string();
        let mut held = Vec::with_capacity(self.inner.sets.len());
        for ((set, dir), seen) in self.inner.sets.iter().zip(spot.dirs).zip(seen) {
            let members = seen.iter().enumerate();
            let have = members.filter(|(_, seen)| matches!(seen, Seen::Copy(_))).map(|(i, _)| i);
            let have: Vec<usize> = have.collect();
            match set.judge(dir, seen, &what) {
                Ok(judged) => {
                    // Bricks that count say that the name is gone.
                    if matches!(judged, Held::Nothing) && !have.is_empty() {
                        out.add(Problem::StaleName { bricks: bricks(set, &have) });
                    }
                    held.push(judged);
                }
                Err(error) => return out.refused(error),
            }
        }
        let hash = if spot.hashed { self.inner.hash(spot.name.as_os_str().as_encoded_bytes()) } else { None };
        let links = Links::of(self.inner, spot.dirs, hash, &held);
        let nothing = !held.iter().any(|held| matches!(held, Held::Linkto(_) | Held::Data(_)));
        match self.inner.resolve(spot.dirs, hash, held, spot.all_sets_known, &what) {
            Ok(Resolved::Nothing) => {}
            Ok(Resolved::File { set, copies, findings }) => {
                links.report(out);
                for finding in findings {
                    match finding {
                        Finding::Duplicate { subvolumes, used, .. } => {
                            out.add(Problem::Duplicate { subvolumes, used });
                        }
                        Finding::Misplaced { subvolume, hashed, .. } => {
                            out.add(Problem::Misplaced { subvolume, hashed });
                        }
                        _ => {}
                    }
                }
                self.rank(set, copies, spot, out);
            }
            // A name that no copy was seen of is nobody's.
            Err(_) if nothing && out.copies == 0 && out.problems.is_empty() => {}
            Err(error) => {
                links.report_circles(out);
                out.refused(error);
            }
        }
    }

    /// Compares the copies on the bricks of one set; gives the gfid that counts there, and a brick that has it.
    fn compare_copies(
        &self,
        s: usize,
        set: &Set,
        dir: &SetDir,
        seen: &[Seen],
        out: &mut Examined,
    ) -> Option<(crate::BrickName, Uuid)> {
        let (mut copies, mut absent) = (Vec::new(), Vec::new());
        for (i, seen) in seen.iter().enumerate() {
            match seen {
                Seen::NotLooked => {}
                Seen::Absent => absent.push(i),
                Seen::Copy(copy) => copies.push(&**copy),
                Seen::Bad(why) => {
                    out.copies += 1;
                    out.add(Problem::BadCopy { brick: set.brick(i), why: why.clone() });
                }
            }
        }
        out.copies += copies.len() as u64;
        out.gfids.extend(copies.iter().map(|copy| copy.gfid));
        let current = |copy: &&&Copy| dir.witnesses.is_empty() || dir.witnesses.contains(&copy.member);
        let gfid = match set.code {
            None => copies.iter().find(current).map(|copy| copy.gfid),
            Some(code) => most(&copies).filter(|(_, count)| *count >= code.data()).map(|(gfid, _)| gfid),
        };
        let gfid = gfid?;
        let others: Vec<&&Copy> = copies.iter().filter(|copy| copy.gfid != gfid).collect();
        if others.iter().any(|copy| set.code.is_some() || current(copy)) {
            let all = copies.iter().map(|copy| (set.brick(copy.member), copy.gfid));
            out.add(Problem::GfidMismatch { copies: all.collect() });
        } else if !others.is_empty() {
            let stale: Vec<usize> = others.iter().map(|copy| copy.member).collect();
            out.add(Problem::StaleName { bricks: bricks(set, &stale) });
        }
        copies.retain(|copy| copy.gfid == gfid);
        for (copy, why) in copies.iter().filter_map(|copy| Some((copy, copy.bad_base?))) {
            out.add(Problem::BadCopy { brick: set.brick(copy.member), why: why.to_owned() });
        }
        if !absent.is_empty() {
            out.add(Problem::CopyMissing { bricks: bricks(set, &absent) });
        }
        let blames: Vec<_> = copies.iter().map(|copy| (copy.member, &copy.blame)).collect();
        let counted = set.counted(&[Change::Data, Change::Metadata], &blames);
        add_counted(set, counted, absent.is_empty(), out);
        self.compare_handles(s, set, &copies, out);
        // Sticky and set-gid together mark the source of a migration (dht-rebalance.c).
        if copies.iter().any(|copy| copy.open.mode & 0o3000 == 0o3000) {
            out.add(Problem::Migrating { subvolume: set.subvolume.name.clone() });
        }
        copies.first().map(|copy| (set.brick(copy.member), gfid))
    }

    /// Whether each copy is the file that its gfid's handle is.
    fn compare_handles(&self, s: usize, set: &Set, copies: &[&Copy], out: &mut Examined) {
        let (mut missing, mut other) = (Vec::new(), Vec::new());
        for copy in copies {
            let root = self.roots.get(s).and_then(|roots| roots.get(copy.member)?.as_ref());
            let (Some(tree), Some(root)) = (set.tree(copy.member), root) else { continue };
            match tree.handle(root, copy.gfid) {
                Ok(Handle::Nothing) => missing.push(copy.member),
                Ok(Handle::File { identity, .. }) if Some(identity) == file_identity(&copy.open.file) => {}
                Ok(_) => other.push(copy.member),
                Err(error) => out.not_seen.push(error.to_string()),
            }
        }
        if !missing.is_empty() {
            out.add(Problem::HandleMissing { bricks: bricks(set, &missing) });
        }
        if !other.is_empty() {
            out.add(Problem::HandleOther { bricks: bricks(set, &other) });
        }
    }

    /// Adds fragments that saw all changes and are not what these make.
    fn unsound_fragments(set: &Set, ranked: &Ranked, out: &mut Examined) {
        let Some(good) = ranked.read().next() else { return };
        for copy in ranked.copies.copies.iter().filter(|copy| !ranked.sources.contains(&copy.member)) {
            if copy.blame.data_version() != good.blame.data_version() {
                // Told as one that is behind.
                continue;
            }
            let (len, size) = (copy.open.len, copy.coded_size);
            let why =
                format!("is a fragment of {len} bytes, of a file of {size}: not what the others are of");
            out.add(Problem::BadCopy { brick: set.brick(copy.member), why });
        }
    }

    /// Which of the copies that count are good, and whether these agree about sizes.
    fn rank(&self, s: usize, copies: Copies, spot: &Spot<'_>, out: &mut Examined) {
        let what = || spot.name.display().to_string();
        let Some(set) = self.inner.sets.get(s) else { return };
        if spot.base
            && let Ok(good) = set.metadata_sources(&copies, &what)
        {
            let good: Vec<&Copy> =
                copies.copies.iter().filter(|copy| good.members.contains(&copy.member)).collect();
            let sizes: Vec<u64> = good.iter().filter_map(|copy| Some(copy.file_size?.size)).collect();
            if sizes.iter().any(|size| Some(size) != sizes.first()) {
                out.add(Problem::SizesDiffer { sizes });
            }
            if good.iter().any(|copy| copy.shard_size.is_none() && copy.file_size.is_some()) {
                let problem = "is missing, though the file has a size as sharded ones do".to_owned();
                out.add(Problem::BadXattr { xattr: xattr::SHARD_BLOCK_SIZE.to_owned(), problem });
            }
            out.blocks = good.iter().filter_map(|copy| Some(copy.file_size?.blocks)).max();
        }
        match self.inner.rank(s, copies, &what) {
            Ok(ranked) => {
                let good = ranked.copies.copies.iter().filter(|copy| ranked.sources.contains(&copy.member));
                let lengths: Vec<u64> = good.map(|copy| copy.open.len).collect();
                if ranked.coded.is_none() && lengths.iter().any(|len| Some(len) != lengths.first()) {
                    out.add(Problem::LengthsDiffer { lengths });
                }
                if ranked.coded.is_some() {
                    Self::unsound_fragments(set, &ranked, out);
                }
                out.ranked = Some(ranked);
            }
            Err(error) => out.refused(error),
        }
    }
}

/// The gfid that most copies have, and how many.
fn most(copies: &[&Copy]) -> Option<(Uuid, usize)> {
    let mut counts: BTreeMap<Uuid, usize> = BTreeMap::new();
    for copy in copies {
        *counts.entry(copy.gfid).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count)
}
