//! Shards and deletions that belong to no file that has a name.

use std::collections::HashSet;
use std::path::PathBuf;

use uuid::Uuid;

use super::finding::of_gfid;
use super::index::{Named, ShardNames, places};
use super::report::Report;
use super::{Auditor, Problem};
use crate::topology::BrickName;
use crate::tree::Handle;

/// How often the caller is asked whether to go on.
const STEP: usize = 256;

/// What a walk met.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Those of the gfids met that have shards, or wait to be deleted.
    gfids: HashSet<Uuid>,
    /// Those of them whose file is there, so that its shards were looked at with it.
    looked: HashSet<Uuid>,
    /// Those that only bricks which missed a deletion have a name for.
    gone: HashSet<Uuid>,
    /// Whether there were names that could not be looked at.
    pub(super) in_part: bool,
}

impl Met {
    pub(super) fn has(&self, gfid: Uuid) -> bool {
        self.gfids.contains(&gfid)
    }

    /// Keeps those that matter to `names`. `file` is the one that is there.
    pub(super) fn add(&mut self, gfids: &[Uuid], file: Option<Uuid>, names: &ShardNames) {
        self.gfids.extend(gfids.iter().copied().filter(|gfid| names.knows(*gfid)));
        self.looked.extend(file.filter(|gfid| names.knows(*gfid)));
    }

    /// The same of a name that is gone, but on bricks that missed that.
    pub(super) fn add_gone(&mut self, gfids: &[Uuid], names: &ShardNames) {
        self.gone.extend(gfids.iter().copied().filter(|gfid| names.knows(*gfid)));
    }
}

/// What the bricks have as a gfid's handle.
#[derive(Debug, Default, Clone, Copy)]
struct Handles {
    /// The most names that one has; 0 where there is none.
    names: u64,
    /// Bytes of the longest.
    len: u64,
    /// Whether a brick could not be asked whose word would count.
    unknown: bool,
}

impl Auditor<'_> {
    /// Tells of shards whose file was not met, and of files that wait to be deleted.
    pub(super) fn orphans(&self, met: &Met, report: &mut Report<'_>) {
        for (number, gfid) in self.names.gfids().into_iter().enumerate() {
            if number % STEP == 0 && !report.read(0) {
                return;
            }
            let named = self.names.of(gfid);
            let shards = named.len() as u64;
            if !met.looked.contains(&gfid) && shards > 0 && !named.iter().any(|shard| self.counts(*shard)) {
                report
                    .found(of_gfid(gfid), Problem::ShardsStale { shards, bricks: self.bricks_with(&named) });
                continue;
            }
            if met.has(gfid) {
                continue;
            }
            let mut handles = self.handles(gfid, report);
            // What is left there of a file that is gone is no file.
            if met.gone.contains(&gfid) {
                handles.names = 0;
            }
            let problem = match handles.names {
                // A directory that could not be listed may have its name.
                2.. if met.in_part => continue,
                2.. => Problem::NameNotMet { shards },
                1 => {
                    let was = self.was(gfid).unwrap_or_else(|error| {
                        report.not_seen(error.to_string());
                        None
                    });
                    Problem::NameLost { shards, base: handles.len, was }
                }
                0 if self.names.is_removed(gfid) => {
                    Problem::Deleted { shards, bytes: self.bytes_of(gfid, &named, report) }
                }
                0 if handles.unknown => Problem::OwnerUnknown { shards },
                0 => {
                    let last = named.last().map_or(0, |shard| shard.index);
                    Problem::Orphan { shards, last, bytes: self.bytes_of(gfid, &named, report) }
                }
            };
            report.summary.shards += shards;
            report.progress.shards += shards;
            report.found(of_gfid(gfid), problem);
        }
    }

    /// The bricks that have any of these shards.
    fn bricks_with(&self, named: &[Named<'_>]) -> Vec<BrickName> {
        let mut bricks = Vec::new();
        for (s, set) in self.inner.sets.iter().enumerate() {
            let has = |i: &usize| named.iter().any(|shard| self.names.has(*shard, s, *i));
            bricks.extend((0..set.trees.len()).filter(has).map(|i| set.brick(i)));
        }
        bricks
    }

    fn handles(&self, gfid: Uuid, report: &mut Report<'_>) -> Handles {
        let mut handles = Handles { unknown: !self.inner.all_sets_known, ..Handles::default() };
        for (set, roots) in self.inner.sets.iter().zip(&self.roots) {
            let mut asked = 0;
            for (i, root) in roots.iter().enumerate() {
                let (Some(tree), Some(root)) = (set.tree(i), root) else { continue };
                match tree.handle(root, gfid) {
                    Ok(Handle::File { names, len, .. }) => {
                        handles.names = handles.names.max(names);
                        handles.len = handles.len.max(len);
                        asked += 1;
                    }
                    Ok(_) => asked += 1,
                    Err(error) => report.not_seen(error.to_string()),
                }
            }
            // As many as have to have it: of fragments more than can be lost.
            let needed = set.code.map_or(1, |code| code.redundancy() + 1);
            handles.unknown |= asked < needed;
        }
        handles
    }

    /// Bytes of the longest copy of each shard, or of all of its fragments.
    fn bytes_of(&self, gfid: Uuid, named: &[Named<'_>], report: &mut Report<'_>) -> u64 {
        let mut sum = 0_u64;
        for (number, shard) in named.iter().enumerate() {
            if number % STEP == STEP - 1 && !report.read(0) {
                break;
            }
            let name = PathBuf::from(format!("{gfid}.{}", shard.index));
            let length = |(tree, dir): (&crate::tree::BrickTree, _)| match tree.handle_in(dir, &name) {
                Ok(Handle::File { len, .. }) => len,
                _ => 0,
            };
            sum = sum.saturating_add(places(self.inner, &self.names, *shard).map(length).max().unwrap_or(0));
        }
        sum
    }
}
