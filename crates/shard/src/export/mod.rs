//! Copying what a [`Storage`] holds to a file, holes as holes.
//!
//! [`copy_file`] makes a file that is complete or isn't there; [`rescue_file`] fills a file step by step, goes on
//! where it was interrupted, and can leave out what isn't known. Where the bytes lie in files of this system, the
//! kernel copies them, or has both files share them where the file system can.

mod area;
mod mapfile;
mod rescue;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use stillpoint_storage::{FreshFile, Storage};

use crate::ShardError;
use area::{Copier, Done, Missing};

pub use mapfile::{Area, Mapfile, Status};
pub use rescue::{MissingPart, RescueOptions, Rescued, rescue_file};

/// How a copy is made.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Replaces the target if it exists. It stays as it was until the copy is complete.
    pub overwrite: bool,
}

/// How far a copy is. Passed after each piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the source that are dealt with, holes included.
    pub done: u64,
    /// Bytes of the source.
    pub total: u64,
    /// Bytes of data that were copied.
    pub copied: u64,
    /// Those of them that the kernel copied, or had both files share.
    pub by_kernel: u64,
    /// Bytes that are left out: they can't be read, or aren't known.
    pub missing: u64,
}

impl Progress {
    fn add(&mut self, piece: &area::Piece, copier: &Copier<'_>) {
        self.done += piece.len;
        match piece.done {
            Done::Copied => self.copied += piece.len,
            Done::Hole => {}
            Done::Missing(_) => self.missing += piece.len,
        }
        self.by_kernel = copier.by_kernel();
    }
}

/// Told how far a copy is, and asked whether to go on.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Copies `source` to a new file at `target`, sparsely: what is a hole in the source is not written.
///
/// The copy is made under another name in the target's directory, brought to disk, and renamed once it is
/// complete, so that the target is never a part of it.
///
/// # Errors
/// When the target exists and is not to be replaced, something can't be read or written, or `watch` ends it. A part of
/// the source that is not known is an error; what was written is removed then.
pub fn copy_file(
    source: &dyn Storage,
    target: &Path,
    options: &ExportOptions,
    watch: &mut Watch<'_>,
) -> Result<Progress, ShardError> {
    let wrapped = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => ShardError::TargetExists { path: target.to_owned() },
        _ => ShardError::io("export to", target, error),
    };
    let part = FreshFile::create(target, options.overwrite).map_err(wrapped)?;
    let mut state = Progress { total: source.len(), ..Progress::default() };
    part.file().set_len(state.total).map_err(|error| ShardError::io("write", part.path(), error))?;
    let mut copier = Copier::new(source, part.file(), part.path(), Missing::Refused)?;
    while state.done < state.total {
        let piece = copier.next(state.done, state.total)?;
        state.add(&piece, &copier);
        if watch(state).is_break() {
            return Err(ShardError::Cancelled);
        }
    }
    drop(copier);
    part.finish().map_err(wrapped)?;
    Ok(state)
}

/// An error of reading the source: our own where it is one, so that it stays structured.
fn reading(error: io::Error) -> ShardError {
    match error.downcast::<ShardError>() {
        Ok(own) => own,
        Err(error) => ShardError::Read(error),
    }
}

#[cfg(test)]
mod tests {
    use stillpoint_storage::{Extent, ExtentKind};

    use super::*;

    /// A hole of a mebibyte, a few bytes, and a hole again; or an unknown part in the middle.
    struct Gappy(ExtentKind);

    const GAP: u64 = 1 << 20;

    impl Storage for Gappy {
        fn len(&self) -> u64 {
            3 * GAP
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            assert_eq!(offset, GAP, "a hole was read");
            if self.0 == ExtentKind::Unknown {
                return Err(io::Error::other("brick h:/b is missing"));
            }
            buf.fill(7);
            Ok(buf.len())
        }
        fn next_extent(&self, offset: u64) -> io::Result<Extent> {
            let kind = if offset == GAP { self.0 } else { ExtentKind::Hole };
            Ok(Extent { offset, len: GAP, kind })
        }
    }

    fn go_on(_: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn holes_are_not_read_and_the_bytes_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let mut seen = Vec::new();
        let source = Gappy(ExtentKind::Data);
        let end = copy_file(&source, &target, &ExportOptions::default(), &mut |at| {
            seen.push(at.done);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((end.done, end.copied), (3 * GAP, GAP));
        assert_eq!(seen, [GAP, 2 * GAP, 3 * GAP]);
        let bytes = std::fs::read(&target).unwrap();
        assert_eq!(bytes.len() as u64, 3 * GAP);
        let at = GAP as usize;
        assert!(bytes[..at].iter().chain(&bytes[2 * at..]).all(|&byte| byte == 0));
        assert!(bytes[at..2 * at].iter().all(|&byte| byte == 7));
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn an_existing_target_is_replaced_only_when_asked_and_only_by_a_complete_copy() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        std::fs::write(&target, "old").unwrap();
        let overwrite = ExportOptions { overwrite: true };
        let refused = copy_file(&Gappy(ExtentKind::Data), &target, &ExportOptions::default(), &mut go_on);
        assert!(matches!(refused, Err(ShardError::TargetExists { .. })));
        let failed = copy_file(&Gappy(ExtentKind::Unknown), &target, &overwrite, &mut go_on).unwrap_err();
        assert!(failed.to_string().contains("h:/b is missing"), "{failed}");
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["out"]);
        copy_file(&Gappy(ExtentKind::Data), &target, &overwrite, &mut go_on).unwrap();
        assert_eq!(target.metadata().unwrap().len(), 3 * GAP);
        assert!(copy_file(&Gappy(ExtentKind::Data), dir.path(), &overwrite, &mut go_on).is_err());
    }

    #[test]
    fn a_copy_that_is_cancelled_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let cancelled = copy_file(&Gappy(ExtentKind::Data), &target, &ExportOptions::default(), &mut |at| {
            if at.done < 2 * GAP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert!(matches!(cancelled, Err(ShardError::Cancelled)), "{cancelled:?}");
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn what_lies_in_a_file_is_copied_by_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let (from, target) = (dir.path().join("from"), dir.path().join("out"));
        let bytes: Vec<u8> = (0..3 * GAP as usize + 5).map(|at| (at % 251) as u8).collect();
        std::fs::write(&from, &bytes).unwrap();
        let source = stillpoint_storage::FileStorage::open(&from).unwrap();
        let done = copy_file(&source, &target, &ExportOptions::default(), &mut go_on).unwrap();
        assert_eq!((done.copied, done.by_kernel), (bytes.len() as u64, bytes.len() as u64));
        assert_eq!(std::fs::read(&target).unwrap(), bytes);
    }
}
