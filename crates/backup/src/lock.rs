//! One run at a time for each session of replication.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::error::{Error, Result, io};

/// Who holds a lock, as the holder wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The run, or `None` when it is `recover`.
    pub run: Option<RunId>,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.run {
            Some(run) => write!(f, "run {run}, process {}, since {:.0}", self.pid, self.since),
            None => write!(f, "recovery, process {}, since {:.0}", self.pid, self.since),
        }
    }
}

/// The lock of one session of replication, held until it is dropped or the process ends.
///
/// It is `flock` on a file; the file stays, what it says is only for the error of whoever comes second.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `session` in the directory `dir`.
    ///
    /// # Errors
    /// [`Error::Locked`] when it is held; otherwise when the file can't be made or locked.
    pub fn take(dir: &Path, session: &str) -> Result<Self> {
        let path = dir.join(file_name(session));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file
                    .take(4096)
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| serde_json::from_str(&text).ok());
                Err(Error::Locked { session: session.to_owned(), path, holder })
            }
            Err(TryLockError::Error(source)) => Err(io("lock", &path)(source)),
        }
    }

    /// Writes down who holds it. Not synced: it matters only while this process lives.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn tell(&mut self, run: Option<&RunId>) -> Result<()> {
        let holder = Holder { pid: std::process::id(), run: run.cloned(), since: Timestamp::now() };
        let text = serde_json::to_string(&holder)
            .map_err(|source| Error::Encode { path: self.path.clone(), source })?;
        let mut write = || {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(text.as_bytes())
        };
        write().map_err(io("write the lock", &self.path))
    }
}

/// The lock's file: the session's letters and digits for people, and a digest so that no two sessions share one.
fn file_name(session: &str) -> String {
    let readable: String = session
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .take(64)
        .collect();
    let digest = blake3::hash(session.as_bytes()).to_hex();
    format!("session-{readable}-{}.lock", &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_when_the_first_lets_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = Lock::take(dir.path(), "gv1 siteB::gv2").expect("free");
        let run: RunId = "20261123T051234Z-4f1c".parse().expect("a name");
        first.tell(Some(&run)).expect("writable");
        match Lock::take(dir.path(), "gv1 siteB::gv2") {
            Err(Error::Locked { holder: Some(holder), .. }) => {
                assert_eq!((holder.pid, holder.run), (std::process::id(), Some(run)));
            }
            other => panic!("{other:?}"),
        }
        let _other_session = Lock::take(dir.path(), "gv1 siteC::gv2").expect("another lock");
        drop(first);
        Lock::take(dir.path(), "gv1 siteB::gv2").expect("free again");
    }

    #[test]
    fn sessions_that_look_alike_have_locks_of_their_own() {
        assert_ne!(file_name("gv1 siteB::gv2"), file_name("gv1-siteB::gv2"));
        assert!(!file_name("../../etc/passwd").contains('/'));
    }
}
