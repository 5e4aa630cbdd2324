//! A shard whose good copies are all read, and compared.

use std::io;

use stillpoint_storage::{Extent, ExtentKind, FileStorage, Storage};

use crate::disperse::Trouble;
use crate::topology::BrickName;

/// Bytes that are compared at a time.
const PIECE: usize = 256 << 10;

/// The good copies of a shard. What a shorter one lacks counts as zeros, as it does when it is read.
#[derive(Debug)]
pub(crate) struct Compared {
    copies: Vec<(BrickName, FileStorage)>,
}

impl Compared {
    /// Copies of one shard, at least one.
    pub(crate) const fn new(copies: Vec<(BrickName, FileStorage)>) -> Self {
        Self { copies }
    }

    /// Bytes of the longest.
    pub(crate) fn len(&self) -> u64 {
        self.copies.iter().map(|(_, storage)| storage.len()).max().unwrap_or(0)
    }

    /// Reads some bytes, at least one where there are any, once all copies have the same.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Trouble> {
        let rest = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = rest.min(buf.len()).min(PIECE);
        let Some((first, others)) = self.copies.split_first() else { return Ok(0) };
        let buf = &mut buf[..n];
        fill(first, offset, buf)?;
        let mut other = vec![0; n];
        for copy in others {
            fill(copy, offset, &mut other)?;
            if let Some((start, end)) = difference(buf, &other) {
                let bricks = vec![first.0.clone(), copy.0.clone()];
                return Err(Trouble::Diverged(offset + start as u64, (end - start) as u64, bricks));
            }
        }
        Ok(n)
    }

    /// The extent at `offset`, before the end: a hole where every copy has one.
    pub(crate) fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let len = self.len();
        let (mut hole, mut data) = (len, 0);
        for (_, storage) in self.copies.iter().filter(|(_, storage)| offset < storage.len()) {
            let extent = storage.next_extent(offset)?;
            match extent.kind {
                // What follows the end of a shorter one counts as zeros.
                ExtentKind::Hole if extent.end() >= storage.len() => {}
                ExtentKind::Hole => hole = hole.min(extent.end()),
                ExtentKind::Data | ExtentKind::Unknown => data = data.max(extent.end()),
            }
        }
        let (kind, end) = if data == 0 { (ExtentKind::Hole, hole) } else { (ExtentKind::Data, data) };
        Ok(Extent { offset, len: end.saturating_sub(offset), kind })
    }
}

/// Fills `buf` from `offset` on.
fn fill((brick, storage): &(BrickName, FileStorage), offset: u64, buf: &mut [u8]) -> Result<(), Trouble> {
    let stored = usize::try_from(storage.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let (stored, beyond) = buf.split_at_mut(stored.min(buf.len()));
    beyond.fill(0);
    storage.read_exact_at(offset, stored).map_err(|error| Trouble::Read(brick.clone(), error))
}

/// From the first byte that differs up to behind the last.
fn difference(a: &[u8], b: &[u8]) -> Option<(usize, usize)> {
    if a == b {
        return None;
    }
    let differs = |(a, b): (&u8, &u8)| a != b;
    let start = a.iter().zip(b).position(differs)?;
    let end = a.iter().zip(b).rposition(differs)?;
    Some((start, end + 1))
}
