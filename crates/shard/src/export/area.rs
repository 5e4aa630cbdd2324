//! Copying part of a storage to the same place in a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::io::Errno;
use stillpoint_storage::{ExtentKind, KernelCopy, KernelCopyError, Storage};

use super::reading;
use crate::ShardError;

/// Bytes read and written at a time.
const PIECE: usize = 1 << 20;
/// Where bytes can't be read, as many at a time are tried: a block of most file systems and disks.
const BLOCK: usize = 4096;

/// A part that is dealt with.
#[derive(Debug)]
pub(super) struct Piece {
    /// How long it is; at least 1.
    pub(super) len: u64,
    pub(super) done: Done,
}

/// What was done about it.
#[derive(Debug)]
pub(super) enum Done {
    /// It is in the target now.
    Copied,
    /// There is nothing to be copied.
    Hole,
    /// It can't be read, or isn't known; the text says why.
    Missing(String),
}

/// What is done about what can't be read or isn't known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is an error.
    Refused,
    /// It is left out.
    LeftOut,
}

/// Copies from a storage to the same offsets of a file, whose holes are where nothing was written yet.
pub(super) struct Copier<'a> {
    source: &'a dyn Storage,
    to: &'a File,
    path: &'a Path,
    kernel: KernelCopy<'a>,
    missing: Missing,
    buffer: Vec<u8>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        source: &'a dyn Storage,
        to: &'a File,
        path: &'a Path,
        missing: Missing,
    ) -> Result<Self, ShardError> {
        let kernel = KernelCopy::into(to).map_err(|error| ShardError::io("look at", path, error))?;
        Ok(Self { source, to, path, kernel, missing, buffer: vec![0; PIECE] })
    }

    /// Bytes that the kernel copied or shared.
    pub(super) const fn by_kernel(&self) -> u64 {
        self.kernel.bytes()
    }

    /// Copies what begins at `at`, up to `end` at most; `at` is below `end`, and `end` not past the source's.
    pub(super) fn next(&mut self, at: u64, end: u64) -> Result<Piece, ShardError> {
        let extent = match self.source.next_extent(at) {
            Ok(extent) => extent,
            Err(error) => return self.missing(BLOCK as u64, at, end, error),
        };
        let len = extent.len.min(end - at);
        match extent.kind {
            ExtentKind::Hole => Ok(Piece { len, done: Done::Hole }),
            // Reading says why; what can be read after all is data.
            ExtentKind::Unknown => match self.read(at, 1) {
                Ok(()) => self.by_us(at, len),
                Err(error) => self.missing(len, at, end, error),
            },
            ExtentKind::Data => match self.by_kernel_if_it_can(at, len)? {
                0 => self.by_us(at, len),
                len => Ok(Piece { len, done: Done::Copied }),
            },
        }
    }

    fn missing(&self, len: u64, at: u64, end: u64, error: io::Error) -> Result<Piece, ShardError> {
        match self.missing {
            Missing::Refused => Err(reading(error)),
            Missing::LeftOut => Ok(Piece { len: len.min(end - at), done: Done::Missing(error.to_string()) }),
        }
    }

    /// How many bytes the kernel copied; 0 where they must be read.
    fn by_kernel_if_it_can(&mut self, at: u64, len: u64) -> Result<u64, ShardError> {
        let part = if self.kernel.is_asked() { self.source.file_part(at).map_err(reading)? } else { None };
        let Some(part) = part else { return Ok(0) };
        let len = len.min(part.len);
        if !self.kernel.is_worth_it(part.offset, at, len) {
            return Ok(0);
        }
        loop {
            match self.kernel.copy(&part, part.offset, at, len) {
                Ok(0) if self.kernel.is_asked() => {}
                Ok(done) => return Ok(done),
                // Which of the two it is, reading tells.
                Err(KernelCopyError::Copy(error)) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                    return Ok(0);
                }
                Err(KernelCopyError::Copy(error)) => return Err(ShardError::io("write", self.path, error)),
                Err(KernelCopyError::Compare(error)) => {
                    return Err(ShardError::io("read again", self.path, error));
                }
                Err(KernelCopyError::Differs(offset)) => {
                    return Err(ShardError::CopyDiffers { path: self.path.to_owned(), offset });
                }
            }
        }
    }

    fn read(&mut self, at: u64, len: usize) -> io::Result<()> {
        self.source.read_exact_at(at, self.buffer.get_mut(..len).unwrap_or_default())
    }

    fn by_us(&mut self, at: u64, len: u64) -> Result<Piece, ShardError> {
        let most = |most: usize| usize::try_from(len).unwrap_or(most).min(most);
        let mut n = most(PIECE);
        if let Err(error) = self.read(at, n) {
            // Up to the end of the block.
            n = most(BLOCK - (at % BLOCK as u64) as usize);
            if self.missing == Missing::Refused {
                return Err(reading(error));
            }
            if let Err(error) = self.read(at, n) {
                return Ok(Piece { len: n as u64, done: Done::Missing(error.to_string()) });
            }
        }
        let bytes = self.buffer.get(..n).unwrap_or_default();
        self.to.write_all_at(bytes, at).map_err(|error| ShardError::io("write", self.path, error))?;
        Ok(Piece { len: n as u64, done: Done::Copied })
    }
}
