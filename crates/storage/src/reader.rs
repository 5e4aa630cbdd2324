//! A storage as a stream.

use std::io::{self, Read, Seek, SeekFrom};

use crate::Storage;

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
