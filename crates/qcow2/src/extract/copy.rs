//! Having the kernel copy what is stored as it is.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;
use stillpoint_storage::{Extent, ExtentKind, Storage};

use super::ExtractError;
use super::part::Part;
use crate::Error;

/// Most bytes that the kernel is asked to copy in one call.
const MOST: u64 = 1 << 30;
/// Bytes that are copied at a time where the kernel won't.
const PIECE: usize = 1 << 20;
/// Parts shorter than this are read and written where the kernel would do nothing else.
const SMALL: u64 = 32 << 10;
/// Parts that are gathered before they are copied: 8 MiB of them.
const BATCH: usize = 1 << 18;
/// Bytes of a sample that is compared.
const SAMPLE: usize = 4096;
/// `f_type` of file systems on which files can share blocks: XFS, btrfs, bcachefs; see statfs(2).
const SHARING: [u64; 3] = [0x5846_5342, 0x9123_683e, 0xca45_1a4e];

/// Copies parts of files into a [`Part`]: neighbours in one call, and shared instead of copied where the file system
/// can (XFS, btrfs) and both ends are whole blocks of it.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    part: &'a Part,
    /// What is to be copied.
    pending: Vec<Pending<'a>>,
    /// Whether the kernel is still asked. Files of different file systems it may refuse to copy.
    kernel: bool,
    /// Whether the new file's file system is one where files can share blocks.
    shares: bool,
    /// How often the kernel copied something.
    calls: u64,
    /// Bytes that the kernel copied or shared.
    pub(super) by_kernel: u64,
    /// Bytes that went through this process.
    pub(super) by_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pending<'a> {
    file: &'a File,
    from: u64,
    to: u64,
    len: u64,
}

impl<'a> Copier<'a> {
    pub(super) fn new(part: &'a Part) -> Self {
        let shares = rustix::fs::fstatfs(part.file())
            .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| SHARING.contains(&kind)));
        Self { part, pending: Vec::new(), kernel: true, shares, calls: 0, by_kernel: 0, by_us: 0 }
    }

    /// Whether the kernel should be asked to copy `len` bytes from `from` on to `to`, rather than read and write them on
    /// several threads.
    pub(super) const fn is_worth_it(&self, from: u64, to: u64, len: u64) -> bool {
        let block = self.part.block_size();
        // What is shared isn't brought to disk once more: of blocks here and there, that takes longest.
        let shared = self.shares && from % block == to % block && len >= block;
        self.kernel && (shared || len >= SMALL)
    }

    /// What is to be copied first of `len` bytes from `from` on, or skipped. The kernel copies a hole as zeros where it
    /// doesn't share it.
    pub(super) fn extent(&self, storage: &dyn Storage, from: u64, len: u64) -> Result<Extent, ExtractError> {
        if self.shares {
            return Ok(Extent { offset: from, len, kind: ExtentKind::Data });
        }
        let what = "the holes of the file";
        let found = storage.next_extent(from).map_err(|source| Error::Io { what, offset: from, source })?;
        Ok(Extent { len: found.len.clamp(1, len), ..found })
    }

    /// Copies `len` bytes of `file` from `from` on to `to`, at the latest when [`flush`](Self::flush) is called.
    pub(super) fn copy(&mut self, file: &'a File, from: u64, to: u64, len: u64) -> Result<(), ExtractError> {
        match self.pending.last_mut() {
            Some(last)
                if std::ptr::eq(last.file, file)
                    && last.from + last.len == from
                    && last.to + last.len == to =>
            {
                last.len += len;
            }
            _ => self.pending.push(Pending { file, from, to, len }),
        }
        if self.pending.len() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Copies what is left, in the order in which it lies: a disk needn't seek, and XFS counts neighbouring blocks that are
    /// shared in one record.
    pub(super) fn flush(&mut self) -> Result<(), ExtractError> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable_by_key(|pending| pending.from);
        pending.into_iter().try_for_each(|pending| self.copy_all(pending))
    }

    fn copy_all(&mut self, mut pending: Pending<'a>) -> Result<(), ExtractError> {
        while pending.len > 0 {
            let done = if self.kernel { self.ask_kernel(&pending)? } else { self.copy_some(&pending)? };
            pending = Pending {
                from: pending.from + done,
                to: pending.to + done,
                len: pending.len - done.min(pending.len),
                ..pending
            };
        }
        Ok(())
    }

    /// How many bytes the kernel copied. 0 where it is not asked any more.
    fn ask_kernel(&mut self, pending: &Pending<'_>) -> Result<u64, ExtractError> {
        let block = self.part.block_size();
        let (into_from, into_to) = (pending.from % block, pending.to % block);
        // What comes before the first whole block would keep all of it from being shared.
        let len = if into_from == into_to && into_from != 0 {
            pending.len.min(block - into_from)
        } else {
            pending.len.min(MOST)
        };
        let (mut from, mut to) = (pending.from, pending.to);
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(
            pending.file,
            Some(&mut from),
            self.part.file(),
            Some(&mut to),
            wanted,
        ) {
            Ok(done) if done > 0 => {
                self.by_kernel += done as u64;
                self.calls += 1;
                if is_sampled(self.calls) {
                    self.compare_end(pending, done)?;
                }
                Ok(done as u64)
            }
            Err(Errno::INTR) => Ok(0),
            // The source got shorter: reading says so. Or: other file systems, old kernels, files of another kind.
            Ok(_) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                self.kernel = false;
                Ok(0)
            }
            Err(error) => Err(self.part.failed("have the kernel copy to", error.into())),
        }
    }

    /// Compares the end of what the kernel copied with what it is a copy of.
    fn compare_end(&self, pending: &Pending<'_>, done: usize) -> Result<(), ExtractError> {
        let (mut wanted, mut found) = ([0; SAMPLE], [0; SAMPLE]);
        let len = done.min(SAMPLE);
        let before = (done - len) as u64;
        let (from, to) = (pending.from + before, pending.to + before);
        let (wanted, found) =
            (wanted.get_mut(..len).unwrap_or_default(), found.get_mut(..len).unwrap_or_default());
        pending
            .file
            .read_exact_at(wanted, from)
            .map_err(|source| ExtractError::Read { offset: to, source })?;
        self.part.file().read_exact_at(found, to).map_err(|error| self.part.failed("read again", error))?;
        match wanted.iter().zip(found.iter()).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(first) => {
                let path = self.part.path().to_owned();
                Err(ExtractError::Changed { path, offset: to + first as u64 })
            }
        }
    }

    fn copy_some(&mut self, pending: &Pending<'_>) -> Result<u64, ExtractError> {
        let mut buffer = vec![0; usize::try_from(pending.len).unwrap_or(PIECE).min(PIECE)];
        pending
            .file
            .read_exact_at(&mut buffer, pending.from)
            .map_err(|source| ExtractError::Read { offset: pending.to, source })?;
        self.part.write_sparse(pending.to, &buffer)?;
        self.by_us += buffer.len() as u64;
        Ok(buffer.len() as u64)
    }
}

/// Whether what the kernel copied in its call of that number, from 1 on, is looked at: all of the first 16, then 8 of
/// twice as many each time.
const fn is_sampled(call: u64) -> bool {
    call < 16 || call.is_multiple_of(1 << (call.ilog2() - 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_calls_the_smaller_the_part_that_is_looked_at() {
        let sampled = |calls| (1..=calls).filter(|call| is_sampled(*call)).count();
        assert_eq!([1, 15, 16, 17, 32, 1 << 18].map(sampled), [1, 15, 16, 16, 24, 128]);
    }
}
