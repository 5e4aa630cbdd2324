//! Reading with bounds.

use std::borrow::Cow;

use stillpoint_storage::Storage;

use crate::Error;

/// How much of the header's cluster is read at once: enough for all that QEMU writes there.
const FIRST_READ: usize = 4096;

/// The first cluster: header, extensions and backing name. Past the end of the file it reads as zeros, as it
/// does for QEMU; at most 4 KiB of it are kept.
#[derive(Debug)]
pub(crate) struct HeaderArea<'a, S: ?Sized> {
    storage: &'a S,
    head: Vec<u8>,
}

impl<'a, S: Storage + ?Sized> HeaderArea<'a, S> {
    pub(crate) fn read(storage: &'a S) -> Result<Self, Error> {
        let len = usize::try_from(storage.len()).unwrap_or(usize::MAX).min(FIRST_READ);
        let mut head = vec![0; len];
        read_exact(storage, 0, &mut head, "the header")?;
        Ok(Self { storage, head })
    }

    /// What it is read from.
    pub(crate) fn storage(&self) -> &'a S {
        self.storage
    }

    /// The bytes that the file has, from its beginning, 4 KiB at most.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// `len` bytes from `offset` on. Both are bounded by the cluster size, 2 MiB, by the caller.
    pub(crate) fn get(&self, offset: u64, len: u64, what: &'static str) -> Result<Cow<'_, [u8]>, Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if let Some(bytes) = start.checked_add(len).and_then(|end| self.head.get(start..end)) {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; len];
        let there = usize::try_from(self.storage.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(len);
        if let Some(there) = bytes.get_mut(..there) {
            read_exact(self.storage, offset, there, what)?;
        }
        Ok(Cow::Owned(bytes))
    }
}

/// Fills `buf` from `offset` on; an error names `what` was to be read.
pub(crate) fn read_exact<S: Storage + ?Sized>(
    storage: &S,
    offset: u64,
    buf: &mut [u8],
    what: &'static str,
) -> Result<(), Error> {
    storage.read_exact_at(offset, buf).map_err(|source| Error::Io { what, offset, source })
}

/// Reads a table from its beginning to its end through a buffer, never past `end`.
#[derive(Debug)]
pub(crate) struct TableReader<'a, S: ?Sized> {
    storage: &'a S,
    what: &'static str,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<'a, S: Storage + ?Sized> TableReader<'a, S> {
    /// Most bytes that are read at once.
    const CHUNK: u64 = 64 << 10;

    /// Reads from `offset` up to `end`, or to the end of the storage if that comes first.
    pub(crate) fn new(storage: &'a S, what: &'static str, offset: u64, end: u64) -> Self {
        Self { storage, what, at: offset, end: end.min(storage.len()), buffer: Vec::new(), used: 0 }
    }

    /// Where the next byte comes from.
    pub(crate) fn position(&self) -> u64 {
        self.at - (self.buffer.len() - self.used) as u64
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.position())
    }

    /// The next `len` bytes, or `None` when fewer are left. Memory: `len` plus one chunk.
    pub(crate) fn take(&mut self, len: u64) -> Result<Option<&[u8]>, Error> {
        if len > self.remaining() {
            return Ok(None);
        }
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        if self.buffer.len() - self.used < len {
            self.buffer.drain(..self.used);
            self.used = 0;
            let have = self.buffer.len();
            let left = self.end - self.at;
            let more = ((len - have) as u64).max(Self::CHUNK.min(left));
            self.buffer.resize(have + usize::try_from(more).unwrap_or(usize::MAX), 0);
            read_exact(self.storage, self.at, &mut self.buffer[have..], self.what)?;
            self.at += more;
        }
        let start = self.used;
        self.used += len;
        Ok(self.buffer.get(start..self.used))
    }

    /// Skips `len` bytes; `false` when fewer are left.
    pub(crate) fn skip(&mut self, len: u64) -> bool {
        if len > self.remaining() {
            return false;
        }
        let buffered = (self.buffer.len() - self.used) as u64;
        if len <= buffered {
            // In range: `len` is at most the length of what is buffered.
            self.used += usize::try_from(len).unwrap_or_default();
        } else {
            self.at += len - buffered;
            self.used = self.buffer.len();
        }
        true
    }
}
