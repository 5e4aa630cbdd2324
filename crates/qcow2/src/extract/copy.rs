//! Having the kernel copy what is stored as it is.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use super::ExtractError;
use super::part::Part;

/// Most bytes that the kernel is asked to copy in one call.
const MOST: u64 = 1 << 30;
/// Bytes that are copied at a time where the kernel won't.
const PIECE: usize = 1 << 20;

/// Copies parts of files into a [`Part`]: neighbours in one call, and shared instead of copied where the file system
/// can (XFS, btrfs) and both ends are whole blocks of it.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    part: &'a Part,
    pending: Option<Pending<'a>>,
    /// Whether the kernel is still asked. Files of different file systems it may refuse to copy.
    kernel: bool,
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
    pub(super) const fn new(part: &'a Part) -> Self {
        Self { part, pending: None, kernel: true, by_kernel: 0, by_us: 0 }
    }

    /// Copies `len` bytes of `file` from `from` on to `to`, at the latest when [`flush`](Self::flush) is called.
    pub(super) fn copy(&mut self, file: &'a File, from: u64, to: u64, len: u64) -> Result<(), ExtractError> {
        if let Some(pending) = &mut self.pending
            && std::ptr::eq(pending.file, file)
            && pending.from + pending.len == from
            && pending.to + pending.len == to
        {
            pending.len += len;
            return Ok(());
        }
        self.flush()?;
        self.pending = Some(Pending { file, from, to, len });
        Ok(())
    }

    /// Copies what is left.
    pub(super) fn flush(&mut self) -> Result<(), ExtractError> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
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
