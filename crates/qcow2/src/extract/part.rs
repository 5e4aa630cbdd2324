//! Writing the new file: sparsely, and read again.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use stillpoint_storage::FreshFile;

use super::{ExtractError, Step, Watch};

/// Blocks of this many bytes are left out if they are all zeros.
const BLOCK: usize = 4096;

/// The file that is being made, how it is written, and who is told of it.
pub(super) struct Part<'a> {
    fresh: FreshFile,
    watch: &'a Watch<'a>,
    /// How far it was when it was told last, and how far it goes, in bytes of the disk.
    done: AtomicU64,
    total: u64,
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("fresh", &self.fresh).field("done", &self.done).finish_non_exhaustive()
    }
}

impl<'a> Part<'a> {
    /// A file for a disk of `total` bytes.
    pub(super) fn create(
        target: &Path,
        overwrite: bool,
        total: u64,
        watch: &'a Watch<'a>,
    ) -> Result<Self, ExtractError> {
        let fresh = FreshFile::create(target, overwrite).map_err(|error| wrapped(target, error))?;
        Ok(Self { fresh, watch, done: AtomicU64::new(0), total })
    }

    /// Tells that all of the disk before `done` is dealt with.
    pub(super) fn reached(&self, done: u64) -> Result<(), ExtractError> {
        self.done.store(done, Ordering::Relaxed);
        self.go_on()
    }

    /// Asks whether to go on; from any thread.
    pub(super) fn go_on(&self) -> Result<(), ExtractError> {
        let step = Step { done: self.done.load(Ordering::Relaxed), total: self.total };
        if (self.watch)(step).is_break() { Err(ExtractError::Cancelled) } else { Ok(()) }
    }

    pub(super) const fn file(&self) -> &File {
        self.fresh.file()
    }

    pub(super) fn path(&self) -> &Path {
        self.fresh.path()
    }

    pub(super) fn failed(&self, action: &'static str, source: io::Error) -> ExtractError {
        ExtractError::Write { action, path: self.path().to_owned(), source }
    }

    pub(super) fn set_len(&self, len: u64) -> Result<(), ExtractError> {
        self.file().set_len(len).map_err(|error| self.failed("set the length of", error))
    }

    /// Writes `bytes` at `at`, without blocks that are all zeros: the file has nothing there yet. Reads them again,
    /// and compares. Tells how many bytes were written.
    pub(super) fn write_sparse(&self, at: u64, bytes: &[u8]) -> Result<u64, ExtractError> {
        let mut written = 0;
        let mut start = None;
        let mut position = 0;
        // Blocks are those of the file.
        let mut next = BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or_default();
        while position < bytes.len() {
            let end = next.min(bytes.len());
            let block = bytes.get(position..end).unwrap_or_default();
            match (start, is_zero(block)) {
                (None, false) => start = Some(position),
                (Some(from), true) => {
                    written += self.write(at, bytes, from, position)?;
                    start = None;
                }
                _ => {}
            }
            (position, next) = (end, end + BLOCK);
        }
        if let Some(from) = start {
            written += self.write(at, bytes, from, bytes.len())?;
        }
        Ok(written)
    }

    /// Writes all of `bytes` at `at`, reads them again, and compares.
    pub(super) fn write_all(&self, at: u64, bytes: &[u8]) -> Result<(), ExtractError> {
        self.write(at, bytes, 0, bytes.len()).map(drop)
    }

    /// Writes `bytes[from..to]`, of which the first byte of `bytes` belongs at `at`.
    fn write(&self, at: u64, bytes: &[u8], from: usize, to: usize) -> Result<u64, ExtractError> {
        self.go_on()?;
        let bytes = bytes.get(from..to).unwrap_or_default();
        let at = at + from as u64;
        self.file().write_all_at(bytes, at).map_err(|error| self.failed("write", error))?;
        let mut again = [0; 16 * BLOCK];
        for (number, piece) in (0..).zip(bytes.chunks(again.len())) {
            let offset = at + number * again.len() as u64;
            let again = again.get_mut(..piece.len()).unwrap_or_default();
            self.file().read_exact_at(again, offset).map_err(|error| self.failed("read again", error))?;
            if let Some(first) = again.iter().zip(piece).position(|(a, b)| a != b) {
                return Err(ExtractError::Changed {
                    path: self.path().to_owned(),
                    offset: offset + first as u64,
                });
            }
        }
        Ok(bytes.len() as u64)
    }

    /// Brings the file to disk, and gives it its final name.
    pub(super) fn finish(self) -> Result<(), ExtractError> {
        self.go_on()?;
        let target = self.fresh.target().to_owned();
        self.fresh.finish().map_err(|error| wrapped(&target, error))
    }
}

fn wrapped(target: &Path, source: io::Error) -> ExtractError {
    let path = target.to_owned();
    match source.kind() {
        io::ErrorKind::AlreadyExists => ExtractError::TargetExists { path },
        _ => ExtractError::Write { action: "extract to", path, source },
    }
}

/// Whether all bytes are zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|&byte| byte == 0)
}
