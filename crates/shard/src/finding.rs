//! What is odd, and did not keep a file from being read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use uuid::Uuid;

use crate::split_brain::SplitBrainOf;

/// Something odd on the bricks that did not keep a file from being read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
#[non_exhaustive]
pub enum Finding {
    /// More than one subvolume holds data under one name.
    Duplicate {
        /// The file or shard.
        what: String,
        /// The subvolumes that hold it.
        subvolumes: Vec<String>,
        /// The one that was taken.
        used: String,
    },
    /// Data is not where its name's hash says, and no link file leads to it. A rebalance that did not finish.
    Misplaced {
        /// The file or shard.
        what: String,
        /// The subvolume that has it.
        subvolume: String,
        /// The subvolume where it belongs.
        hashed: String,
    },
    /// A file was being migrated to another subvolume; the source, which is complete, is read.
    Migrating {
        /// The file or shard.
        what: String,
        /// The subvolume that it was on its way from.
        subvolume: String,
    },
    /// Copies that AFR would call good differ in length; the longest is read.
    LengthsDiffer {
        /// The file or shard.
        what: String,
        /// The lengths in bytes, in the order of the bricks.
        lengths: Vec<u64>,
    },
    /// Copies whose xattrs AFR would call good differ in the file's size; the largest is believed.
    SizesDiffer {
        /// The file.
        what: String,
        /// The sizes in bytes, in the order of the bricks.
        sizes: Vec<u64>,
    },
    /// Copies are in split-brain, and a rule of the caller's decided which is believed.
    SplitBrainChosen {
        /// The file or shard.
        what: String,
        /// What they don't agree about.
        about: SplitBrainOf,
        /// The brick whose copy is believed.
        brick: String,
        /// The bricks whose copies are not.
        instead_of: Vec<String>,
        /// The rule.
        by: String,
    },
    /// The file's size is the caller's, not the one that its base tells.
    SizeGiven {
        /// The file.
        what: String,
        /// In bytes.
        size: u64,
        /// What its base tells, or the marker of a deleted file, in bytes; `None` where that is lost.
        told: Option<u64>,
    },
    /// The file's size is up to where its last shard goes. It may have been longer.
    SizeFromShards {
        /// The file.
        what: String,
        /// In bytes.
        size: u64,
        /// What its base tells, or the marker of a deleted file, in bytes; `None` where that is lost.
        told: Option<u64>,
    },
    /// How many bytes are in a shard is as the caller has it, not as the base tells.
    ShardSizeGiven {
        /// The file.
        what: String,
        /// In bytes.
        shard_size: u64,
        /// What its base tells; `None` where that is lost.
        told: Option<u64>,
    },
    /// How many bytes are in a shard follows from shards that are that long, none longer.
    ShardSizeDerived {
        /// The file.
        what: String,
        /// In bytes.
        shard_size: u64,
        /// How many of the shards that were looked at are that long.
        shards: u64,
    },
    /// Every brick of a dispersed subvolume notes that a write was begun and not that it was finished. It may be under
    /// way, or its end is lost; fragments are checked against each other when they are read.
    Unfinished {
        /// The file or shard.
        what: String,
    },
    /// A shard is longer than a shard can be; what is past that is not read.
    TooLong {
        /// The shard.
        what: String,
        /// Its length in bytes.
        len: u64,
    },
    /// There are shards past the end of the file, as its size has it. The size may be wrong.
    PastTheEnd {
        /// The file.
        what: String,
        /// How many such shards there are.
        shards: u64,
        /// The index of the last one.
        last: u64,
    },
    /// Nothing on the bricks tells a path of a gfid.
    NoName {
        /// The gfid.
        gfid: Uuid,
    },
    /// The bricks tell a path of a gfid, and it does not lead there.
    NameContradicted {
        /// The gfid.
        gfid: Uuid,
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Good copies were to be compared, and there is only one, or only as many fragments as are needed.
    NotCompared {
        /// The file or shard.
        what: String,
    },
    /// There is more that is odd than is told of one file.
    More,
}

impl Finding {
    /// Whether it tells of what a caller's rule or word decided, which nothing on the bricks proves.
    #[must_use]
    pub const fn is_choice(&self) -> bool {
        matches!(
            self,
            Self::SplitBrainChosen { .. }
                | Self::SizeGiven { .. }
                | Self::SizeFromShards { .. }
                | Self::ShardSizeGiven { .. }
                | Self::ShardSizeDerived { .. }
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { what, subvolumes, used } => {
                write!(f, "{what} is on {}; the one on {used} is read", subvolumes.join(" and "))
            }
            Self::Misplaced { what, subvolume, hashed } => {
                write!(
                    f,
                    "{what} is on {subvolume}, though it belongs on {hashed}, which has no link file for it"
                )
            }
            Self::Migrating { what, subvolume } => {
                write!(f, "{what} was being migrated away from {subvolume}, where it is read")
            }
            Self::LengthsDiffer { what, lengths } => {
                write!(f, "the good copies of {what} are of lengths {lengths:?}; the longest is read")
            }
            Self::SizesDiffer { what, sizes } => {
                write!(
                    f,
                    "the good copies of {what} say that it is of sizes {sizes:?}; the largest is believed"
                )
            }
            Self::SplitBrainChosen { what, about, brick, instead_of, by } => {
                write!(
                    f,
                    "{what} is in split-brain of its {about}; the copy on {brick} is believed, not {}: {by} chose it",
                    instead_of.join(" nor ")
                )
            }
            Self::SizeGiven { what, size, told } => {
                write!(f, "{what} is taken to be of {size} bytes, as was said; {}", Told(*told))
            }
            Self::SizeFromShards { what, size, told } => {
                write!(
                    f,
                    "{what} is taken to be of {size} bytes, up to where its last shard goes, and may have been longer; {}",
                    Told(*told)
                )
            }
            Self::ShardSizeGiven { what, shard_size, told } => {
                write!(
                    f,
                    "{what} is taken to have {shard_size} bytes in a shard, as was said; {}",
                    Told(*told)
                )
            }
            Self::ShardSizeDerived { what, shard_size, shards } => {
                write!(
                    f,
                    "{what} is taken to have {shard_size} bytes in a shard, since {shards} shards are that long and none \
                     is longer; nothing tells it"
                )
            }
            Self::NoName { gfid } => write!(f, "nothing on the bricks tells a path of gfid {gfid}"),
            Self::NameContradicted { gfid, path, problem } => {
                write!(f, "the bricks say that {path} is a path of gfid {gfid}, but {problem}")
            }
            Self::NotCompared { what } => {
                write!(f, "{what} has no second good copy here, and was compared with nothing")
            }
            Self::More => write!(f, "there is more that is odd; only {LIMIT} findings are told of a file"),
            Self::Unfinished { what } => {
                write!(f, "a write to {what} was begun and is not known to be finished")
            }
            Self::TooLong { what, len } => {
                write!(f, "{what} is {len} bytes long, more than a shard; the rest is not read")
            }
            Self::PastTheEnd { what, shards, last } => {
                write!(
                    f,
                    "{what} has {shards} shards past its end, the last is {last}; its size may be wrong"
                )
            }
        }
    }
}

/// What a base tells, in words.
struct Told(Option<u64>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(told) => write!(f, "its base tells {told}"),
            None => f.write_str("nothing on the bricks tells it"),
        }
    }
}

/// No more findings than this are kept for a file.
const LIMIT: usize = 1000;

/// The findings of a file, each once, bounded in number.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<BTreeSet<Finding>>);

impl Findings {
    /// Takes note of one, and tells what is new of it: itself, or that there is more than can be told.
    pub(crate) fn note(&self, finding: &Finding) -> Option<Finding> {
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = if findings.len() < LIMIT { finding } else { &Finding::More };
        let is_new = !findings.contains(finding) && findings.insert(new.clone());
        is_new.then(|| new.clone())
    }

    pub(crate) fn add(&self, finding: Finding) {
        self.note(&finding);
    }

    pub(crate) fn all(&self) -> Vec<Finding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
