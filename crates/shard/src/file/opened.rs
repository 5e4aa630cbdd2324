//! Opening a shard: the copy that is read, or the fragments.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use stillpoint_storage::{FileStorage, Storage};

use super::rank::{Coded, Ranked};
use super::{Choice, Compared, ShardedFile};
use crate::ShardError;
use crate::cache::OpenShard;
use crate::disperse::{Fragment, Fragments};
use crate::finding::Finding;
use crate::set::Copy;
use crate::tree::{Found, LINKTO_MODE, OpenFile};

impl ShardedFile {
    /// A shard, opened on the bricks that it is read from; `None` for a hole.
    pub(super) fn open_shard(&self, index: u64) -> Result<Option<Arc<OpenShard>>, ShardError> {
        let key = (self.id, index);
        if let Some(open) = self.inner.cache.get(key) {
            return Ok(Some(open));
        }
        let kept =
            self.choice(index).map_or(Choice::Open, |kept| Choice::unpack(kept.load(Ordering::Relaxed)));
        let kept = match kept {
            Choice::Hole => return Ok(None),
            Choice::Brick(set, member) if !self.inner.options.compare => {
                self.open_copy(index, usize::from(set), usize::from(member))?
            }
            Choice::Open | Choice::Brick(..) => None,
        };
        let open = match kept {
            Some(open) => open,
            None => {
                let Some(ranked) = self.ranked(index)? else { return Ok(None) };
                match ranked.coded {
                    Some(coded) => self.fragments(index, ranked, coded)?,
                    None if self.inner.options.compare => self.compared(index, ranked)?,
                    None => {
                        let chosen = ranked.sources.first().copied();
                        let mut copies = ranked.copies.copies.into_iter();
                        let copy = copies
                            .find(|copy| Some(copy.member) == chosen)
                            .ok_or_else(|| self.changed(index))?;
                        self.copy(index, ranked.set, copy.member, copy.open)?
                    }
                }
            }
        };
        let open = Arc::new(open);
        self.inner.cache.put(key, Arc::clone(&open));
        Ok(Some(open))
    }

    fn copy(&self, index: u64, set: usize, member: usize, open: OpenFile) -> Result<OpenShard, ShardError> {
        let brick =
            self.inner.sets.get(set).map(|set| set.brick(member)).ok_or_else(|| self.changed(index))?;
        let storage = self.storage(index, set, member, open.file)?;
        // Cut off since its length was looked at, as the source of a migration is at its end.
        if storage.len() < open.len {
            return Err(self.changed(index));
        }
        Ok(OpenShard::Copy { storage: Arc::new(storage), brick })
    }

    /// All good copies, the one that would be read first.
    fn compared(&self, index: u64, ranked: Ranked) -> Result<OpenShard, ShardError> {
        let set = self.inner.sets.get(ranked.set).ok_or_else(|| self.changed(index))?;
        if ranked.sources.len() < 2 && set.trees.len() > 1 {
            self.findings.add(Finding::NotCompared { what: self.what(index) });
        }
        let place = |copy: &Copy| ranked.sources.iter().position(|member| *member == copy.member);
        let mut good: Vec<(usize, Copy)> =
            ranked.copies.copies.into_iter().filter_map(|copy| Some((place(&copy)?, copy))).collect();
        good.sort_by_key(|(place, _)| *place);
        let mut copies = Vec::with_capacity(good.len());
        for (_, copy) in good {
            let storage = self.storage(index, ranked.set, copy.member, copy.open.file)?;
            // Cut off since its length was looked at.
            if storage.len() < copy.open.len {
                return Err(self.changed(index));
            }
            copies.push((set.brick(copy.member), storage));
        }
        Ok(OpenShard::Compared(Compared::new(copies)))
    }

    /// The fragments that are read; all good ones where they are to be checked against each other.
    fn fragments(&self, index: u64, ranked: Ranked, coded: Coded) -> Result<OpenShard, ShardError> {
        let set = self.inner.sets.get(ranked.set).ok_or_else(|| self.changed(index))?;
        let needed = coded.code.data();
        let decoder = set.decoder(ranked.chosen()).ok_or_else(|| self.changed(index))?;
        let compare = self.inner.options.compare;
        let checked = (coded.unfinished || compare) && ranked.sources.len() > needed;
        if compare && !checked {
            self.findings.add(Finding::NotCompared { what: self.what(index) });
        }
        let last = ranked.sources.get(ranked.sources.len().saturating_sub(needed)..).unwrap_or_default();
        let check = if checked { Some(set.decoder(last).ok_or_else(|| self.changed(index))?) } else { None };
        let opened = if checked { ranked.sources.clone() } else { ranked.chosen().to_vec() };
        let mut fragments = Vec::with_capacity(opened.len());
        // Both in the order of the bricks, which is that of the decoders.
        for copy in ranked.copies.copies.into_iter().filter(|copy| opened.contains(&copy.member)) {
            let storage = self.storage(index, ranked.set, copy.member, copy.open.file)?;
            // Cut off since its length was looked at.
            if storage.len() < coded.code.fragment_len(coded.size) {
                return Err(self.changed(index));
            }
            fragments.push(Fragment { brick: set.brick(copy.member), storage });
        }
        Ok(OpenShard::Fragments(Fragments::new(coded.code, fragments, decoder, check, coded.size)))
    }

    fn storage(&self, index: u64, set: usize, member: usize, file: File) -> Result<FileStorage, ShardError> {
        let tree = self.inner.sets.get(set).and_then(|set| set.tree(member));
        let local = tree.map(|tree| tree.local.clone()).unwrap_or_default();
        let path = local.join(self.shard_name(index));
        FileStorage::from_file(file).map_err(|error| ShardError::io("look at", path, error))
    }

    /// The copy that was chosen before; `None` where it has moved since: it is gone, or a link file took its place,
    /// which is empty.
    fn open_copy(&self, index: u64, set: usize, member: usize) -> Result<Option<OpenShard>, ShardError> {
        let tree = self.inner.sets.get(set).and_then(|set| set.tree(member));
        let (Some(tree), Some(dir)) = (tree, self.directory(index, set, member)) else {
            return Err(self.changed(index));
        };
        match tree.find(dir, &self.shard_name(index))? {
            Found::File(open) if open.mode != LINKTO_MODE => self.copy(index, set, member, open).map(Some),
            _ => Ok(None),
        }
    }
}
