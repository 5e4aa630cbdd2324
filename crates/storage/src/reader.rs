//! A storage as a stream, and a stream as a storage.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use crate::storage::past_the_end;
use crate::{Extent, ExtentKind, Storage};

/// Reads a [`Storage`] through [`Read`] and [`Seek`], for libraries that want a stream.
#[derive(Debug, Clone)]
pub struct StorageReader<S> {
    storage: S,
    at: u64,
}

impl<S: Storage> StorageReader<S> {
    /// A stream over `storage` that stands at its beginning.
    pub const fn new(storage: S) -> Self {
        Self { storage, at: 0 }
    }

    /// Gives the storage back.
    pub fn into_inner(self) -> S {
        self.storage
    }
}

impl<S: Storage> Read for StorageReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.storage.read_at(self.at, buf)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl<S: Storage> Seek for StorageReader<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
            SeekFrom::End(delta) => self.storage.len().checked_add_signed(delta),
        };
        self.at =
            target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the beginning"))?;
        Ok(self.at)
    }
}

/// A [`Storage`] of a stream that can seek, such as a [`Cursor`](io::Cursor). Reads take turns, and it can't tell
/// holes or allocation: all of it is data.
pub struct StreamStorage<R> {
    stream: Mutex<R>,
    len: u64,
}

impl<R: Read + Seek> StreamStorage<R> {
    /// A storage of all of `stream`, from its beginning to where its end is now.
    ///
    /// # Errors
    /// When its end can't be found out.
    pub fn new(mut stream: R) -> io::Result<Self> {
        let len = stream.seek(SeekFrom::End(0))?;
        Ok(Self { stream: Mutex::new(stream), len })
    }

    /// Gives the stream back, at whatever position it is.
    pub fn into_inner(self) -> R {
        self.stream.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> fmt::Debug for StreamStorage<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamStorage").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<R: Read + Seek + Send> Storage for StreamStorage<R> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = rest.min(buf.len());
        if n == 0 {
            return Ok(0);
        }
        // Whoever panicked while reading left the position anywhere; every read seeks first.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.seek(SeekFrom::Start(offset))?;
        stream.read(&mut buf[..n])
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        if offset >= self.len {
            return Err(past_the_end(offset, self.len));
        }
        Ok(Extent { offset, len: self.len - offset, kind: ExtentKind::Data })
    }
}
