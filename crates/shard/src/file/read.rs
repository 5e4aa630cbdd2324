//! Reading a file through its shards.

use std::io;

use stillpoint_storage::{Extent, ExtentKind, FilePart, Storage};

use super::ShardedFile;
use crate::ShardError;
use crate::cache::OpenShard;
use crate::disperse::Trouble;

impl ShardedFile {
    /// Reads from shard `index` at `offset` in it into `buf`, and tells how many bytes: up to the end of the
    /// shard or of the file, whichever is first. What the shard lacks reads as zeros.
    ///
    /// # Errors
    /// As [`shard`](Self::shard), and when the bytes can't be read.
    pub fn read_shard(&self, index: u64, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= self.span() {
            return Ok(0);
        }
        let start = index.checked_mul(self.span()).and_then(|start| start.checked_add(offset));
        let Some(start) = start.filter(|start| *start < self.size) else { return Ok(0) };
        let room = (self.span() - offset).min(self.size - start);
        let n = usize::try_from(room).unwrap_or(usize::MAX).min(buf.len());
        let mut done = 0;
        while done < n {
            match self.read_at(start + done as u64, &mut buf[done..n]) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Where the run of shards that no brick has, and which `index` is one of, ends: an offset in the file.
    fn end_of_absent_run(&self, index: u64) -> u64 {
        let next = self.index.next(index).and_then(|next| next.checked_mul(self.span()));
        next.unwrap_or(self.size).min(self.size)
    }

    pub(super) fn is_listed(&self, index: u64) -> bool {
        index == 0 || self.index.position(index).is_some()
    }

    /// Reads into `buf`, not empty, what lies at `at`, before the end: at least a byte, and not past the shard.
    fn read_some(&self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        let index = at / self.span();
        let clip = |end: u64, buf: &[u8]| usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len());
        if !self.is_listed(index) {
            if !self.absence_is_proven {
                self.may_be_deleted(index)?;
                Self::absent(&self.inner, &|| self.what(index))?;
            }
            let n = clip(self.end_of_absent_run(index), buf);
            buf[..n].fill(0);
            return Ok(n);
        }
        let n = clip(self.end_of_shard(index), buf);
        let offset = at % self.span();
        if let Some(open) = self.open_shard(index)? {
            let stored = usize::try_from(open.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(n);
            if stored > 0 {
                return self.read_stored(index, &open, offset, &mut buf[..stored]);
            }
        }
        buf[..n].fill(0);
        Ok(n)
    }

    fn read_stored(&self, index: u64, open: &OpenShard, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match open.read_at(offset, buf) {
            Ok(n) => Ok(n),
            Err(Trouble::Read(_, error)) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(Trouble::Read(brick, error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ShardError::Changed { what: self.what(index), brick }.into())
            }
            Err(Trouble::Read(brick, error)) => Err(io::Error::new(
                error.kind(),
                format!("can't read {} on brick {brick}: {error}", self.what(index)),
            )),
            Err(Trouble::Torn(offset, _, bricks)) if !self.inner.options.compare => {
                Err(ShardError::Torn { what: self.what(index), offset, bricks }.into())
            }
            Err(Trouble::Torn(offset, len, bricks) | Trouble::Diverged(offset, len, bricks)) => {
                Err(ShardError::Diverged { what: self.what(index), offset, len, bricks }.into())
            }
        }
    }

    /// Where a shard ends in the file.
    pub(super) fn end_of_shard(&self, index: u64) -> u64 {
        index
            .checked_add(1)
            .and_then(|next| next.checked_mul(self.span()))
            .unwrap_or(self.size)
            .min(self.size)
    }

    fn sum_allocated(&self) -> Option<u64> {
        let shards = std::iter::once(0).chain(self.index.present().iter().copied());
        let mut sum = 0_u64;
        for index in shards {
            let Some(ranked) = self.ranked(index).ok()? else { continue };
            for copy in ranked.read() {
                sum = sum.checked_add(copy.open.allocated)?;
            }
        }
        self.absence_is_proven.then_some(sum)
    }
}

impl Storage for ShardedFile {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            if at >= self.size {
                break;
            }
            match self.read_some(at, rest) {
                Ok(n) => done += n,
                // What was read is good; the next call meets the error again.
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// The sum over the copies or fragments that are read; `None` where a shard is not known. The first call looks at every
    /// shard.
    fn allocated(&self) -> Option<u64> {
        *self.allocated.get_or_init(|| self.sum_allocated())
    }

    fn file_part(&self, offset: u64) -> io::Result<Option<FilePart<'_>>> {
        self.part_at(offset)
    }

    /// Costs opening a shard at most, never a read. What can't be told is
    /// [`Unknown`](ExtentKind::Unknown); reading there says why.
    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        if offset >= self.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no extent begins at offset {offset}: {} ends at {}", self.name, self.size),
            ));
        }
        let to = |end: u64, kind| Ok(Extent { offset, len: end - offset, kind });
        let index = offset / self.span();
        if !self.is_listed(index) {
            let kind = if self.absence_is_proven { ExtentKind::Hole } else { ExtentKind::Unknown };
            return to(self.end_of_absent_run(index), kind);
        }
        let end = self.end_of_shard(index);
        let open = match self.open_shard(index) {
            Ok(Some(open)) => open,
            Ok(None) => return to(end, ExtentKind::Hole),
            Err(error @ (ShardError::Io { .. } | ShardError::Changed { .. })) => return Err(error.into()),
            Err(_) => return to(end, ExtentKind::Unknown),
        };
        let within = offset % self.span();
        if within >= open.len() {
            return to(end, ExtentKind::Hole);
        }
        let found = open.next_extent(within)?;
        to(offset.saturating_add(found.len).min(end), found.kind)
    }
}
