//! A process that thaws or resumes the guest when ours dies.
//!
//! Drop guards don't run on SIGKILL, and the journal only helps once someone reads it. So before the guest is
//! frozen or suspended, a process of its own is started that does nothing but wait on its stdin:
//!
//! | it sees | it does |
//! |---|---|
//! | `disarm` and a line end, then the end of its stdin | ends, having done nothing |
//! | the end of its stdin without that (our process died) | thaws or resumes, trying again for a while |
//! | its deadline | the same |
//!
//! It writes `armed` and a line end to its stdout when it stands: in a session of its own, deaf to SIGINT, SIGHUP
//! and SIGTERM, and connected to the hypervisor. Only then the guest is touched.

mod command;
mod watch;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use command::CommandGuard;
pub use watch::{Outcome, Timing, run, watch};

use crate::{DomainId, Tag};

/// What a guard undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// Frozen file systems.
    Thaw,
    /// Stopped virtual CPUs.
    Resume,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thaw => "thaw",
            Self::Resume => "resume",
        })
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "thaw" => Ok(Self::Thaw),
            "resume" => Ok(Self::Resume),
            other => Err(format!("no release {other:?}: use thaw or resume")),
        }
    }
}

/// Starts guards.
pub trait GuardSpawner: Sync {
    /// Starts a guard over `domain` that acts at the latest after `deadline`, and returns when it stands.
    ///
    /// # Errors
    /// When it doesn't stand: then the guest must not be touched.
    fn arm(
        &self,
        domain: &DomainId,
        tag: &Tag,
        release: Release,
        deadline: Duration,
    ) -> Result<Box<dyn Guard>, GuardError>;
}

/// A guard that stands. Dropping it without [`disarm`](Self::disarm) makes it act.
#[must_use = "a guard that is dropped acts at once"]
pub trait Guard: Send + fmt::Debug {
    /// Ends the guard. `true` when it had done nothing; `false` when it acted before, or how it ended can't be
    /// told: then the guest was not frozen, or not suspended, all the time.
    fn disarm(self: Box<Self>) -> bool;
}

/// A guard could not be started.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the guard process that would {release} domain '{domain}' after our death did not stand up, so the guest was left alone: \
     {why}"
)]
pub struct GuardError {
    /// The domain's name.
    pub domain: String,
    /// What it would have done.
    pub release: Release,
    /// What happened.
    pub why: String,
}

/// No guard at all: a guest may stay frozen or suspended when the caller is killed, until recovery runs. For
/// callers that watch by other means.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unguarded;

impl GuardSpawner for Unguarded {
    fn arm(&self, _: &DomainId, _: &Tag, _: Release, _: Duration) -> Result<Box<dyn Guard>, GuardError> {
        Ok(Box::new(Self))
    }
}

impl Guard for Unguarded {
    fn disarm(self: Box<Self>) -> bool {
        true
    }
}
