//! What is about to be done to a session, told to a journal before it is done.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::SessionName;

/// One step of a run: what is *about* to be done (`…Intended`), or what was seen to be so.
///
/// Every intention is recorded before its effect; a journal that can't record it stops the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Step {
    /// Replication is about to be stopped.
    StopIntended {
        /// The session.
        session: SessionName,
        /// Whether `stop force` is used.
        force: bool,
    },
    /// Every brick's row was seen to say `Stopped` or `Created`.
    Stopped {
        /// The session.
        session: SessionName,
    },
    /// An option of the session is about to be set.
    ConfigIntended {
        /// The session.
        session: SessionName,
        /// The option.
        option: String,
        /// Its new value.
        value: String,
    },
    /// A checkpoint is about to be set.
    CheckpointIntended {
        /// The session.
        session: SessionName,
    },
    /// The checkpoint was set, and read back as this.
    CheckpointSet {
        /// The session.
        session: SessionName,
        /// The checkpoint, to the second.
        checkpoint: Timestamp,
    },
    /// The root of the mounted primary volume is about to have its times set to now.
    TouchIntended {
        /// The session.
        session: SessionName,
    },
    /// Replication is about to be started. From here to the next [`Step::Stopped`] it may be running.
    StartIntended {
        /// The session.
        session: SessionName,
        /// The checkpoint it is to reach.
        checkpoint: Timestamp,
    },
    /// `gluster` said that replication was started.
    Started {
        /// The session.
        session: SessionName,
    },
    /// Replication is about to be stopped and started again.
    RestartIntended {
        /// The session.
        session: SessionName,
        /// Which restart of this run, from 1.
        attempt: u32,
        /// Why: which bricks' workers stood still.
        reason: String,
    },
    /// The run was judged.
    Judged {
        /// The session.
        session: SessionName,
        /// Whether Gluster's own rows say that the checkpoint was reached.
        gluster_says_complete: bool,
        /// How many problems speak against believing it.
        problems: u32,
    },
}

/// Where steps are recorded before they are taken.
pub trait Journal: Sync {
    /// Records `step` durably.
    ///
    /// # Errors
    /// [`JournalError`] if it can't be kept; the step is then not taken.
    fn record(&self, step: &Step) -> Result<(), JournalError>;
}

/// A journal that keeps nothing, for calls whose interruption leaves nothing to recover.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn record(&self, _step: &Step) -> Result<(), JournalError> {
        Ok(())
    }
}

/// A journal that could not record a step.
#[derive(Debug)]
pub struct JournalError(Box<dyn std::error::Error + Send + Sync>);

impl JournalError {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal could not be written: {}", self.0)
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
