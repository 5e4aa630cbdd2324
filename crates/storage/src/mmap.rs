//! A file mapped into memory.
//!
//! The one place of this crate with unsafe code: a copy out of the mapping.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Advice, MmapOptions, MmapRaw};

use crate::{Extent, FileStorage, Storage};

/// A file mapped into memory, read by copying out of the mapping. It spares a system call for each read, which
/// pays for many small ones.
///
/// # What must hold
///
/// Nobody may shorten the file while it is mapped. Reading what is no longer there ends the process with the
/// signal SIGBUS; nothing can catch that here. For a file that others may shorten, take [`FileStorage`], whose
/// reads then give an error.
///
/// That somebody *writes* to the file meanwhile is allowed: a read then gives old bytes, new bytes or some of
/// each, as a read from the file itself does. No reference into the mapping is ever handed out, so that no bytes
/// change behind one.
#[derive(Debug)]
pub struct MappedFile {
    file: FileStorage,
    /// `None` for an empty file, of which nothing can be mapped.
    map: Option<MmapRaw>,
}

impl MappedFile {
    /// Opens and maps the file at `path`.
    ///
    /// # Errors
    /// When it can't be opened or mapped, is neither a regular file nor a block device, or is larger than what
    /// can be addressed.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::map(FileStorage::open(path)?)
    }

    /// Maps an open file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: File) -> io::Result<Self> {
        Self::map(FileStorage::from_file(file)?)
    }

    fn map(file: FileStorage) -> io::Result<Self> {
        let len = usize::try_from(file.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than what can be addressed")
        })?;
        if len == 0 {
            return Ok(Self { file, map: None });
        }
        let map = MmapOptions::new().len(len).map_raw_read_only(file.file())?;
        Ok(Self { file, map: Some(map) })
    }

    /// Tells the kernel that bytes will be read here and there, so that it reads nothing ahead.
    ///
    /// # Errors
    /// When the kernel refuses the advice.
    pub fn advise_random(&self) -> io::Result<()> {
        self.map.as_ref().map_or(Ok(()), |map| map.advise(Advice::Random))
    }
}

impl Storage for MappedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Some(map) = &self.map else { return Ok(0) };
        let Some(offset) = usize::try_from(offset).ok().filter(|&offset| offset < map.len()) else {
            return Ok(0);
        };
        let n = buf.len().min(map.len() - offset);
        // SAFETY:
        // - Source: `offset + n <= map.len()`, so `n` bytes from `offset` on lie in the mapping, which lives as
        //   long as `self` and is readable. That the file still has them is the contract of this type; where it
        //   is broken, the processor's fault ends the process, and nothing is read.
        // - Destination: `buf` is borrowed exclusively and has at least `n` bytes.
        // - They can't overlap: no reference to the mapping's memory exists, so `buf` isn't in it.
        // - Another process may write to the file during the copy. There is no Rust reference to the bytes, and
        //   any value is a valid `u8`.
        unsafe { std::ptr::copy_nonoverlapping(map.as_ptr().add(offset), buf.as_mut_ptr(), n) };
        Ok(n)
    }

    fn allocated(&self) -> Option<u64> {
        self.file.allocated()
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        self.file.next_extent(offset)
    }
}
