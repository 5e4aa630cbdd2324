//! A GlusterFS geo-replication session driven to a checkpoint that can be believed.
//!
//! Gluster's checkpoint can be complete when nothing was replicated: when no worker is active, when rsync at the far
//! side looks at no file and says nothing, when retries were used up. And it can be stuck for ever behind a worker
//! that calls itself `Active`. This crate runs a session in an order that does not depend on live change
//! notification, asks for positive evidence on every brick, reads the log for what the rows keep quiet about, and
//! leaves replication stopped.
//!
//! - [`Session`] asks and tells, through a [`Runner`], in the vocabularies before and since Gluster 10.
//! - [`examine`] looks for what would make a run fail or lie, [`preflight`](fn@preflight) lists what it finds, and
//!   [`apply`] sets right what is a configuration.
//! - [`sync`](fn@sync) makes a run and returns a [`Verdict`] that keeps apart what Gluster says and what can be believed.
//! - [`resync`](fn@resync) has files sent again that a run has left out.
//!
//! Only comparing the files on both sides proves what arrived; this crate brings a session to where that is
//! worth doing.
#![forbid(unsafe_code)]

mod cli;
mod clock;
mod error;
mod journal;
mod log;
mod name;
mod preflight;
mod resync;
mod runner;
mod session;
mod status;
mod sync;
mod verdict;
mod volume;
mod xml;

pub use cli::{AnswerError, AnswerProblem, CliError, CliErrorKind};
pub use clock::{Clock, SystemClock};
pub use error::{Error, Stage};
pub use journal::{Journal, JournalError, NoJournal, Step};
pub use log::{LocalLog, LogMark, LogScan, LogSource, RunnerLog};
pub use name::{NameError, SessionName};
pub use preflight::{
    Check, Examination, Finding, Fix, Fixed, PreflightOptions, Severity, UNSEEN, apply, examine, preflight,
};
pub use resync::{NotStill, ResyncError, ResyncFile, ResyncOptions, Resynced, Stillness, resync};
pub use runner::{Limit, LocalRunner, MAX_OUTPUT, Output, PARENT, RunError, Runner};
pub use session::{Patience, Session, SessionConfig, Side};
pub use status::{CheckpointRow, CrawlStatus, Row, SessionStatus, Worker, WorkerStatus};
pub use sync::{Sent, SyncOptions, SyncProgress, sync};
pub use verdict::{Evidence, LogFinding, LogFindingKind, Problem, Verdict};
pub use volume::{
    Brick, BrickHeal, BrickName, BrickSpace, BrickState, HealInfo, VolumeInfo, VolumeKind, VolumeState,
    VolumeTask,
};
