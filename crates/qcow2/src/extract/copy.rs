//! Having the kernel copy what is stored as it is.

use std::fs::File;
use std::os::unix::fs::FileExt;

use stillpoint_storage::{Extent, ExtentKind, KernelCopy, KernelCopyError, Storage};

use super::ExtractError;
use super::part::Part;
use crate::Error;

/// Bytes that are copied at a time where the kernel won't.
const PIECE: usize = 1 << 20;
/// Parts that are gathered before they are copied: 8 MiB of them.
const BATCH: usize = 1 << 18;

/// Copies parts of files into a [`Part`]: neighbours in one call, and shared instead of copied where the file system
/// can (XFS, btrfs) and both ends are whole blocks of it.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    part: &'a Part<'a>,
    /// What is to be copied.
    pending: Vec<Pending<'a>>,
    kernel: KernelCopy<'a>,
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
    pub(super) fn new(part: &'a Part<'a>) -> Result<Self, ExtractError> {
        let kernel = KernelCopy::into(part.file()).map_err(|error| part.failed("look at", error))?;
        Ok(Self { part, pending: Vec::new(), kernel, by_us: 0 })
    }

    /// As [`KernelCopy::is_worth_it`]; what is not is better read and written on several threads.
    pub(super) const fn is_worth_it(&self, from: u64, to: u64, len: u64) -> bool {
        self.kernel.is_worth_it(from, to, len)
    }

    /// Bytes that the kernel copied or shared.
    pub(super) const fn by_kernel(&self) -> u64 {
        self.kernel.bytes()
    }

    /// What is to be copied first of `len` bytes from `from` on, or skipped. The kernel copies a hole as zeros where it
    /// doesn't share it.
    pub(super) fn extent(&self, storage: &dyn Storage, from: u64, len: u64) -> Result<Extent, ExtractError> {
        if self.kernel.shares() {
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
            self.part.go_on()?;
            let done = if self.kernel.is_asked() {
                let Pending { file, from, to, len } = pending;
                self.kernel.copy(file, from, to, len).map_err(|error| self.failed(error))?
            } else {
                self.copy_some(&pending)?
            };
            pending = Pending {
                from: pending.from + done,
                to: pending.to + done,
                len: pending.len - done.min(pending.len),
                ..pending
            };
        }
        Ok(())
    }

    fn failed(&self, error: KernelCopyError) -> ExtractError {
        match error {
            KernelCopyError::Copy(error) => self.part.failed("have the kernel copy to", error),
            KernelCopyError::Compare(error) => self.part.failed("read again", error),
            KernelCopyError::Differs(offset) => {
                ExtractError::Changed { path: self.part.path().to_owned(), offset }
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
