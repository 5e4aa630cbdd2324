//! The cycle: still point, replicate, prove, commit, with a journal that survives crashes.
//!
//! [`run`] takes one still point of running domains, has it replicated, digests the disks' bases at both sites from
//! the bricks, compares, and commits the overlays. Only a [`Proof`](proof::Proof) that holds makes it a success.
//! What it is about to do stands in a [`journal`] first, so that [`recover`](recover::recover) can finish or undo it
//! whenever it is interrupted.
#![forbid(unsafe_code)]

mod cancel;
#[cfg(feature = "crash-points")]
mod crash;
mod cycle;
mod digest;
mod error;
pub mod image;
pub mod journal;
mod lock;
pub mod manifest;
mod overlay;
pub mod proof;
pub mod recover;
mod report;
mod resync;
mod runid;
mod site;
mod state;
mod verify;

pub use cancel::{Cancel, Limits, Stopped};
pub use cycle::{DiskChoice, Event, Parts, RunConfig, Site, SiteName, run};
pub use error::{Error, Result};
pub use journal::AfterRun;
pub use lock::{Holder, Lock};
pub use overlay::ImageComparison;
pub use report::{
    DiskReport, DomainReport, Failure, Outcome, PointReport, RunReport, SCHEMA_VERSION, Stage, StageDuration,
};
pub use resync::DomainStill;
pub use runid::{NotARunId, RunId};
pub use site::{SiteSpec, path_in_volume, unused_mapping};
pub use state::StateDir;
pub use verify::{VerifyOptions, verify};
