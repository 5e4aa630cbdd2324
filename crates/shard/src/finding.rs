//! What is odd, and did not keep a file from being read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

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

/// No more findings than this are kept for a file.
const LIMIT: usize = 1000;

/// The findings of a file, each once, bounded in number.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<BTreeSet<Finding>>);

impl Findings {
    pub(crate) fn add(&self, finding: Finding) {
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() < LIMIT {
            findings.insert(finding);
        }
    }

    pub(crate) fn all(&self) -> Vec<Finding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
