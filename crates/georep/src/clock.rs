//! Time, so that a test can make it pass at will.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// What time it is, how much has passed, and waiting.
///
/// [`SystemClock`] is the machine's. A simulated session brings its own, whose [`sleep`](Clock::sleep) returns at
/// once after moving its time forward.
pub trait Clock: Send + Sync + Debug {
    /// Wall-clock time. Gluster's checkpoints and its `last_synced` are on this scale.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; never goes backwards.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The machine's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose [`elapsed`](Clock::elapsed) counts from now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
