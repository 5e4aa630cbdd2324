//! A guest's disk as a file of its own: raw, or a fresh qcow2 image with nothing below it.
//!
//! What is zeros stays a hole or unallocated. What is stored as it is, the kernel copies, neighbouring clusters in
//! one call and in the order in which they lie; on file systems that can (XFS, btrfs) the new file shares the blocks of
//! the old one wherever both ends are whole blocks. Of that a sample is compared: the ends of the first calls, then of
//! fewer and fewer. The rest is read through the [`Disk`](crate::Disk), for a raw file in the order in which it lies,
//! written, read again and compared; what is compressed is decompressed again before it is written. With
//! [`ExtractOptions::verify`] the whole new disk is compared with the old one, too, before it gets its name.
//!
//! The file has its final name only once it is complete and on disk.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use stillpoint_qcow2::extract::{ExtractOptions, extract};
//! use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, DiskOptions, GuestView, Source};
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("disk.qcow2");
//! # let mut before = SnapshotSpec::new("1", "before");
//! # before.clusters = vec![(1, ClusterSpec::Data(vec![7; 65536]))];
//! # std::fs::write(&path, ImageBuilder::v3().size(1 << 20).snapshot(before).build())?;
//!
//! let chain = Chain::open(Source::open(&path)?, None, &DenyAll, &ChainOptions::default())?;
//! let snapshot = chain.layers()[0].image().and_then(|image| image.snapshot("before"));
//! let view = GuestView::open(&chain, snapshot, &DenyAll, &DiskOptions::default())?;
//! let target = directory.path().join("before.raw");
//! let done = extract(&view, &target, &ExtractOptions::default(), &|_| ControlFlow::Continue(()))?;
//! assert_eq!((done.size, done.by_kernel + done.written), (1 << 20, 65536));
//! assert_eq!(std::fs::read(&target)?[65536], 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod compress;
mod copy;
mod error;
mod image;
mod part;
mod qcow2;
mod raw;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use stillpoint_storage::{FileStorage, Storage};

pub use bytes::extract_bytes;
pub use error::ExtractError;

use crate::compare::{CompareError, CompareOptions, differences};
use crate::tables::Compression;
use crate::{Chain, ChainOptions, DenyAll, DiskOptions, Format, GuestView, Source};
use part::Part;

/// How a disk is extracted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExtractOptions {
    /// What is written. Raw unless said otherwise.
    pub format: Format,
    /// Replaces the file if it exists; it stays as it was until the new one is complete. Off unless said otherwise.
    pub overwrite: bool,
    /// log2 of the cluster size of a qcow2 image, 9 to 21. 16 unless said otherwise.
    pub cluster_bits: u32,
    /// Compresses the clusters of a qcow2 image, all that get smaller by it. Off unless said otherwise.
    pub compression: Option<Compression>,
    /// Compares the new disk with the old one, byte for byte, before it gets its name. Off unless said otherwise.
    pub verify: bool,
    /// Threads that read and compress. As many as there are processors unless said otherwise, at most 8.
    pub threads: usize,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        let threads = crate::parallel::default_threads();
        Self {
            format: Format::Raw,
            overwrite: false,
            cluster_bits: 16,
            compression: None,
            verify: false,
            threads,
        }
    }
}

impl ExtractOptions {
    /// Sets what is written.
    #[must_use]
    pub const fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Sets whether a file that exists is replaced.
    #[must_use]
    pub const fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets log2 of the cluster size; what is not from 9 to 21 becomes the nearest of them.
    #[must_use]
    pub const fn cluster_bits(mut self, bits: u32) -> Self {
        self.cluster_bits = if bits < 9 {
            9
        } else if bits > 21 {
            21
        } else {
            bits
        };
        self
    }

    /// Sets how clusters are compressed.
    #[must_use]
    pub const fn compression(mut self, compression: Option<Compression>) -> Self {
        self.compression = compression;
        self
    }

    /// Sets whether the new disk is compared with the old one.
    #[must_use]
    pub const fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Sets how many threads read and compress; at least 1.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = if threads == 0 { 1 } else { threads };
        self
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Bytes of the disk that are dealt with, holes included.
    pub done: u64,
    /// Bytes of the disk.
    pub total: u64,
}

/// Told how far it is, from any thread and often, and asked whether to go on.
pub type Watch<'a> = dyn Fn(Step) -> ControlFlow<()> + Sync + 'a;

/// What was extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extracted {
    /// Size of the disk in bytes.
    pub size: u64,
    /// Bytes of it that the kernel copied or had the files share.
    pub by_kernel: u64,
    /// Bytes that were written by this process: guest data, compressed or not, and the tables of a qcow2 image. The other
    /// ones are holes.
    pub written: u64,
    /// Length of the new file in bytes.
    pub file_size: u64,
}

/// Extracts a disk to a new file at `target`. `watch` is told how far it is, and can end it.
///
/// Memory: that of [`Disk::scan`](crate::Disk::scan), and 8 MiB for what the kernel is to copy; where a qcow2 image is
/// written, 64 MiB, 2 bytes for each cluster of the new file, and an L1 table of 32 MiB at most.
///
/// # Errors
/// When `target` exists and is not to be replaced, something can't be read or written, or `watch` ends it. What was
/// written is removed then.
pub fn extract(
    view: &GuestView,
    target: &Path,
    options: &ExtractOptions,
    watch: &Watch<'_>,
) -> Result<Extracted, ExtractError> {
    let part = Part::create(target, options.overwrite, view.size(), watch)?;
    let done = match options.format {
        Format::Raw => raw::fill(view, &part, options)?,
        Format::Qcow2 => qcow2::fill(view, &part, options)?,
    };
    if options.verify {
        verify(view, &part, options)?;
    }
    part.finish()?;
    Ok(done)
}

fn verify(view: &GuestView, part: &Part<'_>, options: &ExtractOptions) -> Result<(), ExtractError> {
    let file = part.file().try_clone().map_err(|error| part.failed("look at", error))?;
    let storage = FileStorage::from_file(file).map_err(|error| part.failed("look at", error))?;
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let source = Source::new(storage, part.path(), None);
    let chain = Chain::open(source, Some(options.format), &DenyAll, &ChainOptions::default())?;
    let written = GuestView::open(&chain, None, &DenyAll, &DiskOptions::default())?;
    let compare = CompareOptions::default().threads(options.threads);
    let mut found = differences(view, &written, &compare);
    loop {
        part.go_on()?;
        let more = found.advance().map_err(|error| match error {
            CompareError::Map { source, .. } => ExtractError::Map(source),
            CompareError::Read { offset, source, .. } => ExtractError::Read { offset, source },
        })?;
        match found.first() {
            Some(offset) => return Err(ExtractError::Differs { offset }),
            None if more => {}
            None => return Ok(()),
        }
    }
}

/// Reads the disk; an error says where it was read.
fn read_disk(view: &GuestView, offset: u64, bytes: &mut [u8]) -> Result<(), ExtractError> {
    view.disk().read_exact_at(offset, bytes).map_err(|source| ExtractError::Read { offset, source })
}
