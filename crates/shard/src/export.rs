//! Copying what a [`Storage`] holds to a file, holes as holes.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use stillpoint_storage::{ExtentKind, FreshFile, Storage};

use crate::ShardError;

/// Bytes read and written at a time.
const PIECE: usize = 1 << 20;

/// How a copy is made.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Replaces the target if it exists. It stays as it was until the copy is complete.
    pub overwrite: bool,
}

/// How far a copy is. Passed after each piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the source that are dealt with, holes included.
    pub done: u64,
    /// Bytes of the source.
    pub total: u64,
    /// Bytes of data that were copied.
    pub copied: u64,
}

/// Copies `source` to a new file at `target`, sparsely: what is a hole in the source is not written.
///
/// The copy is made under another name in the target's directory, brought to disk, and renamed once it is
/// complete, so that the target is never a part of it.
///
/// # Errors
/// When the target exists and is not to be replaced, or something can't be read or written. A part of
/// the source that is not known is an error; what was written is removed then.
pub fn copy_file(
    source: &dyn Storage,
    target: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Progress, ShardError> {
    let wrapped = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => ShardError::TargetExists { path: target.to_owned() },
        _ => ShardError::io("export to", target, error),
    };
    let part = FreshFile::create(target, options.overwrite).map_err(wrapped)?;
    let done = fill(source, &part, progress)?;
    part.finish().map_err(wrapped)?;
    Ok(done)
}

fn fill(
    source: &dyn Storage,
    part: &FreshFile,
    progress: &mut dyn FnMut(Progress),
) -> Result<Progress, ShardError> {
    let write = |error| ShardError::io("write", part.path(), error);
    let total = source.len();
    part.file().set_len(total).map_err(write)?;
    let mut buffer = vec![0; PIECE];
    let mut state = Progress { done: 0, total, copied: 0 };
    while state.done < total {
        let extent = source.next_extent(state.done).map_err(reading)?;
        let end = extent.end().min(total);
        // Unknown parts are read, too, for the error that says what is missing.
        while extent.kind != ExtentKind::Hole && state.done < end {
            let n = usize::try_from(end - state.done).unwrap_or(PIECE).min(PIECE);
            let piece = &mut buffer[..n];
            source.read_exact_at(state.done, piece).map_err(reading)?;
            part.file().write_all_at(piece, state.done).map_err(write)?;
            state.done += n as u64;
            state.copied += n as u64;
            progress(state);
        }
        if state.done < end {
            state.done = end;
            progress(state);
        }
    }
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
    use stillpoint_storage::Extent;

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
        let end =
            copy_file(&source, &target, &ExportOptions::default(), &mut |at| seen.push(at.done)).unwrap();
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
        let refused = copy_file(&Gappy(ExtentKind::Data), &target, &ExportOptions::default(), &mut |_| {});
        assert!(matches!(refused, Err(ShardError::TargetExists { .. })));
        let failed = copy_file(&Gappy(ExtentKind::Unknown), &target, &overwrite, &mut |_| {}).unwrap_err();
        assert!(failed.to_string().contains("h:/b is missing"), "{failed}");
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["out"]);
        copy_file(&Gappy(ExtentKind::Data), &target, &overwrite, &mut |_| {}).unwrap();
        assert_eq!(target.metadata().unwrap().len(), 3 * GAP);
        assert!(copy_file(&Gappy(ExtentKind::Data), dir.path(), &overwrite, &mut |_| {}).is_err());
    }
}
