//! `gsyncd.log`, read from where a run began.

mod remote;
mod scan;
mod skew;

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::name::SessionName;

pub use remote::RunnerLog;
pub use scan::LogScan;
pub(crate) use skew::skew;

/// A place in a log: which file it was, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// The file's identity (its inode number, or 0 for none yet).
    pub file: u64,
    /// Its length in bytes.
    pub offset: u64,
}

/// One node's `gsyncd.log`.
pub trait LogSource: Send + Sync + Debug {
    /// What to call it in a report.
    fn name(&self) -> String;

    /// Where the log ends now. A log that does not exist yet ends at its beginning.
    ///
    /// # Errors
    /// If it can't be looked at.
    fn mark(&self) -> io::Result<LogMark>;

    /// What was written since `mark`, in order, through a rotation in between.
    ///
    /// # Errors
    /// If it can't be read, or what was written since can't all be found.
    fn since(&self, mark: &LogMark) -> io::Result<Box<dyn Read + '_>>;
}

/// A log that is a file here.
#[derive(Clone, Debug)]
pub struct LocalLog {
    path: PathBuf,
}

impl LocalLog {
    /// The log at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The log of `session` below `log_dir`, which is `/var/log/glusterfs` or where it is seen from here.
    #[must_use]
    pub fn of_session(log_dir: &Path, session: &SessionName) -> Self {
        Self::new(log_dir.join("geo-replication").join(session.directory()).join("gsyncd.log"))
    }

    fn open_at(path: &Path, offset: u64) -> io::Result<File> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }
}

impl LogSource for LocalLog {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn mark(&self) -> io::Result<LogMark> {
        match std::fs::metadata(&self.path) {
            Ok(m) => Ok(LogMark { file: m.ino(), offset: m.len() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(LogMark { file: 0, offset: 0 }),
            Err(e) => Err(e),
        }
    }

    fn since(&self, mark: &LogMark) -> io::Result<Box<dyn Read + '_>> {
        let now = match std::fs::metadata(&self.path) {
            Ok(m) => m,
            Err(e) if e.kind() == io::ErrorKind::NotFound && mark.file == 0 => {
                return Ok(Box::new(io::empty()));
            }
            Err(e) => return Err(e),
        };
        if mark.file == 0 {
            return Ok(Box::new(Self::open_at(&self.path, 0)?));
        }
        if now.ino() == mark.file {
            if now.len() < mark.offset {
                return Err(cut_short());
            }
            return Ok(Box::new(Self::open_at(&self.path, mark.offset)?));
        }
        // Rotated by renaming: the old file has a name that begins with this one's.
        let stem = self.path.file_name().unwrap_or_default().to_owned();
        let parent = self.path.parent().unwrap_or(Path::new("."));
        for entry in std::fs::read_dir(parent)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.as_encoded_bytes().starts_with(stem.as_encoded_bytes());
            if ours && entry.metadata()?.ino() == mark.file {
                let old = Self::open_at(&entry.path(), mark.offset)?;
                return Ok(Box::new(old.chain(Self::open_at(&self.path, 0)?)));
            }
        }
        Err(rotated_away())
    }
}

fn cut_short() -> io::Error {
    let lost = "it was cut short since (copytruncate?), and what was written before that is lost";
    io::Error::new(io::ErrorKind::UnexpectedEof, lost)
}

fn rotated_away() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "it was rotated, and its older part was not found beside it")
}
