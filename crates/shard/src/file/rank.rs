//! Which copies or fragments of a shard are read, and what is to be told of the others.

use super::ShardedFile;
use super::state::{PresentShard, ShardCopy, Standing};
use crate::ShardError;
use crate::disperse::Code;
use crate::finding::Finding;
use crate::set::{Copies, Copy, Readable, Sources};
use crate::topology::Order;
use crate::volume::Inner;

/// A shard that is there, with its copies ranked.
pub(crate) struct Ranked {
    pub(crate) set: usize,
    pub(crate) copies: Copies,
    /// Numbers of the bricks with good copies, those that are read first.
    pub(crate) sources: Vec<usize>,
    /// How the shard is coded, where the copies are fragments.
    pub(crate) coded: Option<Coded>,
    /// What a rule of the caller's decided of the copies, where it had to.
    pub(crate) decided: Option<Finding>,
}

/// A shard in fragments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coded {
    pub(crate) code: Code,
    /// Bytes of the shard.
    pub(crate) size: u64,
    /// Whether its fragments are to be checked against each other, see [`Readable::unfinished`].
    pub(crate) unfinished: bool,
}

impl Ranked {
    /// Numbers of the bricks whose copies are read: one, or as many as there are fragments needed.
    pub(crate) fn chosen(&self) -> &[usize] {
        let count = self.coded.map_or(1, |coded| coded.code.data());
        self.sources.get(..count).unwrap_or(&self.sources)
    }

    /// The copies that are read.
    pub(crate) fn read(&self) -> impl Iterator<Item = &Copy> {
        self.copies.copies.iter().filter(|copy| self.chosen().contains(&copy.member))
    }

    /// Bytes of the shard that are stored.
    pub(crate) fn len(&self) -> u64 {
        match self.coded {
            Some(coded) => coded.size,
            None => self.read().next().map_or(0, |copy| copy.open.len),
        }
    }
}

impl Inner {
    pub(crate) fn rank(
        &self,
        set: usize,
        copies: Copies,
        what: &dyn Fn() -> String,
    ) -> Result<Ranked, ShardError> {
        let unknown = |why: String| ShardError::Unknown {
            what: what(),
            why,
            missing: self.sets.get(set).map(|set| set.missing().collect()).unwrap_or_default(),
        };
        let found = self.sets.get(set).ok_or_else(|| unknown("its subvolume is gone".to_owned()))?;
        if let Some(code) = found.code {
            let Readable { size, members, unfinished } = found.readable(code, &copies, what)?;
            if size > 0 && found.subvolume.order == Order::Unknown {
                return Err(unknown(format!(
                    "nothing on {} that was looked at when the volume was opened tells the order of its bricks; open it again \
                     if this was written since, describe the volume by glusterd's directory of it, or give the bricks in \
                     their order and say so (on the command line with --disperse-order given)",
                    found.subvolume.name
                )));
            }
            let coded = Some(Coded { code, size, unfinished });
            return Ok(Ranked { set, copies, sources: members, coded, decided: None });
        }
        let Sources { members: sources, chosen } = found.data_sources(&copies, what)?;
        let all_empty = copies.copies.iter().all(|copy| copy.open.len == 0);
        if self.may_have_unknown_arbiters() && all_empty && !sources.iter().any(|&i| found.holds_data(i)) {
            return Err(unknown(
                "every copy is empty, and the bricks with them hold no data at all: they may be arbiters"
                    .to_owned(),
            ));
        }
        if sources.is_empty() {
            return Err(unknown("no copy can be read".to_owned()));
        }
        Ok(Ranked { set, copies, sources, coded: None, decided: chosen })
    }
}

impl ShardedFile {
    /// Notes what is odd about a shard's copies.
    pub(super) fn note(&self, index: u64, ranked: &Ranked) {
        self.inner.note(&self.findings, ranked.decided.clone());
        let good = ranked.copies.copies.iter().filter(|copy| ranked.sources.contains(&copy.member));
        let lengths: Vec<u64> = good.map(|copy| copy.open.len).collect();
        match ranked.coded {
            // Where a brick misses a change, the others are marked, too; where none does, the change was cut short.
            Some(coded) if coded.unfinished && lengths.len() == coded.code.bricks() => {
                self.findings.add(Finding::Unfinished { what: self.what(index) });
            }
            None if lengths.windows(2).any(|pair| pair.first() != pair.last()) => {
                self.findings.add(Finding::LengthsDiffer { what: self.what(index), lengths });
            }
            _ => {}
        }
        if ranked.len() > self.span() {
            self.findings.add(Finding::TooLong { what: self.what(index), len: ranked.len() });
        }
        // Sticky and set-gid together mark the source of a migration (dht-rebalance.c).
        if ranked.copies.copies.iter().any(|copy| copy.open.mode & 0o3000 == 0o3000) {
            let subvolume = self.inner.sets.get(ranked.set).map(|set| set.subvolume.name.clone());
            self.findings
                .add(Finding::Migrating { what: self.what(index), subvolume: subvolume.unwrap_or_default() });
        }
    }

    pub(super) fn present(&self, index: u64, ranked: &Ranked) -> PresentShard {
        let set = self.inner.sets.get(ranked.set);
        let copies = ranked.copies.copies.iter().filter_map(|copy| {
            let tree = set?.tree(copy.member)?;
            let path = self.directory(index, ranked.set, copy.member)?.path.join(self.shard_name(index));
            let standing = if ranked.chosen().contains(&copy.member) {
                Standing::Chosen
            } else if ranked.sources.contains(&copy.member) {
                Standing::Good
            } else if ranked.coded.is_some() {
                Standing::Outdated
            } else if set?.is_arbiter(copy.member) {
                Standing::Arbiter
            } else {
                Standing::Blamed
            };
            Some(ShardCopy {
                brick: tree.name.clone(),
                local: tree.local.join(&path),
                path,
                len: copy.open.len,
                allocated: copy.open.allocated,
                fragment: ranked.coded.map(|_| copy.member),
                standing,
            })
        });
        PresentShard {
            index,
            subvolume: set.map(|set| set.subvolume.name.clone()).unwrap_or_default(),
            gfid: ranked.copies.gfid,
            len: ranked.len(),
            copies: copies.collect(),
        }
    }
}
