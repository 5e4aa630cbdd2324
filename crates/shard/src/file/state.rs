//! Where a shard is.

use std::path::PathBuf;

use serde::Serialize;
use uuid::Uuid;

use crate::topology::BrickName;

/// A shard as the bricks have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ShardState {
    /// It is there.
    Present(PresentShard),
    /// It is proven to be nowhere: it reads as zeros.
    Hole,
}

/// A shard that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PresentShard {
    /// Its index; 0 is the base.
    pub index: u64,
    /// The subvolume that holds it.
    pub subvolume: String,
    /// Its own gfid; the file's only for the base.
    pub gfid: Uuid,
    /// Its copies on the bricks that are here, in their order. One of them is chosen.
    pub copies: Vec<ShardCopy>,
}

impl PresentShard {
    /// The copy that is read.
    #[must_use]
    pub fn chosen(&self) -> Option<&ShardCopy> {
        self.copies.iter().find(|copy| copy.standing == Standing::Chosen)
    }
}

/// One brick's copy of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShardCopy {
    /// The brick.
    pub brick: BrickName,
    /// The path beneath the brick's root.
    pub path: PathBuf,
    /// The path on this machine.
    pub local: PathBuf,
    /// Its length in bytes. What a shard lacks to its full size reads as zeros.
    pub len: u64,
    /// Bytes allocated on the brick's file system.
    pub allocated: u64,
    /// What AFR's rules make of it.
    pub standing: Standing,
}

/// What AFR's rules make of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// Good, and the one that is read.
    Chosen,
    /// As good as the one that is read.
    Good,
    /// Blamed by another copy for changes that it missed.
    Blamed,
    /// An arbiter's: a name without data.
    Arbiter,
}

/// Where a byte of a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Located {
    /// The byte's offset in the file.
    pub offset: u64,
    /// The shard that holds it; 0 is the base.
    pub shard: u64,
    /// Its offset in that shard.
    pub offset_in_shard: u64,
    /// That shard.
    pub state: ShardState,
}
