//! Having files sent again, by name.
//!
//! What a silent no-op skipped, or what was given up, is not sent again by itself: the session's time is past it. What
//! has it sent again is a write at the primary. So a block of each shard is read and written back as it is, through an
//! ordinary mount; the next run then sends these shards. (`glusterfs.geo-rep.trigger-sync` returns success and sends
//! nothing, Gluster 10.3 and 11.1.)
//!
//! Between that read and that write nobody else may write the block, or his write is undone. This crate can't know
//! who else has the file: the caller brings the proof, a [`Stillness`], which is asked before each write.

mod rewrite;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use rewrite::resync;

/// The caller's proof that nobody writes to a file.
pub trait Stillness: Sync + Debug {
    /// Proves that nobody writes to `file`, which was opened from `path`, and says how that is known. What holds others
    /// off, such as a lock on `file`, has to last as long as `file` is open.
    ///
    /// Asked before each write and once more after the last one of a file.
    ///
    /// # Errors
    /// [`NotStill`] if it can't be proved: nothing more is then written.
    fn prove(&self, path: &Path, file: &File) -> Result<String, NotStill>;

    /// Which part of `shard`, bytes of the file, may be written back; all of it unless a caller knows better. `None`
    /// leaves the shard out.
    fn may_rewrite(&self, path: &Path, shard: Range<u64>) -> Option<Range<u64>> {
        let _ = path;
        Some(shard)
    }
}

/// Why a file is not known to be still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotStill(pub String);

/// A file that is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResyncFile {
    /// Where it is on the mount of the primary volume.
    pub path: PathBuf,
    /// Which of its shards, counted from 0; `None` for all.
    pub shards: Option<BTreeSet<u64>>,
}

/// How it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResyncOptions {
    /// Where the primary volume is mounted. Files that are not on it are refused.
    pub mount: PathBuf,
    /// The size of a shard in bytes, a multiple of 4096. It is the file's, not the volume's: a file keeps what it was
    /// made with. One that is too small has shards written more than once; with one that is too large some are missed.
    pub shard_size: u64,
}

/// A file that will be sent again by the next run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resynced {
    /// Where it is on the mount.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// How many of its shards were touched.
    pub shards: u64,
    /// How many were left out, since no block of them may be written back.
    pub left_out: u64,
    /// How it is known that it was still.
    pub still: String,
}

/// Why a file could not be made to be sent again. What was written before holds what it held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResyncError {
    /// It is not on the mount.
    #[error("{} is not on the volume that is mounted at {}", path.display(), mount.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The mount.
        mount: PathBuf,
    },
    /// It is no regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// It.
        path: PathBuf,
    },
    /// It is shorter.
    #[error("{} has no shard {shard}: it has {size} bytes", path.display())]
    NoSuchShard {
        /// The file.
        path: PathBuf,
        /// The shard.
        shard: u64,
        /// Its length in bytes.
        size: u64,
    },
    /// The size of a shard can't be right.
    #[error("a shard can't have {0} bytes: it is a multiple of 4096, and not 0")]
    ShardSize(u64),
    /// Somebody may be writing to it.
    #[error("{} is not known to be still, so nothing more of it is written: {reason}", path.display())]
    NotStill {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: NotStill,
    },
    /// A block that was written back reads otherwise now.
    #[error(
        "somebody else writes to {}: the block at {offset} was written back and reads otherwise now; compare it with what \
         its guest should have", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The block's offset in bytes.
        offset: u64,
    },
    /// The operating system refused something.
    #[error("can't {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}
