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
    /// Its length in bytes; of a dispersed one, what its fragments make up. What it lacks to its full size reads as
    /// zeros.
    pub len: u64,
    /// Its copies on the bricks that are here, or its fragments, in their order. One of the copies is chosen, or as
    /// many fragments as are needed.
    pub copies: Vec<ShardCopy>,
}

impl PresentShard {
    /// The copy that is read, or the first fragment that is.
    #[must_use]
    pub fn chosen(&self) -> Option<&ShardCopy> {
        self.all_chosen().next()
    }

    /// All that is read: one copy, or as many fragments as are needed.
    pub fn all_chosen(&self) -> impl Iterator<Item = &ShardCopy> {
        self.copies.iter().filter(|copy| copy.standing == Standing::Chosen)
    }
}

/// One brick's copy of a shard, or its fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShardCopy {
    /// The brick.
    pub brick: BrickName,
    /// The path beneath the brick's root.
    pub path: PathBuf,
    /// The path on this machine.
    pub local: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes allocated on the brick's file system.
    pub allocated: u64,
    /// Of a dispersed shard: which fragment this is, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<usize>,
    /// What AFR's rules make of it, or, of a fragment, EC's.
    pub standing: Standing,
}

/// What AFR's rules make of a copy, and EC's of a fragment.
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
    /// A fragment of another state of the shard than the one that enough bricks have, or of a wrong length.
    Outdated,
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
