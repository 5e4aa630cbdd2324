//! Which shards of a file there are on which brick.
//!
//! One pass over the names in `.shard` of every brick gathers this file's, and nothing else is kept. Looking up
//! each possible name instead would cost a system call for every shard on every brick, holes included, before
//! the extents of a sparse file were known; and it would never see the shards past the end. A pass costs some
//! tenths of a microsecond for each name there, and eight bytes of memory for each shard and brick.

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
        let prefix = format!("{gfid}.");
        let mut index = Self::default();
        let mut past: Vec<u64> = Vec::new();
        for (set, dir) in sets.iter().zip(dirs) {
            let mut bricks = Vec::with_capacity(dir.members.len());
            for (i, member) in dir.members.iter().enumerate() {
                let mut shards = Vec::new();
                if let (Some(tree), Some(member)) = (set.tree(i), member) {
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
                shards.sort_unstable();
                shards.shrink_to_fit();
                index.present.extend_from_slice(&shards);
                bricks.push(shards);
            }
            index.bricks.push(bricks);
        }
        index.present.sort_unstable();
        index.present.dedup();
        index.present.shrink_to_fit();
        past.sort_unstable();
        past.dedup();
        index.past_the_end = past.last().map(|&last| (past.len() as u64, last));
        Ok(index)
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

/// The number of a shard as Gluster writes it: decimal, without sign or leading zeros, from 1 on.
fn number(text: &[u8]) -> Option<u64> {
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
