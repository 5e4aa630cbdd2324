//! A file of the operating system.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::storage::past_the_end;
use crate::{Extent, ExtentKind, Storage};

/// A regular file or block device, read with positioned reads.
///
/// The length and allocation are those of the moment when it was opened.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    len: u64,
    allocated: Option<u64>,
}

impl FileStorage {
    /// Opens the file at `path` for reading. Does not wait for a writer where `path` is a named pipe.
    ///
    /// # Errors
    /// When it can't be opened, or is neither a regular file nor a block device.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        // Without NONBLOCK, a named pipe in the place of a file would hang us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(path.as_ref(), flags, Mode::empty())?);
        Self::from_file(file)
    }

    /// Takes an open file.
    ///
    /// # Errors
    /// [`io::ErrorKind::IsADirectory`] when it is a directory, [`io::ErrorKind::InvalidInput`] when it is something else
    /// that is neither a regular file nor a block device; or when its length can't be found out.
    pub fn from_file(file: File) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        let meta = file.metadata()?;
        if meta.is_file() {
            return Ok(Self { len: meta.len(), allocated: Some(meta.blocks().saturating_mul(512)), file });
        }
        if meta.file_type().is_block_device() {
            // A device's stat has no size; its end is where seeking to the end leads.
            let len = rustix::fs::seek(&file, SeekFrom::End(0))?;
            return Ok(Self { file, len, allocated: None });
        }
        Err(if meta.is_dir() {
            io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")
        } else {
            io::Error::new(io::ErrorKind::InvalidInput, "it is neither a regular file nor a block device")
        })
    }

    /// The open file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }
}

impl Storage for FileStorage {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = rest.min(buf.len());
        if n == 0 {
            return Ok(0);
        }
        self.file.read_at(&mut buf[..n], offset)
    }

    fn allocated(&self) -> Option<u64> {
        self.allocated
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        if offset >= self.len {
            return Err(past_the_end(offset, self.len));
        }
        let whole = |kind| Extent { offset, len: self.len - offset, kind };
        let run = |end: u64, kind| Extent { offset, len: end.min(self.len) - offset, kind };
        // Seeking moves the descriptor's position, which nothing here uses: reads are positioned.
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) if data > offset => Ok(run(data, ExtentKind::Hole)),
            Ok(_) => match rustix::fs::seek(&self.file, SeekFrom::Hole(offset)) {
                Ok(hole) if hole > offset => Ok(run(hole, ExtentKind::Data)),
                // The file changed between the two calls; data is the answer that loses nothing.
                Ok(_) | Err(Errno::NXIO) => Ok(whole(ExtentKind::Data)),
                Err(error) => Err(error.into()),
            },
            Err(Errno::NXIO) => Ok(whole(ExtentKind::Hole)),
            // File systems and devices that can't tell: everything may be data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(whole(ExtentKind::Data)),
            Err(error) => Err(error.into()),
        }
    }
}
