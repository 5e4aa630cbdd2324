//! How one file is opened.

use serde::Serialize;

use crate::ShardError;

/// How one file is opened, where what its base tells is lost or wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// Its size, instead of the one that its base tells. Only of a file in shards.
    pub size: Option<SizeChoice>,
    /// Bytes in a shard, instead of what its base tells: a multiple of 512.
    pub shard_size: Option<u64>,
}

/// A file's size as the caller has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeChoice {
    /// So many bytes, less than 2^63. What is past the shards that are there is a hole where that is proven, as anywhere
    /// else, and what is past the size is not read.
    Bytes(u64),
    /// What the last shard that is there proves: up to its end. The file may have been longer, by a hole. Refused where a
    /// brick that could hold a later one is missing.
    LastShard,
}

/// What is left of a file whose base is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Remains {
    /// It was deleted, and its shards wait in `/.shard/.remove_me` to be deleted, too.
    Deleted,
    /// Nothing tells of it but its shards.
    Orphaned,
    /// The bricks that would have its base are missing.
    BaseMissing,
}

impl FileOptions {
    /// Whether anything is to be as the caller has it.
    pub(crate) const fn is_given(&self) -> bool {
        self.size.is_some() || self.shard_size.is_some()
    }

    pub(super) fn check(&self) -> Result<(), ShardError> {
        let fail = |what: &str, problem: &str| {
            Err(ShardError::Spec { what: what.to_owned(), problem: problem.to_owned() })
        };
        if let Some(SizeChoice::Bytes(size)) = self.size
            && i64::try_from(size).is_err()
        {
            return fail("the size given", "it is 2^63 bytes or more, and no file is");
        }
        match self.shard_size {
            Some(size) if size == 0 || size % 512 != 0 || i64::try_from(size).is_err() => {
                fail("the size of shards given", "it is no multiple of 512 below 2^63")
            }
            _ => Ok(()),
        }
    }
}
