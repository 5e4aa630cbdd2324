//! What is left of files whose base is gone: found by their shards, and by the markers of deleted files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::{Inner, Resolved, Volume};
use crate::ShardError;
use crate::file::{Remains, Stat, shard_number};
use crate::tree::{FoundDirectory, for_each_name};

/// What is left of a file whose base is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftOver {
    /// The file's gfid, by which it is opened.
    pub gfid: Uuid,
    /// Why it has no base.
    pub remains: Remains,
    /// Its size in bytes, as the marker of a deleted file tells it.
    pub size: Option<u64>,
    /// Bytes in a shard, as that tells it.
    pub shard_size: Option<u64>,
    /// How many of its shards are there.
    pub shards: u64,
    /// The index of the last of them.
    pub last: Option<u64>,
    /// The bytes in them: of each the longest copy, or its fragments' stripes.
    pub bytes: u64,
}

/// Told of a shard on a brick: gfid, index, and what tells how many bytes it makes.
type EachShard<'a> = dyn FnMut(Uuid, u64, &dyn Fn() -> u64) + 'a;

impl Volume {
    /// What is left of files whose base is gone, by gfid: see [`open_file_with`](Self::open_file_with).
    ///
    /// The base is looked for by its handle (`.glusterfs/aa/bb/GFID`): a file whose handle is on no brick, as of trees that
    /// were copied without them, counts as one without a base. [`audit`](Self::audit) goes through all names instead.
    ///
    /// Costs two scans of `.shard` on every brick, and a look for the base of every file that has a shard. Memory is in
    /// proportion to the files, and to the shards of those that are told.
    ///
    /// # Errors
    /// When a brick can't be read.
    pub fn left_over(&self) -> Result<Vec<LeftOver>, ShardError> {
        let inner = &self.inner;
        let (mut files, mut marked) = (HashSet::new(), BTreeSet::new());
        inner.each_shard(&mut |gfid, _, _| {
            files.insert(gfid);
        })?;
        inner.each_marker(&mut |gfid| {
            marked.insert(gfid);
        })?;
        let mut left: BTreeMap<Uuid, (LeftOver, BTreeMap<u64, u64>)> = BTreeMap::new();
        for gfid in files.into_iter().chain(marked) {
            if !left.contains_key(&gfid)
                && let Some(found) = inner.left_of(gfid)?
            {
                left.insert(gfid, (found, BTreeMap::new()));
            }
        }
        inner.each_shard(&mut |gfid, index, len| {
            if let Some((_, shards)) = left.get_mut(&gfid) {
                let longest = shards.entry(index).or_default();
                *longest = (*longest).max(len());
            }
        })?;
        let counted = left.into_values().map(|(found, shards)| LeftOver {
            shards: shards.len() as u64,
            last: shards.last_key_value().map(|(last, _)| *last),
            bytes: shards.values().fold(0, |sum, len| sum.saturating_add(*len)),
            ..found
        });
        Ok(counted.collect())
    }
}

impl Inner {
    /// What there is to tell of a gfid; `None` of one that has its base.
    fn left_of(&self, gfid: Uuid) -> Result<Option<LeftOver>, ShardError> {
        let what = || format!("gfid:{gfid}");
        let remains = match self.look_everywhere(&self.place_of_gfid(gfid)?, false, &what) {
            Ok(Resolved::Nothing) => Remains::Orphaned,
            Err(ShardError::Unknown { .. }) => Remains::BaseMissing,
            // One that can't be told from another is there.
            Ok(Resolved::File { .. }) | Err(_) => return Ok(None),
        };
        let found = LeftOver { gfid, remains, size: None, shard_size: None, shards: 0, last: None, bytes: 0 };
        Ok(Some(match Stat::look(self, &self.place_of_marker(gfid)?, &what) {
            Ok(Some(marker)) => LeftOver {
                remains: Remains::Deleted,
                size: marker.shard_size.map(|_| marker.size),
                shard_size: marker.shard_size,
                ..found
            },
            _ => found,
        }))
    }

    /// Calls `each` with every shard on every brick.
    fn each_shard(&self, each: &mut EachShard<'_>) -> Result<(), ShardError> {
        for (set, dir) in self.sets.iter().zip(&self.shard_dirs) {
            let times = set.code.map_or(1, |code| code.data() as u64);
            for (i, member) in dir.members.iter().enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                // A brick that missed deletions has names that are nothing any more.
                if !dir.witnesses.is_empty() && !dir.witnesses.contains(&i) {
                    continue;
                }
                let tell = |name: &[u8]| {
                    if let (Some(gfid), Some(b'.')) = (name.get(..36), name.get(36))
                        && let Ok(gfid) = Uuid::try_parse_ascii(gfid)
                        && let Some(index) = name.get(37..).and_then(shard_number)
                    {
                        each(gfid, index, &|| tree.len_of(member, name).saturating_mul(times));
                    }
                };
                for_each_name(tree.reopen(member)?, tell)
                    .map_err(|error| ShardError::io("list", tree.local.join(&member.path), error))?;
            }
        }
        Ok(())
    }

    fn each_marker(&self, each: &mut dyn FnMut(Uuid)) -> Result<(), ShardError> {
        for (set, dir) in self.sets.iter().zip(&self.shard_dirs) {
            for (i, member) in dir.members.iter().enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                let FoundDirectory::Directory(markers) = tree.directory(member, Path::new(".remove_me"))?
                else {
                    continue;
                };
                let tell = |name: &[u8]| {
                    if name.len() == 36
                        && let Ok(gfid) = Uuid::try_parse_ascii(name)
                    {
                        each(gfid);
                    }
                };
                let local: PathBuf = tree.local.join(&markers.path);
                for_each_name(tree.reopen(&markers)?, tell)
                    .map_err(|error| ShardError::io("list", local, error))?;
            }
        }
        Ok(())
    }
}
