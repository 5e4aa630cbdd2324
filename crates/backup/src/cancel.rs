//! Being told to stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a run is told to end, from any thread.
///
/// What would take long is then left off, and what was done to the guest is undone. Who doesn't want to wait for that
/// either ends the process: at any moment that is as a crash is, which recovery is for.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Nobody wants anything to end yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks for an end. Tells whether this was the first time.
    pub fn request(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The flag itself, for those who take one.
    #[must_use]
    pub const fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Why something was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// Somebody asked for it.
    Cancelled,
    /// The run's deadline passed.
    Deadline {
        /// How long it was.
        after: Duration,
    },
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Deadline { after } => {
                write!(f, "the deadline of {after:?} passed; allow more, after a look at what took so long")
            }
        }
    }
}

/// Until when, and unless cancelled.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    cancel: &'a Cancel,
    began: Instant,
    deadline: Duration,
}

impl<'a> Limits<'a> {
    /// From now on for `deadline`, unless `cancel` says so before.
    #[must_use]
    pub fn new(cancel: &'a Cancel, deadline: Duration) -> Self {
        Self { cancel, began: Instant::now(), deadline }
    }

    /// How much is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.began.elapsed())
    }

    /// Who cancels.
    #[must_use]
    pub const fn cancel(&self) -> &'a Cancel {
        self.cancel
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.cancel.is_wanted() {
            return Err(Stopped::Cancelled);
        }
        if self.left().is_zero() {
            return Err(Stopped::Deadline { after: self.deadline });
        }
        Ok(())
    }
}
