//! What can go wrong with a session, told apart by what can be done about it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::{AnswerError, CliError};
use crate::journal::JournalError;
use crate::name::NameError;
use crate::runner::RunError;
use crate::verdict::Verdict;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is not the name of a session.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A command could not be run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Gluster refused.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// Gluster's answer could not be understood.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The journal could not be written; the step was not taken.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Stopping was asked for, and some bricks' rows don't say `Stopped`.
    #[error(
        "replication is not stopped {} s after it was asked to be: {rows}; see that glusterd runs on every node of \
         the primary volume, then 'gluster volume geo-replication {session} stop force'", waited.as_secs()
    )]
    NotStopped {
        /// The session, as the `gluster` command takes it.
        session: String,
        /// How long was waited.
        waited: Duration,
        /// The rows as they were last seen.
        rows: String,
    },
    /// The root of the mounted primary volume could not be touched.
    #[error("can't set the times of {}, where the primary volume should be mounted: {source}", mount.display())]
    Touch {
        /// The mount.
        mount: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The checkpoint that was read back is not one that was just set.
    #[error(
        "a checkpoint was set at {asked}, but {read_back} was read back; does another run or script use the session?"
    )]
    Checkpoint {
        /// The wall-clock time when it was set.
        asked: Timestamp,
        /// What the session says (`none` for nothing).
        read_back: String,
    },
    /// The time limit passed.
    #[error("the checkpoint was not reached within {} s ({stage}): {state}", waited.as_secs())]
    Deadline {
        /// What was being done.
        stage: Stage,
        /// How long the run had taken.
        waited: Duration,
        /// What was seen last: the rows, and why they are not enough.
        state: String,
    },
    /// The far side can't be reached.
    #[error(
        "the far side, {host}, has not been reached for {} s: {reason}; mend the link and run again (workers may \
         still call themselves Active: {rows})", since.as_secs()
    )]
    FarSideUnreachable {
        /// The secondary's host.
        host: String,
        /// For how long.
        since: Duration,
        /// What a probe or the log said.
        reason: String,
        /// The rows as they were last seen.
        rows: String,
    },
    /// Workers were Faulty, or not running at all, for longer than the grace.
    #[error("workers of {bricks} have not run for {} s: {reason}", since.as_secs())]
    Faulty {
        /// The bricks.
        bricks: String,
        /// For how long.
        since: Duration,
        /// The rows, and what gsyncd's log says.
        reason: String,
    },
    /// Active workers stood still, and restarts did not help.
    #[error(
        "workers of {bricks} are Active and stand still, after {restarts} restarts; see gsyncd.log there{hint}"
    )]
    Starved {
        /// The bricks.
        bricks: String,
        /// How often replication was stopped and started again.
        restarts: u32,
        /// What the logs tell of it, as an addition to the message; may be empty.
        hint: String,
    },
    /// The caller cancelled.
    #[error("cancelled ({stage})")]
    Cancelled {
        /// What was being done.
        stage: Stage,
    },
    /// **Replication could not be stopped again and may be running**: what the bases hold from here on reaches the
    /// far side. Nothing that rewrites a base may be done before [`Session::ensure_stopped`] has succeeded.
    ///
    /// [`Session::ensure_stopped`]: crate::Session::ensure_stopped
    #[error(
        "replication could not be stopped and may still be running: {reason}{}",
        after.as_ref().map(|e| format!(" (this came after: {e})")).unwrap_or_default()
    )]
    StillRunning {
        /// Why it could not be stopped.
        #[source]
        reason: Box<Error>,
        /// What had gone wrong before, if anything had.
        after: Option<Box<Error>>,
        /// The verdict, if the run had got that far.
        verdict: Option<Box<Verdict>>,
    },
}

/// What a run was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Stopping replication, or waiting until every row says so.
    Stopping,
    /// Setting the checkpoint and reading it back.
    Checkpoint,
    /// Touching the mount.
    Touch,
    /// Waiting for the changelogs to be rolled.
    Rollover,
    /// Starting replication.
    Starting,
    /// Waiting for the checkpoint.
    Waiting,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stopping => "while stopping replication",
            Self::Checkpoint => "while setting the checkpoint",
            Self::Touch => "while touching the mounted primary volume",
            Self::Rollover => "while waiting for changelogs to be rolled",
            Self::Starting => "while starting replication",
            Self::Waiting => "while waiting for the checkpoint",
        })
    }
}

impl Error {
    /// Whether trying the same again, later and with nothing set right, can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Cli(e) => e.is_retryable(),
            Self::Run(e) => matches!(e, RunError::TimedOut { .. }),
            Self::Deadline { .. }
            | Self::FarSideUnreachable { .. }
            | Self::Faulty { .. }
            | Self::Starved { .. }
            | Self::NotStopped { .. } => true,
            Self::StillRunning { reason, .. } => reason.is_retryable(),
            Self::Answer(_)
            | Self::Name(_)
            | Self::Journal(_)
            | Self::Touch { .. }
            | Self::Checkpoint { .. }
            | Self::Cancelled { .. } => false,
        }
    }

    /// Whether replication may be running now, in spite of the run having ended.
    #[must_use]
    pub fn may_be_running(&self) -> bool {
        matches!(self, Self::StillRunning { .. } | Self::NotStopped { .. })
    }

    /// Whether the caller's cancelling is the cause.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled { .. } | Self::Run(RunError::Cancelled { .. }) => true,
            Self::StillRunning { after: Some(after), .. } => after.is_cancelled(),
            _ => false,
        }
    }
}
