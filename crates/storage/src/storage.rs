//! The trait.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::{Extent, FilePart};

/// Bytes at offsets, read only, of a length that does not change while it is read.
///
/// Implementations are shared between threads: reads take `&self` and may run at the same time.
pub trait Storage: Send + Sync {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads bytes from `offset` on into `buf` and tells how many. Fewer than asked for is allowed; 0 means
    /// that `offset` is at or past the end, or that `buf` is empty.
    ///
    /// # Errors
    /// When the bytes can't be read or are not known (see [`ExtentKind::Unknown`](crate::ExtentKind::Unknown)).
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and [`io::ErrorKind::UnexpectedEof`] when the storage ends first.
    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(offset, buf) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!(
                            "{} bytes wanted at offset {offset}, past the end at {}",
                            buf.len(),
                            self.len()
                        ),
                    ));
                }
                Ok(n) => {
                    offset += n as u64;
                    buf = &mut buf[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How many bytes are allocated where the bytes are kept (`st_blocks * 512` for a file; the sum over all
    /// shards for a sharded one), or `None` where that can't be told.
    fn allocated(&self) -> Option<u64> {
        None
    }

    /// The open file, where the bytes are those of one file of this system, each at its own offset: the kernel can
    /// then copy them, or have two files share them, without their going through this process.
    fn as_file(&self) -> Option<&File> {
        None
    }

    /// The part of a file of this system that holds the bytes from `offset` on, one after the other, where there is
    /// one: as [`as_file`](Self::as_file), but also of storages that are put together from several files. `None` where
    /// the bytes must be read, or there are none.
    ///
    /// # Errors
    /// When that file can't be opened.
    fn file_part(&self, offset: u64) -> io::Result<Option<FilePart<'_>>> {
        let len = self.len().saturating_sub(offset);
        Ok(self.as_file().filter(|_| len > 0).map(|file| FilePart::of(file, offset, len)))
    }

    /// The extent that begins at `offset`, to where its kind changes or earlier. `offset` is below
    /// [`len`](Self::len).
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when `offset` is at or past the end; otherwise when it can't be found out.
    fn next_extent(&self, offset: u64) -> io::Result<Extent>;
}

/// The error of [`Storage::next_extent`] for an offset at or past the end.
pub(crate) fn past_the_end(offset: u64, len: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("no extent begins at offset {offset}: the storage ends at {len}"),
    )
}

macro_rules! forward {
    ($($holder:ty),*) => {$(
        impl<S: Storage + ?Sized> Storage for $holder {
            fn len(&self) -> u64 {
                (**self).len()
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
                (**self).read_at(offset, buf)
            }
            fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_exact_at(offset, buf)
            }
            fn allocated(&self) -> Option<u64> {
                (**self).allocated()
            }
            fn as_file(&self) -> Option<&File> {
                (**self).as_file()
            }
            fn file_part(&self, offset: u64) -> io::Result<Option<FilePart<'_>>> {
                (**self).file_part(offset)
            }
            fn next_extent(&self, offset: u64) -> io::Result<Extent> {
                (**self).next_extent(offset)
            }
        }
    )*};
}

forward!(&S, Box<S>, Arc<S>);
