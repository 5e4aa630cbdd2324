//! A simulated geo-replication session.
//!
//! [`SimulatedSession`] answers the `gluster` command's XML from a model of a session in memory, and keeps time
//! itself: waiting costs nothing. The only things outside of it that it looks at or changes are the directory that
//! stands for the primary's mount (whose times say whether it was touched), the `gsyncd.log` it writes, and whatever
//! the caller's hook copies when it replicates.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use std::time::Duration;
//!
//! use stillpoint_georep::{NoJournal, sync};
//! use stillpoint_sim::replication::SimulatedSession;
//!
//! # let dir = tempfile::tempdir()?;
//! let simulated = SimulatedSession::new("gv1 siteB::gv2".parse()?, dir.path())?;
//! let options = simulated.options(Duration::from_secs(300));
//! let verdict = sync(&simulated.session(), &options, &NoJournal, &mut |_| {}, &AtomicBool::new(false))?;
//! assert!(verdict.believable());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod behaviour;
mod log;
mod model;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use stillpoint_georep::{
    BrickName, Clock, Limit, LocalLog, Output, RunError, Runner, Session, SessionName, SyncOptions,
};

pub use behaviour::{Behaviour, Fault, Vocabulary};

use model::Model;

/// What copies data when the session replicates.
pub type Hook = Box<dyn FnMut() + Send>;

/// A session that exists only here. Clones are the same session.
#[derive(Clone)]
pub struct SimulatedSession {
    model: Arc<Mutex<Model>>,
}

impl SimulatedSession {
    /// A stopped session `name` from a two-by-two replicated volume (`siteA:/bricks/b0` to `b3`) to a distributed
    /// one, in `dir`: `dir/mount` stands for the primary's mount, and `dir/log` holds the log.
    ///
    /// # Errors
    /// If the directories can't be made.
    pub fn new(name: SessionName, dir: &Path) -> io::Result<Self> {
        let model = Model::new(name, &dir.join("mount"), &dir.join("log"))?;
        Ok(Self { model: Arc::new(Mutex::new(model)) })
    }

    /// The same with other bricks, `replica` to a set (1 for a volume that only distributes).
    #[must_use]
    pub fn with_bricks(self, bricks: Vec<BrickName>, replica: usize) -> Self {
        self.lock().set_bricks(bricks, replica);
        self
    }

    /// Speaks as Gluster did at another time.
    #[must_use]
    pub fn with_vocabulary(self, vocabulary: Vocabulary) -> Self {
        self.lock().vocabulary = vocabulary;
        self
    }

    /// Behaves so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Calls `hook` when a start replicates: once for each start that gets so far, and never when nothing is sent.
    /// The hook must not use the session.
    pub fn on_replicate(&self, hook: Hook) {
        self.lock().hook = Some(hook);
    }

    /// The next `times` commands whose words, joined by spaces, contain `words` meet with `fault`.
    pub fn fail(&self, words: &str, times: usize, fault: Fault) {
        self.lock().faults.push((words.to_owned(), times, fault));
    }

    /// Sets an option of the session (its name as in [`stillpoint_georep::SessionConfig::get`]).
    pub fn set_config(&self, option: &str, value: &str) {
        self.lock().config.insert(option.to_owned(), value.to_owned());
    }

    /// Sets an option of the primary volume.
    pub fn set_volume_option(&self, option: &str, value: &str) {
        self.lock().options.insert(option.to_owned(), value.to_owned());
    }

    /// Has the bricks' clocks be so many seconds ahead of the one that commands and checkpoints go by.
    pub fn set_bricks_ahead(&self, seconds: i64) {
        self.lock().bricks_ahead = seconds;
    }

    /// Leaves so many of 1000000000 bytes free on each of the secondary's bricks.
    pub fn set_far_free(&self, bytes: u64) {
        self.lock().far_free = bytes;
    }

    /// Every command that was run, its words joined by spaces.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.lock().commands.clone()
    }

    /// Whether replication was started and not stopped again.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().is_running()
    }

    /// The session, with this as what it runs commands through and as its clock.
    #[must_use]
    pub fn session(&self) -> Session {
        let name = self.lock().name.clone();
        Session::new(Arc::new(self.clone()), name).with_clock(Arc::new(self.clone()))
    }

    /// Options for a run of it.
    #[must_use]
    pub fn options(&self, deadline: Duration) -> SyncOptions {
        let model = self.lock();
        let mut options = SyncOptions::new(&model.mount, deadline);
        options.logs.push(Arc::new(LocalLog::new(&model.log)));
        options
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimulatedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedSession({})", self.lock().name)
    }
}

impl Runner for SimulatedSession {
    fn run(&self, argv: &[&str], limit: &Limit<'_>) -> Result<Output, RunError> {
        let command = argv.join(" ");
        if limit.is_cancelled() {
            return Err(RunError::Cancelled { command });
        }
        let mut model = self.lock();
        model.commands.push(command.clone());
        model.pass(Duration::from_millis(200));
        match model.answer(argv) {
            Some(output) => Ok(output),
            None => {
                model.pass(limit.timeout);
                Err(RunError::TimedOut { command, timeout: limit.timeout })
            }
        }
    }
}

impl Clock for SimulatedSession {
    fn now(&self) -> Timestamp {
        self.lock().wall_clock()
    }

    fn elapsed(&self) -> Duration {
        self.lock().now
    }

    fn sleep(&self, time: Duration) {
        self.lock().pass(time);
    }
}
