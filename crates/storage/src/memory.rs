//! Bytes in memory: slices, vectors and [`Bytes`].

use std::io;

use bytes::Bytes;

use crate::storage::past_the_end;
use crate::{Extent, ExtentKind, Storage};

impl Storage for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Some(rest) = usize::try_from(offset).ok().and_then(|at| self.get(at..)) else { return Ok(0) };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn allocated(&self) -> Option<u64> {
        Some(Storage::len(self))
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let len = Storage::len(self);
        if offset >= len {
            return Err(past_the_end(offset, len));
        }
        Ok(Extent { offset, len: len - offset, kind: ExtentKind::Data })
    }
}

macro_rules! as_slice {
    ($($holder:ty),*) => {$(
        impl Storage for $holder {
            fn len(&self) -> u64 {
                Storage::len(&self[..])
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
                Storage::read_at(&self[..], offset, buf)
            }
            fn allocated(&self) -> Option<u64> {
                Storage::allocated(&self[..])
            }
            fn next_extent(&self, offset: u64) -> io::Result<Extent> {
                Storage::next_extent(&self[..], offset)
            }
        }
    )*};
}

as_slice!(Vec<u8>, Bytes);
