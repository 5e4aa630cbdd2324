//! A file that is complete, or isn't there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::rename::rename_new;

/// A new file that has its final name only once all of it is written and on disk.
///
/// Until then it lies under another name in the same directory, `.NAME.PID-NUMBER.part`, readable and writable by
/// nobody but its owner. When it is dropped without [`finish`](Self::finish) it is removed, and what lies under the
/// final name is as it was. A process that is killed leaves the file of the other name behind; nothing takes it for
/// the complete one.
///
/// ```
/// use std::io::Write;
/// use stillpoint_storage::FreshFile;
///
/// # let directory = tempfile::tempdir()?;
/// let target = directory.path().join("disk.raw");
/// let fresh = FreshFile::create(&target, false)?;
/// fresh.file().write_all(b"still point")?;
/// assert!(!target.exists());
/// fresh.finish()?;
/// assert_eq!(std::fs::read(&target)?, b"still point");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FreshFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    replace: bool,
    finished: bool,
}

impl FreshFile {
    /// Makes an empty file, open for reading and writing, that is to become `target`; where `replace` is set, in the
    /// place of a regular file that is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where `target` is there and is not to be replaced, and never else;
    /// [`io::ErrorKind::InvalidInput`] where it has no file name, or is something that can't be replaced: a directory, a
    /// device, a symbolic link. Otherwise what opening the file says. The text names the file and what was to be done.
    pub fn create(target: impl AsRef<Path>, replace: bool) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let target = target.as_ref();
        let unfit = |why: &str| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("can't write {}: {why}", target.display()))
        };
        match target.symlink_metadata() {
            Ok(_) if !replace => return Err(is_there(target)),
            Ok(meta) if !meta.is_file() => return Err(unfit("what is there is not a regular file")),
            _ => {}
        }
        let name = target.file_name().ok_or_else(|| unfit("it has no file name"))?;
        // A file's name has at most 255 bytes, a character at most 4; this leaves room for what is appended.
        let name: String = name.to_string_lossy().chars().take(48).collect();
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = target.with_file_name(format!(".{name}.{}-{number}.part", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    return Ok(Self { file, path, target: target.to_owned(), replace, finished: false });
                }
                // A process that had our id was killed and left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path, &error)),
            }
        }
    }

    /// The file, open for reading and writing.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Where the file is until it is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is to be.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Brings the file to disk, gives it its final name, and brings the directory to disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where a file of that name came to be meanwhile and is not to be replaced;
    /// otherwise what `fsync(2)` and `rename(2)` say. The file is removed then, unless it was the directory that could
    /// not be brought to disk: it has its final name in that case, and whether it still has it after a loss of power
    /// isn't known. The text names the file and what was to be done.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all().map_err(|error| failed("bring to disk", &self.path, &error))?;
        let renamed = if self.replace {
            std::fs::rename(&self.path, &self.target)
        } else {
            rename_new(&self.path, &self.target)
        };
        renamed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&self.target),
            _ => failed("rename the complete file to", &self.target, &error),
        })?;
        self.finished = true;
        let directory = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed("bring to disk", directory, &error))
    }
}

impl Drop for FreshFile {
    fn drop(&mut self) {
        if !self.finished {
            // The error that led here is the one to report.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_there(target: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", target.display()))
}

fn failed(action: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("can't {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("it is one");
        entries.map(|entry| entry.expect("read").file_name().into_string().expect("a text")).collect()
    }

    #[test]
    fn the_name_is_there_once_the_file_is_finished_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("out");
        let fresh = FreshFile::create(&target, false).expect("created");
        assert_eq!((fresh.target(), fresh.path().parent()), (&*target, target.parent()));
        fresh.file().write_all(b"new").expect("written");
        assert_eq!(
            names(directory.path()),
            [fresh.path().file_name().expect("it has one").to_string_lossy()]
        );
        fresh.finish().expect("finished");
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&target).expect("it is there"), b"new");
    }

    #[test]
    fn what_is_dropped_leaves_nothing_and_the_old_file_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("out");
        std::fs::write(&target, "old").expect("written");
        let fresh = FreshFile::create(&target, true).expect("created");
        fresh.file().write_all(b"new").expect("written");
        drop(fresh);
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&target).expect("it is there"), b"old");
    }

    #[test]
    fn a_file_is_replaced_only_where_that_is_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("out");
        std::fs::write(&target, "old").expect("written");
        let refused = FreshFile::create(&target, false).expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["out"]);
        FreshFile::create(&target, true).expect("created").finish().expect("finished");
        assert_eq!(std::fs::read(&target).expect("it is there"), b"");
    }

    #[test]
    fn a_file_that_came_to_be_meanwhile_is_not_lost() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("out");
        let fresh = FreshFile::create(&target, false).expect("created");
        std::fs::write(&target, "theirs").expect("written");
        let refused = fresh.finish().expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&target).expect("it is there"), b"theirs");
    }

    #[test]
    fn what_is_no_regular_file_is_never_replaced_and_the_error_says_what_was_tried() {
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("elsewhere", &link).expect("linked");
        for unfit in [directory.path(), &link, Path::new("/")] {
            let refused = FreshFile::create(unfit, true).expect_err("it can't be");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
        }
        let nowhere = directory.path().join("no/such/out");
        let failed = FreshFile::create(&nowhere, false).expect_err("there is no such directory");
        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
        assert!(failed.to_string().starts_with("can't create "), "{failed}");
    }

    #[test]
    fn a_file_that_a_killed_process_left_is_stepped_over_and_long_names_have_room() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("ü".repeat(127));
        let first = FreshFile::create(&target, false).expect("created");
        let path = first.path().to_owned();
        let text = path.to_str().expect("a text");
        let (stem, number) =
            text.strip_suffix(".part").and_then(|text| text.rsplit_once('-')).expect("it ends so");
        let number: u64 = number.parse().expect("a number");
        // Other tests take numbers, too.
        for next in number + 1..number + 100 {
            std::fs::write(format!("{stem}-{next}.part"), "left").expect("written");
        }
        let second = FreshFile::create(&target, false).expect("created");
        second.finish().expect("finished");
        assert_eq!(std::fs::read(&target).expect("it is there"), b"");
    }
}
