//! How a run is made, and what it tells while it goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::log::{LocalLog, LogSource};
use crate::name::SessionName;
use crate::status::SessionStatus;

/// How a run is made. [`SyncOptions::new`] gives the values that are right for real sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncOptions {
    /// Where the primary volume is mounted: its root's times are set, so that every brick has something recorded
    /// after the checkpoint.
    pub mount: PathBuf,
    /// The `gsyncd.log` of every primary node. With none, the run is judged by rows alone, and says so.
    pub logs: Vec<Arc<dyn LogSource>>,
    /// The longest the run may take before replication is stopped again (the stop has its own limit,
    /// [`Patience::stop`](crate::Patience::stop)).
    pub deadline: Duration,
    /// `changelog.rollover-time`; `None` reads it from the volume's options (15 s by default there).
    pub rollover: Option<Duration>,
    /// Sets `log-rsync-performance` if the session doesn't have it, so that rsync's counts can be read. It is left
    /// set; it changes nothing but the log.
    pub log_rsync: bool,
    /// How long after the checkpoint was set the root is touched. Checkpoints are whole seconds: at least 1 s.
    pub touch_delay: Duration,
    /// How much longer than the rollover time is waited before the start. A worker reads its history 3 s after the
    /// start at the earliest (gsyncd waits 1 s for its mount and 2 s before it registers, 11.1), so that with nothing
    /// added the changelog with the touch has been rolled for 3 s by then.
    pub rollover_slack: Duration,
    /// How long after a start the rows are read first: workers need more than 4 s to get anywhere, and reading rows
    /// takes the processor from them.
    pub first_poll: Duration,
    /// The least pause between two readings of the rows; a reading that takes longer is followed by a pause as long.
    /// A reading starts a Python program for each brick.
    pub poll: Duration,
    /// How often the root is touched again while waiting.
    pub touch_every: Duration,
    /// An Active worker whose `last_synced` has not moved for longer than this, and three rollovers, since a touch
    /// stands still.
    pub starved_after: Duration,
    /// How often replication is stopped and started again because of workers that stand still.
    pub max_restarts: u32,
    /// How long workers may be Faulty (gsyncd starts them again by itself) before the run fails.
    pub faulty_grace: Duration,
    /// How long the far side may be out of reach before the run fails.
    pub unreachable_grace: Duration,
    /// How often the far side is probed while the checkpoint is awaited; `None` never does.
    pub probe_every: Option<Duration>,
}

impl SyncOptions {
    /// Options for a real session whose primary volume is mounted at `mount`, with a `deadline`, and no logs yet.
    #[must_use]
    pub fn new(mount: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self {
            mount: mount.into(),
            logs: Vec::new(),
            deadline,
            rollover: None,
            log_rsync: true,
            touch_delay: Duration::from_millis(1050),
            rollover_slack: Duration::ZERO,
            first_poll: Duration::from_secs(4),
            poll: Duration::from_secs(1),
            touch_every: Duration::from_secs(30),
            starved_after: Duration::from_secs(60),
            max_restarts: 2,
            faulty_grace: Duration::from_secs(60),
            unreachable_grace: Duration::from_secs(120),
            probe_every: Some(Duration::from_secs(10)),
        }
    }

    /// Adds the log of `session` below `log_dir`, which is `/var/log/glusterfs` or where it is seen from here.
    #[must_use]
    pub fn with_log_dir(mut self, log_dir: &Path, session: &SessionName) -> Self {
        self.logs.push(Arc::new(LocalLog::of_session(log_dir, session)));
        self
    }
}

/// What rsync has sent since a run began, as far as the logs tell: a batch is told when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Batches.
    pub batches: u64,
    /// Regular files sent.
    pub files: u64,
    /// Bytes, names and checksums included.
    pub bytes: u64,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SyncProgress {
    /// Replication is being stopped; the rows as last seen.
    Stopping(SessionStatus),
    /// The checkpoint was set.
    CheckpointSet(Timestamp),
    /// Waiting until every brick has rolled its changelog.
    WaitingForRollover(Duration),
    /// Replication was started.
    Started,
    /// The rows were read.
    Polled {
        /// The rows.
        status: SessionStatus,
        /// Why they are not enough yet; empty when they are.
        missing: Vec<String>,
        /// What was sent so far; `None` when the logs don't tell.
        sent: Option<Sent>,
    },
    /// Replication is stopped and started again: which restart it is, and why.
    Restarting {
        /// From 1.
        attempt: u32,
        /// The bricks whose workers stand still.
        reason: String,
    },
    /// The far side did not answer a probe.
    Unreachable {
        /// For how long it has not been reached.
        since: Duration,
        /// What the probe said.
        reason: String,
    },
    /// The run was judged; replication is being stopped.
    Judged {
        /// Whether Gluster's own rows say that the checkpoint was reached.
        gluster_says_complete: bool,
    },
}
