//! Runs of bytes of one kind.

use std::io;

use crate::Storage;

/// What a run of bytes is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Stored bytes, which may be zeros.
    Data,
    /// Known to be zeros, and nothing is stored for it.
    Hole,
    /// Not known: what would tell is missing. Reading it is an error that names what is missing.
    Unknown,
}

/// A run of bytes of one kind, `[offset, offset + len)` in bytes. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where the run begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes; at least 1.
    pub len: u64,
    /// What it holds.
    pub kind: ExtentKind,
}

impl Extent {
    /// The first byte after the run.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// All extents of a storage in order, neighbours of one kind merged.
///
/// The iterator ends after the first error.
pub fn extents<S: Storage + ?Sized>(storage: &S) -> Extents<'_, S> {
    Extents { storage, at: 0, pending: None, failed: false }
}

/// Iterator of [`extents`].
#[derive(Debug)]
pub struct Extents<'a, S: ?Sized> {
    storage: &'a S,
    at: u64,
    pending: Option<Extent>,
    failed: bool,
}

impl<S: Storage + ?Sized> Iterator for Extents<'_, S> {
    type Item = io::Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && self.at < self.storage.len() {
            let found = match self.storage.next_extent(self.at) {
                Ok(found) if found.offset == self.at && found.len > 0 => found,
                Ok(found) => {
                    self.failed = true;
                    return Some(Err(io::Error::other(format!(
                        "a storage answered extent {}+{} when asked for the one at {}",
                        found.offset, found.len, self.at
                    ))));
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            self.at = found.end();
            match &mut self.pending {
                Some(pending) if pending.kind == found.kind => pending.len = found.end() - pending.offset,
                Some(_) => return self.pending.replace(found).map(Ok),
                None => self.pending = Some(found),
            }
        }
        self.pending.take().map(Ok)
    }
}
