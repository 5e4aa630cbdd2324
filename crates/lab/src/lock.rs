//! Lock files, so that labs are not built and taken down at once.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, LabError, Result};
use crate::instance::{Paths, ROOT};

/// A lock file, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// The lock of one instance, held while it is built or taken down.
    pub(crate) fn of_instance(instance: &str, paths: &Paths) -> Result<Self> {
        Self::take(&paths.lock(), false)?.ok_or_else(|| LabError::Busy { instance: instance.to_owned() })
    }

    /// The lock of all labs, held for moments.
    pub(crate) fn of_all() -> Result<Self> {
        let path = Path::new(ROOT).join(".all.lock");
        Self::take(&path, true)?
            .ok_or_else(|| LabError::Invalid(format!("{} cannot be locked", path.display())))
    }

    fn take(path: &Path, wait: bool) -> Result<Option<Self>> {
        loop {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).io("create", directory)?;
            }
            let file = match File::create(path) {
                Ok(file) => file,
                // The last lab has just gone, and its directory with it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).io("create", path),
            };
            if wait {
                file.lock().io("lock", path)?;
            } else {
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Ok(None),
                    Err(TryLockError::Error(error)) => return Err(error).io("lock", path),
                }
            }
            // Another may have removed the file between our opening and our locking it: then we hold nothing.
            let same = |metadata: fs::Metadata| {
                file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (metadata.dev(), metadata.ino()))
            };
            if fs::metadata(path).is_ok_and(same) {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// Removes the file, and with it the lock.
    pub(crate) fn remove(self) -> Result<()> {
        let removed = fs::remove_file(&self.path).io("remove", &self.path);
        drop(self.file);
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_once_and_again_after_it_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/lock");
        let held = Lock::take(&path, false).unwrap().unwrap();
        assert!(Lock::take(&path, false).unwrap().is_none());
        held.remove().unwrap();
        assert!(!path.exists());
        assert!(Lock::take(&path, false).unwrap().is_some());
    }

    #[test]
    fn one_who_waited_for_a_removed_lock_takes_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path, true).unwrap().unwrap();
        let waiting = path.clone();
        let waiter = std::thread::spawn(move || Lock::take(&waiting, true).unwrap().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        held.remove().unwrap();
        let _second = waiter.join().unwrap();
        assert!(Lock::take(&path, false).unwrap().is_none(), "the file that is there is locked");
    }
}
