//! A session, asked and told through the `gluster` command.

mod calls;
mod config;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;

pub(crate) use calls::Calls;
pub use config::SessionConfig;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::journal::Journal;
use crate::name::SessionName;
use crate::runner::Runner;
use crate::status::SessionStatus;
use crate::volume::{BrickSpace, BrickState, HealInfo, VolumeInfo, VolumeState};

/// How long this crate waits for Gluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// For one command. Gluster's own command line gives up after 120 s.
    pub call: Duration,
    /// For the cluster's lock, altogether per command, with growing pauses.
    pub busy: Duration,
    /// For every row to say `Stopped` after a stop; `stop force` is tried after half of it.
    pub stop: Duration,
    /// Between two looks at the rows while waiting for them to stop.
    pub poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(130),
            busy: Duration::from_secs(60),
            stop: Duration::from_secs(60),
            poll: Duration::from_millis(500),
        }
    }
}

impl Patience {
    /// Sets [`call`](Self::call).
    #[must_use]
    pub fn call(mut self, time: Duration) -> Self {
        self.call = time;
        self
    }

    /// Sets [`busy`](Self::busy).
    #[must_use]
    pub fn busy(mut self, time: Duration) -> Self {
        self.busy = time;
        self
    }

    /// Sets [`stop`](Self::stop).
    #[must_use]
    pub fn stop(mut self, time: Duration) -> Self {
        self.stop = time;
        self
    }

    /// Sets [`poll`](Self::poll).
    #[must_use]
    pub fn poll(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }
}

/// Which end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where data comes from.
    Primary,
    /// Where it goes; asked through `gluster --remote-host`.
    Secondary,
}

/// A geo-replication session.
#[derive(Clone, Debug)]
pub struct Session {
    runner: Arc<dyn Runner>,
    name: SessionName,
    clock: Arc<dyn Clock>,
    patience: Patience,
}

impl Session {
    /// The session `name`, asked through `runner`, which reaches the primary's glusterd.
    #[must_use]
    pub fn new(runner: Arc<dyn Runner>, name: SessionName) -> Self {
        Self { runner, name, clock: Arc::new(SystemClock::new()), patience: Patience::default() }
    }

    /// Uses another clock, as tests and simulations do.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Waits for other times.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SessionName {
        &self.name
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// One row for every brick of the primary volume, those without a worker's row included.
    ///
    /// # Errors
    /// [`Error::Cli`] with [`CliErrorKind::Absent`](crate::CliErrorKind::Absent) if there is no such session; others as they come.
    pub fn status(&self) -> Result<SessionStatus, Error> {
        self.calls(None).status()
    }

    /// Every option of the session, by name, with `-` between words (`sync-method`). Names are as this Gluster has
    /// them: see [`SessionConfig::get`].
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn config(&self) -> Result<SessionConfig, Error> {
        self.calls(None).config()
    }

    /// Sets an option. Any but `checkpoint` and `log-rsync-performance` restarts the workers.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn set_config(&self, option: &str, value: &str) -> Result<(), Error> {
        self.calls(None).set_config(option, value)
    }

    /// Sets a checkpoint at the present second, reads it back and returns it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if another one than was set is read back.
    pub fn set_checkpoint(&self) -> Result<Timestamp, Error> {
        self.calls(None).set_checkpoint()
    }

    /// The checkpoint that is set, if one is.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn checkpoint(&self) -> Result<Option<Timestamp>, Error> {
        self.calls(None).checkpoint()
    }

    /// Asks for replication to be started. It is not an error if it runs already.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn start(&self) -> Result<(), Error> {
        self.calls(None).start()
    }

    /// Asks for replication to be stopped, and does not wait: see [`ensure_stopped`](Self::ensure_stopped). It is not
    /// an error if it does not run.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn stop(&self, force: bool) -> Result<(), Error> {
        self.calls(None).stop(force)
    }

    /// Asks for replication to be stopped, whatever the rows say, and waits until *every* brick's row says `Stopped` (or
    /// `Created`). After half of [`Patience::stop`], `stop force` is tried. Rows that say so are no evidence by
    /// themselves: they lag behind a start by seconds.
    ///
    /// # Errors
    /// [`Error::NotStopped`] if some row doesn't say so in time, or is missing; others as they come. After any error
    /// replication may be running.
    pub fn ensure_stopped(&self, journal: &dyn Journal) -> Result<SessionStatus, Error> {
        self.calls(None).ensure_stopped(journal, &mut |_| {})
    }

    /// What a side's volume is.
    ///
    /// # Errors
    /// [`Error::Cli`] with [`CliErrorKind::Absent`](crate::CliErrorKind::Absent) if there is no such volume; others as they come.
    pub fn volume_info(&self, side: Side) -> Result<VolumeInfo, Error> {
        self.calls(None).volume_info(side)
    }

    /// Which bricks of a side's volume run.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn brick_states(&self, side: Side) -> Result<Vec<BrickState>, Error> {
        self.volume_state(side).map(|s| s.bricks)
    }

    /// Which bricks of a side's volume run, and which tasks move its files.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn volume_state(&self, side: Side) -> Result<VolumeState, Error> {
        self.calls(None).volume_state(side)
    }

    /// How much room the bricks of a side's volume have.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn brick_space(&self, side: Side) -> Result<Vec<BrickSpace>, Error> {
        self.calls(None).brick_space(side)
    }

    /// Sets an option of the primary volume.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn set_primary_option(&self, option: &str, value: &str) -> Result<(), Error> {
        self.calls(None).set_primary_option(option, value)
    }

    /// What waits to be healed on a side's volume. A volume that is neither replicated nor dispersed has nothing.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn heal_info(&self, side: Side) -> Result<HealInfo, Error> {
        self.calls(None).heal_info(side)
    }

    /// What waits to be healed on the secondary volume, asked through `far`, which runs commands at one of its nodes.
    /// A Gluster whose `heal info` does not heed `--remote-host` can't be asked otherwise.
    ///
    /// # Errors
    /// If it can't be run, or Gluster refuses or can't be understood.
    pub fn heal_info_there(&self, far: &dyn Runner) -> Result<HealInfo, Error> {
        self.calls(None).heal_info_there(far)
    }

    pub(crate) fn runner(&self) -> &dyn Runner {
        &*self.runner
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(crate) fn calls<'a>(&'a self, cancel: Option<&'a AtomicBool>) -> Calls<'a> {
        Calls::new(self, cancel)
    }
}
