//! What counters say of the copies of one file or directory, for those who report it instead of reading a copy.

use std::path::Path;

use uuid::Uuid;

use super::fragments::largest_group;
use super::{Blame, Change, Set};
use crate::ShardError;
use crate::raw::xattr::{self, Layout};
use crate::replica::Verdict;
use crate::tree::Directory;

/// What counters say of the copies of one file or directory. Bricks by their numbers in the set, ascending.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Those that miss changes: accused by a copy's counters, or of another version than most fragments.
    pub(crate) behind: Vec<usize>,
    /// What they miss changes of.
    pub(crate) changes: Vec<Change>,
    /// Those that note a change that was begun and not finished.
    pub(crate) unfinished: Vec<usize>,
    /// Of what no copy can be believed, and why.
    pub(crate) split: Vec<(Change, String)>,
    /// Counters that accuse a brick that can't be told: the brick that has them, and the xattr.
    pub(crate) unattributed: Vec<(usize, String)>,
}

/// The xattrs of one brick's directory that are compared with the other bricks'.
#[derive(Debug)]
pub(crate) struct DirectoryXattrs {
    pub(crate) gfid: Result<Uuid, String>,
    pub(crate) layout: Result<Option<Layout>, String>,
    pub(crate) blame: Result<Blame, String>,
}

impl Blame {
    /// In a dispersed set: how many changes of the content the copy saw.
    pub(crate) const fn data_version(&self) -> u64 {
        self.version.data
    }
}

impl Set {
    /// What the counters on these copies say about changes of these kinds.
    pub(crate) fn counted(&self, kinds: &[Change], copies: &[(usize, &Blame)]) -> Counted {
        let mut counted = Counted::default();
        for (i, blame) in copies {
            let notes = |change: &Change| {
                change.of(blame.dirty) > 0 || (self.code.is_some() && change.counted(blame.unfinished) > 0)
            };
            if kinds.iter().any(notes) {
                counted.unfinished.push(*i);
            }
        }
        for &change in kinds {
            let behind = match self.code {
                Some(code) => {
                    let versions = copies.iter().map(|(i, blame)| (*i, change.counted(blame.version)));
                    let latest = largest_group(versions);
                    // A file's data has its length as a witness besides, and is judged where that is known.
                    let all_here = self.trees.iter().all(Result::is_ok);
                    if latest.len() < code.data() && all_here && change != Change::Data {
                        counted.split.push((change, "too few bricks agree about its version".to_owned()));
                    }
                    let missed = |i: &usize| !latest.contains(i);
                    copies.iter().map(|(i, _)| *i).filter(missed).collect()
                }
                None => self.accused(change, copies, &mut counted),
            };
            // In split-brain each accuses the other, and none is known to be behind.
            let is_split = counted.split.iter().any(|(split, _)| *split == change);
            if !behind.is_empty() && !is_split {
                counted.changes.push(change);
                counted.behind.extend(behind);
            }
        }
        counted.behind.sort_unstable();
        counted.behind.dedup();
        counted
    }

    /// The bricks that AFR's counters accuse.
    fn accused(&self, change: Change, copies: &[(usize, &Blame)], counted: &mut Counted) -> Vec<usize> {
        for (i, blame) in copies {
            let named = blame.unattributed.iter().filter(|(_, pending)| change.of(*pending) > 0);
            counted.unattributed.extend(named.map(|(xattr, _)| (*i, xattr.clone())));
        }
        let Ok(matrix) = self.matrix(&String::new, change, copies.iter().copied()) else { return Vec::new() };
        let accuses = |j: usize| matrix.rows.iter().any(|row| row.blames.get(j).is_some_and(|&n| n > 0));
        let accused: Vec<usize> = (0..matrix.rows.len()).filter(|&j| accuses(j)).collect();
        let verdict = if change == Change::Data { matrix.data_sources() } else { matrix.sources() };
        if let Verdict::SplitBrain(why) = verdict {
            // Where no copy with data is here at all, that is no split-brain.
            let holds = |i: &(usize, &Blame)| change != Change::Data || !self.is_arbiter(i.0);
            if copies.iter().any(holds) {
                counted.split.push((change, format!("{why}\n{matrix}")));
            }
        }
        accused
    }

    /// The xattrs of a directory on brick `i`.
    pub(crate) fn directory_xattrs(
        &self,
        i: usize,
        directory: &Directory,
    ) -> Result<DirectoryXattrs, ShardError> {
        let Some(tree) = self.tree(i) else {
            return Err(ShardError::NotFound { what: directory.path.display().to_string() });
        };
        let local = || tree.local.join(Path::new(&directory.path));
        let read = |error| ShardError::io("read the xattrs of", local(), error);
        let xattrs = tree.xattrs(&directory.fd, &directory.path).map_err(read)?;
        let get = |name: &str| xattrs.get(&directory.fd, name).map_err(read);
        let gfid = match get(xattr::GFID)? {
            None => Err("has no trusted.gfid".to_owned()),
            Some(value) => {
                xattr::uuid(&value).ok_or_else(|| "has a trusted.gfid that is not of 16 bytes".to_owned())
            }
        };
        let layout = match get(xattr::DHT)? {
            None => Ok(None),
            Some(value) => xattr::layout(&value)
                .map(Some)
                .ok_or_else(|| "has a DHT layout that is not a range of hashes in 16 bytes".to_owned()),
        };
        let blame = self.blame(&directory.fd, &xattrs);
        Ok(DirectoryXattrs { gfid, layout, blame })
    }
}
