//! A file that has its final name only once it is complete.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use stillpoint_storage::rename_new;

use super::ExtractError;

/// Blocks of this many bytes are left out if they are all zeros.
const BLOCK: usize = 4096;

/// A file beside its final name, removed again unless it is finished.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    overwrite: bool,
    block_size: u64,
    finished: bool,
}

impl Part {
    pub(super) fn create(target: &Path, overwrite: bool) -> Result<Self, ExtractError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |action, source| ExtractError::Write { action, path: target.to_owned(), source };
        match target.symlink_metadata() {
            Ok(_) if !overwrite => return Err(ExtractError::TargetExists { path: target.to_owned() }),
            Ok(meta) if !meta.is_file() => {
                let error = io::Error::new(io::ErrorKind::AlreadyExists, "it is not a regular file");
                return Err(failed("replace", error));
            }
            _ => {}
        }
        let name = target.file_name().ok_or_else(|| {
            failed("write", io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))
        })?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut part = std::ffi::OsString::from(".");
        // A file's name has at most 255 bytes; this leaves room for what is appended.
        part.push(name.to_string_lossy().chars().take(48).collect::<String>());
        part.push(format!(".{}-{number}.part", std::process::id()));
        let path = target.with_file_name(part);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file =
            file.map_err(|source| ExtractError::Write { action: "create", path: path.clone(), source })?;
        let target = target.to_owned();
        let mut part = Self { file, path, target, overwrite, block_size: 4096, finished: false };
        let meta = part.file.metadata().map_err(|error| part.failed("look at", error))?;
        part.block_size = meta.blksize().max(512);
        Ok(part)
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file system's blocks, in bytes.
    pub(super) const fn block_size(&self) -> u64 {
        self.block_size
    }

    pub(super) fn failed(&self, action: &'static str, source: io::Error) -> ExtractError {
        ExtractError::Write { action, path: self.path.clone(), source }
    }

    pub(super) fn set_len(&self, len: u64) -> Result<(), ExtractError> {
        self.file.set_len(len).map_err(|error| self.failed("set the length of", error))
    }

    /// Writes `bytes` at `at`, without blocks that are all zeros: the file has nothing there yet. Reads them again,
    /// and compares. Tells how many bytes were written.
    pub(super) fn write_sparse(&self, at: u64, bytes: &[u8]) -> Result<u64, ExtractError> {
        let mut written = 0;
        let mut start = None;
        let mut position = 0;
        // Blocks are those of the file.
        let mut next = BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or_default();
        while position < bytes.len() {
            let end = next.min(bytes.len());
            let block = bytes.get(position..end).unwrap_or_default();
            match (start, is_zero(block)) {
                (None, false) => start = Some(position),
                (Some(from), true) => {
                    written += self.write(at, bytes, from, position)?;
                    start = None;
                }
                _ => {}
            }
            (position, next) = (end, end + BLOCK);
        }
        if let Some(from) = start {
            written += self.write(at, bytes, from, bytes.len())?;
        }
        Ok(written)
    }

    /// Writes all of `bytes` at `at`, reads them again, and compares.
    pub(super) fn write_all(&self, at: u64, bytes: &[u8]) -> Result<(), ExtractError> {
        self.write(at, bytes, 0, bytes.len()).map(drop)
    }

    /// Writes `bytes[from..to]`, of which the first byte of `bytes` belongs at `at`.
    fn write(&self, at: u64, bytes: &[u8], from: usize, to: usize) -> Result<u64, ExtractError> {
        let bytes = bytes.get(from..to).unwrap_or_default();
        let at = at + from as u64;
        self.file.write_all_at(bytes, at).map_err(|error| self.failed("write", error))?;
        let mut again = [0; 16 * BLOCK];
        for (number, piece) in (0..).zip(bytes.chunks(again.len())) {
            let offset = at + number * again.len() as u64;
            let again = again.get_mut(..piece.len()).unwrap_or_default();
            self.file.read_exact_at(again, offset).map_err(|error| self.failed("read again", error))?;
            if let Some(first) = again.iter().zip(piece).position(|(a, b)| a != b) {
                return Err(ExtractError::Changed { path: self.path.clone(), offset: offset + first as u64 });
            }
        }
        Ok(bytes.len() as u64)
    }

    /// Brings the file to disk, and gives it its final name.
    pub(super) fn finish(mut self) -> Result<(), ExtractError> {
        self.file.sync_all().map_err(|error| self.failed("bring to disk", error))?;
        let renamed = if self.overwrite {
            std::fs::rename(&self.path, &self.target)
        } else {
            rename_new(&self.path, &self.target)
        };
        let target = self.target.clone();
        renamed.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ExtractError::TargetExists { path: target.clone() },
            _ => ExtractError::Write { action: "rename the complete file to", path: target.clone(), source },
        })?;
        self.finished = true;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|source| {
            ExtractError::Write { action: "bring to disk", path: directory.to_owned(), source }
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // The error that led here is the one to report.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether all bytes are zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|&byte| byte == 0)
}
