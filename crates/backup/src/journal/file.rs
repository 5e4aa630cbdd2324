//! Writing a journal.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::line::{self, Sum};
use super::{Contents, Entry, FORMAT, Header, Record, RunStep, VERSION};
use crate::RunId;
use crate::error::{Error, Result, io};

/// The name of a journal in its run's directory.
pub const FILE_NAME: &str = "journal";

/// A journal that is written to. Shared by all parts of a run; records are written one after the other.
pub struct Journal<'a> {
    path: PathBuf,
    run: RunId,
    writer: Mutex<Writer>,
    observer: Option<Observer<'a>>,
}

type Observer<'a> = Box<dyn Fn(&Record) + Send + Sync + 'a>;

struct Writer {
    file: File,
    seq: u64,
    sum: Sum,
    /// Set by the first failure: what lies on disk after it isn't known, and a line behind a torn one would make the
    /// journal unreadable.
    broken: bool,
}

impl<'a> Journal<'a> {
    /// Makes the journal of `run` in the directory `dir`, with its header on disk.
    ///
    /// # Errors
    /// When it can't be made. The directory is the run's own, so there is none yet.
    pub fn create(dir: &Path, run: &RunId) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            run: run.clone(),
            created: Timestamp::now(),
        };
        let (text, sum) = line::seal(Sum::default(), &json(&header, &path)?);
        // Under another name first, so that a journal without a whole header never exists.
        let new = dir.join("journal.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)
            .map_err(io("make the journal", &new))?;
        file.write_all(text.as_bytes()).map_err(io("write the journal", &new))?;
        file.sync_all().map_err(io("sync the journal", &new))?;
        std::fs::rename(&new, &path).map_err(io("name the journal", &path))?;
        crate::state::sync_dir(dir)?;
        let writer = Writer { file, seq: 0, sum, broken: false };
        Ok(Self { path, run: run.clone(), writer: Mutex::new(writer), observer: None })
    }

    /// Goes on with the journal in `dir`, of which `contents` was just read. A torn tail is cut off and that is
    /// recorded.
    ///
    /// # Errors
    /// When the file can't be written, or is no longer what was read.
    pub fn resume(dir: &Path, contents: &Contents) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(io("open the journal", &path))?;
        let len = file.metadata().map_err(io("look at the journal", &path))?.len();
        if len != contents.verified + contents.torn.map_or(0, |torn| torn.len) {
            return Err(Error::JournalCorrupt {
                path,
                line: contents.records.len() as u64 + 2,
                reason: "it grew since it was read".to_owned(),
            });
        }
        if contents.torn.is_some() {
            file.set_len(contents.verified).map_err(io("cut the journal's torn tail", &path))?;
            file.sync_all().map_err(io("sync the journal", &path))?;
        }
        file.seek(SeekFrom::End(0)).map_err(io("seek in the journal", &path))?;
        let writer = Writer { file, seq: contents.records.len() as u64, sum: contents.sum, broken: false };
        let journal =
            Self { path, run: contents.header.run.clone(), writer: Mutex::new(writer), observer: None };
        if let Some(torn) = contents.torn {
            journal.write(&Entry::Run(RunStep::TornTailCut { offset: torn.offset, len: torn.len }))?;
        }
        Ok(journal)
    }

    /// Has `observer` called with each record from now on, after it is on disk and before its effect.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(&Record) + Send + Sync + 'a) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// The run whose journal it is.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a record, and returns its number when it is on disk.
    ///
    /// # Errors
    /// When it can't be written. What it speaks of must then not be done; every later record fails too.
    pub fn write(&self, entry: &Entry) -> Result<u64> {
        // The lock is held over the observer, so that it sees the records in order.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.broken {
            return Err(Error::JournalBroken { path: self.path.clone() });
        }
        let record = Record { seq: writer.seq + 1, time: Timestamp::now(), entry: entry.clone() };
        let (text, sum) = line::seal(writer.sum, &json(&record, &self.path)?);
        writer.broken = true;
        writer.file.write_all(text.as_bytes()).map_err(io("write the journal", &self.path))?;
        writer.file.sync_data().map_err(io("sync the journal", &self.path))?;
        writer.broken = false;
        writer.seq = record.seq;
        writer.sum = sum;
        tracing::debug!(run = %self.run, seq = record.seq, step = %record.entry.name(), "journal");
        #[cfg(feature = "crash-points")]
        crate::crash::after(&record);
        if let Some(observer) = &self.observer {
            observer(&record);
        }
        Ok(record.seq)
    }
}

impl stillpoint_virt::Journal for Journal<'_> {
    fn record(&self, step: &stillpoint_virt::Step) -> Result<(), stillpoint_virt::JournalError> {
        self.write(&Entry::Virt(step.clone())).map(drop).map_err(stillpoint_virt::JournalError::new)
    }
}

impl stillpoint_georep::Journal for Journal<'_> {
    fn record(&self, step: &stillpoint_georep::Step) -> Result<(), stillpoint_georep::JournalError> {
        self.write(&Entry::Georep(step.clone())).map(drop).map_err(stillpoint_georep::JournalError::new)
    }
}

fn json<T: Serialize>(value: &T, path: &Path) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Encode { path: path.to_owned(), source })
}

impl fmt::Debug for Journal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).field("run", &self.run).finish_non_exhaustive()
    }
}
