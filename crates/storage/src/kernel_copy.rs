//! Having the kernel copy bytes from file to file.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::io::Errno;

/// Most bytes that the kernel is asked to copy in one call.
const MOST: u64 = 1 << 30;
/// Parts shorter than this are read and written where the kernel would do nothing else.
const SMALL: u64 = 32 << 10;
/// Bytes of a sample that is compared.
const SAMPLE: usize = 4096;
/// `f_type` of file systems on which files can share blocks: XFS, btrfs, bcachefs; see statfs(2).
const SHARING: [u64; 3] = [0x5846_5342, 0x9123_683e, 0xca45_1a4e];

/// Copies parts of files into one file by `copy_file_range(2)`: shared instead of copied where the file system can
/// (XFS, btrfs) and both ends are whole blocks of it. The ends of a sample of what was copied are compared.
#[derive(Debug)]
pub struct KernelCopy<'a> {
    to: &'a File,
    block_size: u64,
    /// Files of different file systems the kernel may refuse to copy.
    asked: bool,
    shares: bool,
    calls: u64,
    bytes: u64,
}

/// Why a part was not copied.
#[derive(Debug)]
pub enum KernelCopyError {
    /// The kernel failed.
    Copy(io::Error),
    /// What was copied can't be read again to be compared.
    Compare(io::Error),
    /// The copy has another byte at this offset than the file that it is a copy of.
    Differs(u64),
}

impl fmt::Display for KernelCopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy(error) => write!(f, "the kernel couldn't copy: {error}"),
            Self::Compare(error) => write!(f, "what the kernel copied can't be compared: {error}"),
            Self::Differs(offset) => {
                write!(f, "what the kernel copied to offset {offset} is not what was there")
            }
        }
    }
}

impl std::error::Error for KernelCopyError {}

impl<'a> KernelCopy<'a> {
    /// Copies into `to`, which is open for reading and writing.
    ///
    /// # Errors
    /// When the file can't be looked at.
    pub fn into(to: &'a File) -> io::Result<Self> {
        let shares = rustix::fs::fstatfs(to)
            .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| SHARING.contains(&kind)));
        let block_size = to.metadata()?.blksize().max(512);
        Ok(Self { to, block_size, asked: true, shares, calls: 0, bytes: 0 })
    }

    /// The size of the file system's blocks, in bytes.
    #[must_use]
    pub const fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Whether the file system is one where files can share blocks. A hole is then shared, too; elsewhere the kernel
    /// copies it as zeros.
    #[must_use]
    pub const fn shares(&self) -> bool {
        self.shares
    }

    /// Whether the kernel is still asked: not once it refused to copy between these files.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.asked
    }

    /// How many bytes the kernel copied or shared.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the kernel should be asked to copy `len` bytes from offset `from` on to offset `to`, rather than read and
    /// write them.
    #[must_use]
    pub const fn is_worth_it(&self, from: u64, to: u64, len: u64) -> bool {
        // What is shared isn't brought to disk once more: of blocks here and there, that takes longest.
        let shared = self.shares && from % self.block_size == to % self.block_size && len >= self.block_size;
        self.asked && (shared || len >= SMALL)
    }

    /// Copies some of `len` bytes of `file` from offset `from` on to offset `to`, and tells how many: 0 where it was
    /// interrupted, or, [`is_asked`](Self::is_asked) tells, where the kernel won't.
    ///
    /// # Errors
    /// When the kernel fails otherwise, or what is looked at of the copy is not what was copied.
    pub fn copy(&mut self, file: &File, from: u64, to: u64, len: u64) -> Result<u64, KernelCopyError> {
        let (into_from, into_to) = (from % self.block_size, to % self.block_size);
        // What comes before the first whole block would keep all of it from being shared.
        let len = if into_from == into_to && into_from != 0 {
            len.min(self.block_size - into_from)
        } else {
            len.min(MOST)
        };
        let (mut next_from, mut next_to) = (from, to);
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(file, Some(&mut next_from), self.to, Some(&mut next_to), wanted) {
            Ok(done) if done > 0 => {
                self.bytes += done as u64;
                self.calls += 1;
                if is_sampled(self.calls) {
                    self.compare_end(file, from, to, done)?;
                }
                Ok(done as u64)
            }
            Err(Errno::INTR) => Ok(0),
            // The source got shorter: reading says so. Or: other file systems, old kernels, files of another kind.
            Ok(_) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                self.asked = false;
                Ok(0)
            }
            Err(error) => Err(KernelCopyError::Copy(error.into())),
        }
    }

    /// Compares the end of `done` copied bytes with what it is a copy of.
    fn compare_end(&self, file: &File, from: u64, to: u64, done: usize) -> Result<(), KernelCopyError> {
        let (mut wanted, mut found) = ([0; SAMPLE], [0; SAMPLE]);
        let len = done.min(SAMPLE);
        let before = (done - len) as u64;
        let (wanted, found) =
            (wanted.get_mut(..len).unwrap_or_default(), found.get_mut(..len).unwrap_or_default());
        file.read_exact_at(wanted, from + before).map_err(KernelCopyError::Compare)?;
        self.to.read_exact_at(found, to + before).map_err(KernelCopyError::Compare)?;
        match wanted.iter().zip(found.iter()).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(first) => Err(KernelCopyError::Differs(to + before + first as u64)),
        }
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

    #[test]
    fn parts_arrive_where_they_belong_and_what_is_no_file_is_not_asked_for_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = |name: &str| {
            let path = directory.path().join(name);
            File::options().read(true).write(true).create(true).truncate(false).open(path).expect("opened")
        };
        let (from, to) = (open("from"), open("to"));
        from.write_all_at(&[7; 10_000], 0).expect("written");
        let mut kernel = KernelCopy::into(&to).expect("a file");
        let (mut at, end) = (100, 9000);
        while at < end && kernel.is_asked() {
            at += kernel.copy(&from, at, at + 1000, end - at).expect("copied");
        }
        assert_eq!((at, kernel.bytes()), (end, end - 100));
        let mut found = vec![1; 10_000];
        to.read_exact_at(&mut found, 0).expect("it is as long");
        assert!(found[..1100].iter().all(|&byte| byte == 0) && found[1100..].iter().all(|&byte| byte == 7));
        // Past the end there is nothing to copy; a device isn't copied.
        assert_eq!(kernel.copy(&from, 10_000, 0, 10).expect("nothing"), 0);
        assert!(!kernel.is_asked() && !kernel.is_worth_it(0, 0, 1 << 30));
    }
}
