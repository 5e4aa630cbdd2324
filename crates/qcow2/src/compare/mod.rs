//! Whether two disks have the same bytes, and where they don't.
//!
//! [`differences`] goes through two disks lazily and gives every range that differs, whatever they are made of:
//! active disks or snapshots, of images or raw files, of one size or two (what a disk doesn't have counts as zeros).
//! Both maps are walked together: where both are zeros, or both are the same place of the same local file, nothing is
//! read.
//!
//! [`verdict()`] says what `qemu-img compare` says.
//!
//! ```
//! use stillpoint_qcow2::compare::{CompareOptions, differences};
//! use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, DiskOptions, GuestView, Source};
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("disk.qcow2");
//! # let mut before = SnapshotSpec::new("1", "before");
//! # before.clusters = vec![(1, ClusterSpec::Data(vec![7; 65536]))];
//! # std::fs::write(&path, ImageBuilder::v3().size(1 << 20).snapshot(before).build())?;
//!
//! // What changed since a snapshot was taken:
//! let chain = Chain::open(Source::open(&path)?, None, &DenyAll, &ChainOptions::default())?;
//! let snapshot = chain.layers()[0].image().and_then(|image| image.snapshot("before"));
//! let options = DiskOptions::default();
//! let then = GuestView::open(&chain, snapshot, &DenyAll, &options)?;
//! let now = GuestView::open(&chain, None, &DenyAll, &options)?;
//! let found = differences(&then, &now, &CompareOptions::default()).collect::<Result<Vec<_>, _>>()?;
//! assert_eq!((found.len(), found[0].start, found[0].length), (1, 65536, 65536));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod pairs;
mod steps;
mod verdict;

use std::io;

pub use content::{Differences, differences};
pub use verdict::{Event, Verdict, verdict};

/// How disks are compared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompareOptions {
    /// Threads that read and compare. As many as there are processors unless said otherwise, at most 8.
    pub threads: usize,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { threads: crate::parallel::default_threads() }
    }
}

impl CompareOptions {
    /// Sets how many threads read and compare; at least 1.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = if threads == 0 { 1 } else { threads };
        self
    }
}

/// A range whose bytes differ. The first and the last of them do; between them no run of 512 or more is the same, as
/// far as runs are aligned to 512 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Difference {
    /// Where it begins, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Difference {
    /// The first byte after it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// Which of the two disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first.
    First,
    /// The second.
    Second,
}

/// Disks that can't be compared to their end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The tables of one can't be read.
    #[error("the map of the {} image can't be told at offset {offset}", name(*side))]
    Map {
        /// Which one.
        side: Side,
        /// How far it was told, in bytes.
        offset: u64,
        /// Why.
        source: crate::Error,
    },
    /// The bytes of one can't be read.
    #[error("reading the {} image at offset {offset} failed", name(*side))]
    Read {
        /// Which one.
        side: Side,
        /// Where, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::First => "first",
        Side::Second => "second",
    }
}
