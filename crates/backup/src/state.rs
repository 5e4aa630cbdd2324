//! The state directory: locks, and a directory for each run.
//!
//! ```text
//! STATE/session-….lock       one for each session of replication
//! STATE/runs/RUN-ID/journal  what the run did
//! STATE/runs/RUN-ID/report.json, primary.json, secondary.json, proof.json
//! ```

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result, io};
use crate::{Lock, RunId};

/// The directory that a host keeps its runs in. Not on the volume that is replicated.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Opens the directory, and makes it (mode 0700) where it isn't there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(root: &Path) -> Result<Self> {
        make_dirs(&root.join("runs"))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the lock of a session.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn lock(&self, session: &str) -> Result<Lock> {
        Lock::take(&self.root, session)
    }

    /// A run's directory.
    #[must_use]
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(run.as_str())
    }

    /// Makes the directory of a new run, and names the run.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new_run(&self) -> Result<(RunId, PathBuf)> {
        for salt in 0.. {
            let run = RunId::new(Timestamp::now(), salt);
            let dir = self.run_dir(&run);
            match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => {
                    sync_dir(&self.root.join("runs"))?;
                    return Ok((run, dir));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && salt < 100 => {}
                Err(error) => return Err(io("make the run's directory", &dir)(error)),
            }
        }
        unreachable!("the hundredth attempt returned")
    }

    /// All runs that have a journal, oldest first.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn runs(&self) -> Result<Vec<RunId>> {
        let dir = self.root.join("runs");
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(io("list the runs in", &dir))? {
            let entry = entry.map_err(io("list the runs in", &dir))?;
            let Some(run) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if entry.path().join(crate::journal::FILE_NAME).exists() {
                runs.push(run);
            }
        }
        runs.sort();
        Ok(runs)
    }
}

/// Writes a document beside a journal: under another name, synced, then renamed into place.
///
/// # Errors
/// When it can't be written.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::Encode { path: path.to_owned(), source })?;
    text.push('\n');
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(io("make", &new))?;
    file.write_all(text.as_bytes()).map_err(io("write", &new))?;
    file.sync_all().map_err(io("sync", &new))?;
    std::fs::rename(&new, path).map_err(io("rename into place", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync the directory", dir))
}

/// Makes a directory and those above it, durably.
fn make_dirs(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dirs(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(io("make the directory", dir)(error));
        }
        _ => {}
    }
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}
