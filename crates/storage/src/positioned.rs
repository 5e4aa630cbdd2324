//! Adapters to and from the traits of `positioned_io`.

use std::io;

use positioned_io::{ReadAt, Size};

use crate::storage::past_the_end;
use crate::{Extent, ExtentKind, Storage};

/// A [`Storage`] of whatever implements [`ReadAt`]. It can't tell holes or allocation: all of it is data.
#[derive(Debug, Clone)]
pub struct FromReadAt<R> {
    inner: R,
    len: u64,
}

impl<R: ReadAt> FromReadAt<R> {
    /// The first `len` bytes of `inner`.
    pub const fn with_len(inner: R, len: u64) -> Self {
        Self { inner, len }
    }

    /// All of `inner`, which knows its size.
    ///
    /// # Errors
    /// When its size can't be found out, or it has none.
    pub fn new(inner: R) -> io::Result<Self>
    where
        R: Size,
    {
        match inner.size()? {
            Some(len) => Ok(Self { inner, len }),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "what is to be read has no size")),
        }
    }

    /// Gives back what is read.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: ReadAt + Send + Sync> Storage for FromReadAt<R> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = rest.min(buf.len());
        if n == 0 { Ok(0) } else { self.inner.read_at(offset, &mut buf[..n]) }
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        if offset >= self.len {
            return Err(past_the_end(offset, self.len));
        }
        Ok(Extent { offset, len: self.len - offset, kind: ExtentKind::Data })
    }
}

/// Reads a [`Storage`] through [`ReadAt`] and [`Size`].
#[derive(Debug, Clone)]
pub struct ToReadAt<S>(S);

impl<S: Storage> ToReadAt<S> {
    /// An adapter over `storage`.
    pub const fn new(storage: S) -> Self {
        Self(storage)
    }

    /// Gives the storage back.
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S: Storage> ReadAt for ToReadAt<S> {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(pos, buf)
    }

    fn read_exact_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(pos, buf)
    }
}

impl<S: Storage> Size for ToReadAt<S> {
    fn size(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.0.len()))
    }
}
