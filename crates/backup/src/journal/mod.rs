//! What a run is about to do and what it saw done, on disk before each effect.
//!
//! A journal is one append-only file. Its first line is a [`Header`], each further one a [`Record`]; every line
//! is sealed by a checksum over itself and all lines before it. A record is on disk (`fdatasync`) before
//! [`Journal::write`] returns. What a crash left of an unfinished last line is tolerated
//! and reported ([`Contents::torn`]); anything else that doesn't verify is an error.
//!
//! The file supplies names and intent only: recovery looks at the domain, the files and the session first.

mod entry;
mod file;
mod line;
mod read;
#[cfg(test)]
mod tests;

pub use entry::{AfterRun, Ended, Entry, RunBegan, RunStep};
pub use file::{FILE_NAME, Journal};
pub use read::{Contents, TornTail, read};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::RunId;

/// The version of the format that this crate writes, and the highest that it reads.
pub const VERSION: u32 = 1;

/// What [`Header::format`] says.
pub(crate) const FORMAT: &str = "stillpoint journal";

/// A journal's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `stillpoint journal`.
    pub format: String,
    /// The version of the format; see [`VERSION`].
    pub version: u32,
    /// The run whose journal it is.
    pub run: RunId,
    /// When it was made.
    pub created: Timestamp,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 1 for the first record, and one more for each that follows.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What is about to be done, or was seen done.
    pub entry: Entry,
}
