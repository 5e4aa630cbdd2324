//! Which shards of a file there are on which brick.
//!
//! One pass over the names in `.shard` of every brick gathers this file's, and nothing else is kept. Looking up
//! each possible name instead would cost a system call for every shard on every brick, holes included, before
//! the extents of a sparse file were known; and it would never see the shards past the end. A pass costs some
//! tenths of a microsecond for each name there, and eight bytes of memory for each shard and brick.
//!
//! A shard that a rebalance moves during that pass may be missed on both bricks: on the one before it came there, on the
//! other after it went. So where a `.shard` changed meanwhile, or may have, there is a second pass, and what either saw
//! counts. What was moved during the first one stands where it is now in the second.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::ShardError;
use crate::set::{Set, SetDir};
use crate::tree::for_each_name;

/// Which shards of a file there are on which brick, the base apart.
#[derive(Debug, Default)]
pub(super) struct ShardIndex {
    /// For each set, for each of its bricks: the shards there, ascending.
    bricks: Vec<Vec<Vec<u64>>>,
    /// The shards that any brick has, ascending.
    present: Vec<u64>,
    /// How many there are past the end of the file, and the last of them.
    pub(super) past_the_end: Option<(u64, u64)>,
}

impl ShardIndex {
    /// Gathers the shards of the file `gfid`, of which there are `count` with the base.
    pub(super) fn build(sets: &[Set], dirs: &[SetDir], gfid: Uuid, count: u64) -> Result<Self, ShardError> {
        let mut index = Self {
            bricks: dirs.iter().map(|dir| vec![Vec::new(); dir.members.len()]).collect(),
            ..Self::default()
        };
        let mut past: Vec<u64> = Vec::new();
        let before = stamps(sets, dirs)?;
        let was_still = before.iter().all(|stamp| stamp.elapsed().is_ok_and(|age| age > TICK));
        index.gather(sets, dirs, gfid, count, &mut past)?;
        if !was_still || stamps(sets, dirs)? != before {
            index.gather(sets, dirs, gfid, count, &mut past)?;
        }
        for shards in index.bricks.iter_mut().flatten() {
            shards.sort_unstable();
            shards.dedup();
            shards.shrink_to_fit();
            index.present.extend_from_slice(shards);
        }
        index.present.sort_unstable();
        index.present.dedup();
        index.present.shrink_to_fit();
        past.sort_unstable();
        past.dedup();
        index.past_the_end = past.last().map(|&last| (past.len() as u64, last));
        Ok(index)
    }

    /// Adds the file's shards on each brick, and to `past` those past its end.
    fn gather(
        &mut self,
        sets: &[Set],
        dirs: &[SetDir],
        gfid: Uuid,
        count: u64,
        past: &mut Vec<u64>,
    ) -> Result<(), ShardError> {
        let prefix = format!("{gfid}.");
        for ((set, dir), bricks) in sets.iter().zip(dirs).zip(&mut self.bricks) {
            for (i, (member, shards)) in dir.members.iter().zip(bricks).enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                let fd = tree.reopen(member)?;
                // A brick that missed deletions has names that are nothing any more.
                let counts = dir.witnesses.is_empty() || dir.witnesses.contains(&i);
                let each = |name: &[u8]| match name.strip_prefix(prefix.as_bytes()).and_then(number) {
                    Some(shard) if shard < count => shards.push(shard),
                    Some(shard) if counts => past.push(shard),
                    _ => {}
                };
                for_each_name(&fd, each)
                    .map_err(|error| ShardError::io("list", tree.local.join(&member.path), error))?;
            }
        }
        Ok(())
    }

    /// The shards that any brick has.
    pub(super) fn present(&self) -> &[u64] {
        &self.present
    }

    /// Where a shard stands among those present.
    pub(super) fn position(&self, shard: u64) -> Option<usize> {
        self.present.binary_search(&shard).ok()
    }

    /// Whether a brick has a shard.
    pub(super) fn has(&self, set: usize, member: usize, shard: u64) -> bool {
        let shards = self.bricks.get(set).and_then(|bricks| bricks.get(member));
        shards.is_some_and(|shards| shards.binary_search(&shard).is_ok())
    }

    /// The first shard from `shard` on that any brick has.
    pub(super) fn next(&self, shard: u64) -> Option<u64> {
        self.present.get(self.present.partition_point(|&present| present < shard)).copied()
    }
}

/// A kernel's clock for time stamps goes on in steps of up to 10 ms: two changes within one leave the same stamp.
const TICK: Duration = Duration::from_millis(20);

/// When each brick's directory last had a name added or taken away.
fn stamps(sets: &[Set], dirs: &[SetDir]) -> Result<Vec<SystemTime>, ShardError> {
    let members = sets.iter().zip(dirs).flat_map(|(set, dir)| {
        dir.members.iter().enumerate().filter_map(|(i, member)| Some((set.tree(i)?, member.as_ref()?)))
    });
    members.map(|(tree, member)| tree.names_changed(member)).collect()
}

/// The number of a shard as Gluster writes it: decimal, without sign or leading zeros, from 1 on.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    match text {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_as_gluster_writes_them_are_shards() {
        assert_eq!((number(b"1"), number(b"100000")), (Some(1), Some(100_000)));
        for bad in [&b""[..], b"0", b"01", b"+1", b"-1", b"1 ", b"1.2", b"99999999999999999999999", b"x"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
