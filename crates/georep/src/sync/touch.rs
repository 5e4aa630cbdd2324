//! Setting the times of a mounted volume's root, so that every brick records something.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

/// Sets both times of `path` to now.
///
/// A mount whose bricks don't answer blocks its caller in the kernel. So this is done by a thread of its own, which
/// is left behind if it does not come back within `limit`.
pub(super) fn touch(path: &Path, limit: Duration) -> io::Result<()> {
    let (done, wait) = mpsc::channel();
    let path = PathBuf::from(path);
    std::thread::spawn(move || {
        let _ = done.send(set_times(&path));
    });
    wait.recv_timeout(limit).unwrap_or_else(|_| {
        let message = format!("the mount has not answered for {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    })
}

fn set_times(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    utimensat(CWD, path, &times, AtFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_moves_the_time_of_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        std::fs::File::open(dir.path()).unwrap().set_modified(old).unwrap();
        touch(dir.path(), Duration::from_secs(10)).unwrap();
        assert!(std::fs::metadata(dir.path()).unwrap().modified().unwrap() > old);
    }

    #[test]
    fn a_missing_mount_is_an_error() {
        let error = touch(Path::new("/nonexistent/mount"), Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
