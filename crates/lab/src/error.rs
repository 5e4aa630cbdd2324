//! What can go wrong with a lab.

use std::path::PathBuf;
use std::time::Duration;

/// The result of this crate's functions.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Why a step of the lab failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A program ended with another status than 0.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line, as it was run.
        command: String,
        /// The exit status or the signal.
        status: String,
        /// The end of what it printed, standard error first.
        output: String,
    },
    /// A program did not end within its time and was killed.
    #[error("`{command}` did not end within {limit:?} and was killed: {output}")]
    CommandTimeout {
        /// The command line, as it was run.
        command: String,
        /// The time it was given.
        limit: Duration,
        /// The end of what it had printed.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("waited {limit:?} for {what}; last seen: {last}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The time it was given.
        limit: Duration,
        /// The last state seen.
        last: String,
    },
    /// A file, directory or process could not be worked on.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// The verb: `read`, `write`, `create`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}; is its package installed?")]
    Spawn {
        /// The command line.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no lab of this name.
    #[error("there is no lab named {instance:?}; make it with `cargo xtask lab --instance {instance} up`")]
    NoSuchLab {
        /// The instance's name.
        instance: String,
    },
    /// The lab is there, but not whole.
    #[error(
        "lab {instance:?} is not whole: {problems}; take it down with `cargo xtask lab --instance {instance} down`"
    )]
    Unhealthy {
        /// The instance's name.
        instance: String,
        /// What is missing, in words.
        problems: String,
    },
    /// Another process is building or removing this lab right now.
    #[error("lab {instance:?} is being built or taken down by another process")]
    Busy {
        /// The instance's name.
        instance: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The machine can't play a lab.
    #[error("this machine cannot run the lab: {0}")]
    Machine(String),
    /// Something is left over after the lab was taken down.
    #[error("lab {instance:?} was taken down, but this is left: {left}")]
    Leftovers {
        /// The instance's name.
        instance: String,
        /// What is left.
        left: String,
    },
}

impl LabError {
    /// Whether doing the same again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::CommandTimeout { .. } | Self::Timeout { .. } | Self::Busy { .. })
    }
}

/// Adds what was done to which file to an I/O error.
pub(crate) trait IoContext<T> {
    fn io(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn io(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| LabError::Io { what, path: path.into(), source })
    }
}
