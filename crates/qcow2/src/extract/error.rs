//! What can go wrong.

use std::io;
use std::path::PathBuf;

use crate::Error;

/// A disk that was not extracted. Nothing is left of it then, and what was under the final name is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// There is a file of that name, and it was not to be replaced.
    #[error("{} exists; ask for it to be replaced (on the command line with --force), or take another name", path.display())]
    TargetExists {
        /// The file.
        path: PathBuf,
    },
    /// The image can't be read: its tables, or its data where that is read in the order of the file.
    #[error(transparent)]
    Map(#[from] Error),
    /// The guest's bytes can't be read.
    #[error("reading the disk at offset {offset} failed")]
    Read {
        /// Where on the guest's disk, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The new file can't be written.
    #[error("can't {action} {}", path.display())]
    Write {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written, or copied by the kernel, is not what is read again.
    #[error(
        "{} has other bytes at offset {offset} than were written there: don't trust its storage, \
        unless the image was written to meanwhile",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// What was compressed does not decompress to what it was.
    #[error("what was compressed at offset {offset} of the disk does not decompress to the same bytes")]
    Compression {
        /// Where on the guest's disk, in bytes.
        offset: u64,
    },
    /// The finished image differs from the disk.
    #[error("the new image differs from the disk at offset {offset}")]
    Differs {
        /// Where on the guest's disk, in bytes.
        offset: u64,
    },
    /// Whoever watches ended it.
    #[error("it was cancelled before it was complete, and nothing is left of it")]
    Cancelled,
    /// The disk is too large for an image with clusters of that size.
    #[error(
        "a disk of {size} bytes is too large for an image with clusters of {cluster_size} bytes; \
        take larger ones"
    )]
    TooLarge {
        /// The disk's size in bytes.
        size: u64,
        /// The cluster size in bytes.
        cluster_size: u64,
    },
}
