//! The session's state and how it changes with time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use stillpoint_georep::{BrickName, Output, SessionName};

use super::behaviour::{Behaviour, Fault, Vocabulary};
use super::{Hook, answers, log};

/// How long after a start workers become Active and register (11.1, on an idle machine).
const ACTIVE_AFTER: Duration = Duration::from_secs(4);
/// How long after a start rows go on saying what they said before: the monitor writes them when it gets to it.
const ROWS_LAG: Duration = Duration::from_secs(2);
/// How long after that, or after a changelog is rolled, it has been processed.
const PROCESSED_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Model {
    pub(super) name: SessionName,
    pub(super) mount: PathBuf,
    pub(super) log: PathBuf,
    pub(super) vocabulary: Vocabulary,
    pub(super) behaviour: Behaviour,
    pub(super) hook: Option<Hook>,
    pub(super) faults: Vec<(String, usize, Fault)>,
    pub(super) commands: Vec<String>,
    pub(super) config: BTreeMap<String, String>,
    pub(super) options: BTreeMap<String, String>,
    pub(super) bricks: Vec<BrickName>,
    pub(super) replica: usize,
    /// By how many seconds the bricks' clocks are ahead.
    pub(super) bricks_ahead: i64,
    /// What is free of each of the secondary's bricks, of 1000000000 bytes.
    pub(super) far_free: u64,
    /// Time since the session was made.
    pub(super) now: Duration,
    epoch: Timestamp,
    pub(super) state: State,
    /// When the root was touched, as far as it was noticed.
    touches: Vec<Duration>,
    touched: Option<SystemTime>,
    pub(super) workers: Vec<WorkerModel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Created,
    Stopped,
    /// Since when.
    Started(Duration),
}

/// What is kept of a worker.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerModel {
    /// In seconds since the Unix epoch; 0 for never.
    pub(super) last_synced: i64,
    pub(super) failures: u64,
    /// Whether this start has been through its history.
    done: bool,
    /// Whether this start stands still.
    still: bool,
}

impl Model {
    pub(super) fn new(name: SessionName, mount: &Path, logs: &Path) -> io::Result<Self> {
        let log = logs.join("geo-replication").join(name.directory()).join("gsyncd.log");
        std::fs::create_dir_all(mount)?;
        std::fs::create_dir_all(log.parent().unwrap_or(logs))?;
        let set =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut model = Self {
            name,
            mount: mount.to_owned(),
            log,
            vocabulary: Vocabulary::Since10,
            behaviour: Behaviour::Healthy,
            hook: None,
            faults: Vec::new(),
            commands: Vec::new(),
            config: set(&[
                ("checkpoint", "0"),
                ("log-rsync-performance", "false"),
                ("rsync-options", "--modify-window=-1 --whole-file"),
                ("secondary-access-mount", "true"),
                ("ssh-port", "22"),
                ("sync-method", "rsync"),
                ("sync-xattrs", "true"),
                ("use-meta-volume", "true"),
            ]),
            options: set(&[
                ("changelog.changelog", "on"),
                ("features.shard", "on"),
                ("features.shard-block-size", "4MB"),
                ("performance.write-behind", "off"),
            ]),
            bricks: Vec::new(),
            replica: 1,
            bricks_ahead: 0,
            far_free: 900_000_000,
            now: Duration::ZERO,
            epoch: Timestamp::now(),
            state: State::Created,
            touches: Vec::new(),
            touched: None,
            workers: Vec::new(),
        };
        model.touched = model.mount_time();
        let brick = |i| BrickName { host: "siteA".to_owned(), path: format!("/bricks/b{i}") };
        model.set_bricks((0..4).map(brick).collect(), 2);
        Ok(model)
    }

    pub(super) fn set_bricks(&mut self, bricks: Vec<BrickName>, replica: usize) {
        self.workers = vec![WorkerModel::default(); bricks.len()];
        self.bricks = bricks;
        self.replica = replica.max(1);
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Started(_))
    }

    pub(super) fn wall_clock(&self) -> Timestamp {
        self.at(self.now)
    }

    fn at(&self, time: Duration) -> Timestamp {
        self.epoch
            .saturating_add(SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX))
            .unwrap_or(self.epoch)
    }

    fn mount_time(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.mount).and_then(|m| m.modified()).ok()
    }

    fn rollover(&self) -> Duration {
        let option = self.options.get("changelog.rollover-time").and_then(|t| t.parse().ok());
        Duration::from_secs(option.unwrap_or(15))
    }

    /// Lets `time` pass, after a look at whether the mount was touched.
    pub(super) fn pass(&mut self, time: Duration) {
        let seen = self.mount_time();
        if seen != self.touched {
            self.touched = seen;
            self.touches.push(self.now);
        }
        self.now += time;
        if let State::Started(since) = self.state {
            self.replicate(since);
        }
    }

    /// What workers have done by now, since they were started at `since`.
    fn replicate(&mut self, since: Duration) {
        let registered = since + ACTIVE_AFTER;
        if self.now < registered + PROCESSED_AFTER
            || matches!(self.behaviour, Behaviour::ZeroActive | Behaviour::LinkCut)
        {
            return;
        }
        let first = !self.workers.iter().any(|w| w.done);
        for index in 0..self.workers.len() {
            if !self.is_active(index) || self.workers.get(index).is_none_or(|w| w.still) {
                continue;
            }
            // History covers what was recorded before the worker registered, once it is rolled; what comes later it is
            // told of.
            let roll = self.rollover();
            let rolled =
                self.touches.iter().map(|t| *t + roll).filter(|r| *r + PROCESSED_AFTER <= self.now).max();
            // A first start walks the volume and is then where it registered.
            let never = self.workers.get(index).is_some_and(|w| w.last_synced == 0);
            let reached = rolled.max(never.then_some(registered));
            let synced = reached.map_or(0, |r| self.at(r).as_second() - 1 + self.bricks_ahead);
            let done = self.workers.get_mut(index).map(|w| {
                w.last_synced = w.last_synced.max(synced);
                std::mem::replace(&mut w.done, true)
            });
            if done == Some(false) {
                self.report(index);
            }
        }
        let sends = !matches!(self.behaviour, Behaviour::SilentNoOp | Behaviour::MovingOn);
        if first
            && sends
            && let Some(mut hook) = self.hook.take()
        {
            hook();
            self.hook = Some(hook);
        }
    }

    /// What a worker writes to the log when it has been through its history.
    fn report(&mut self, index: usize) {
        let brick = self.bricks.get(index).map_or_else(String::new, |b| b.path.clone());
        let counts = match self.behaviour {
            Behaviour::SilentNoOp => log::performance(6, 0, 12),
            _ => log::performance(6, 6, 152),
        };
        if self.config.get("log-rsync-performance").is_some_and(|v| v == "true") {
            self.write('I', &format!("resource(worker {brick}):1530:rsync"), &counts);
        }
        let job = "Syncer: Sync Time Taken [{job=1}, {num_files=6}, {return_code=0}, {duration=0.1743}]";
        self.write('I', &format!("primary(worker {brick}):2009:syncjob"), job);
        match self.behaviour.clone() {
            Behaviour::MovingOn => {
                let text = "_GPrimary: changelogs could not be processed completely - moving on... \
                            [{files=['CHANGELOG.1795420469']}]";
                self.write('E', &format!("primary(worker {brick}):1388:process"), text);
            }
            Behaviour::EntryFailed { gfid } if index == 0 => {
                let text = format!(
                    "_GPrimary: ENTRY FAILED [{{data=({{'uid': 0, 'gfid': '{gfid}', 'gid': 0, 'mode': 33188, 'entry': \
                     '.gfid/00000000-0000-0000-0000-000000000001/f', 'op': 'CREATE'}}, 17, {{}})}}]"
                );
                self.write('E', &format!("primary(worker {brick}):788:log_failures"), &text);
            }
            Behaviour::FailuresRise if index == 0 => {
                if let Some(worker) = self.workers.first_mut() {
                    worker.failures += 1;
                }
            }
            _ => {}
        }
    }

    fn write(&self, level: char, source: &str, text: &str) {
        let ahead = SignedDuration::from_secs(self.bricks_ahead);
        let at = self.wall_clock().saturating_add(ahead).unwrap_or(self.epoch);
        log::line(&self.log, at, level, source, text);
    }

    /// Whether a brick's worker is the one of its set that replicates.
    pub(super) fn is_active(&self, index: usize) -> bool {
        match self.behaviour {
            Behaviour::ZeroActive => false,
            Behaviour::PassiveSet { set } => index / self.replica != set,
            Behaviour::Faulty { brick } | Behaviour::Offline { brick } => index != brick,
            _ => true,
        }
    }

    pub(super) fn worker_status(&self, index: usize) -> &'static str {
        match self.state {
            State::Created => "Created",
            State::Stopped => "Stopped",
            State::Started(since) if self.now < since + ROWS_LAG => "Stopped",
            State::Started(since) if self.now < since + ACTIVE_AFTER => "Initializing...",
            State::Started(_) => match self.behaviour {
                // Ten seconds dead, ten seconds trying.
                Behaviour::Faulty { brick }
                    if brick == index && (self.now.as_secs() / 10).is_multiple_of(2) =>
                {
                    "Faulty"
                }
                Behaviour::Faulty { brick } if brick == index => "Initializing...",
                _ if self.is_active(index) => "Active",
                _ => "Passive",
            },
        }
    }

    pub(super) fn start(&mut self) {
        self.state = State::Started(self.now);
        for worker in &mut self.workers {
            (worker.done, worker.still) = (false, false);
        }
        if let Behaviour::Starved { brick, starts } = &mut self.behaviour {
            if let Some(worker) = self.workers.get_mut(*brick) {
                worker.still = *starts > 0;
            }
            *starts = starts.saturating_sub(1);
        }
        self.write('I', "monitor(monitor):158:monitor", "Monitor: starting gsyncd worker");
    }

    pub(super) fn stop(&mut self) {
        if self.behaviour == Behaviour::WontStop || self.state == State::Created {
            return;
        }
        if self.is_running() {
            // As on every normal stop.
            self.write(
                'E',
                "syncdutils(worker):325:log_raise_exception",
                "<top>: connection to peer is broken",
            );
        }
        self.state = State::Stopped;
    }

    /// Takes the fault that `command` is to meet with, if one is.
    fn fault(&mut self, command: &str) -> Option<Fault> {
        let (_, left, fault) =
            self.faults.iter_mut().find(|(words, left, _)| *left > 0 && command.contains(words))?;
        *left -= 1;
        Some(fault.clone())
    }

    /// What is answered to a command; `None` when it never comes back.
    pub(super) fn answer(&mut self, argv: &[&str]) -> Option<Output> {
        let text =
            |text: String| Some(Output { code: Some(0), stdout: text.into_bytes(), ..Output::default() });
        match self.fault(&argv.join(" ")) {
            None => text(answers::answer(self, argv)),
            Some(Fault::Refuse(why)) => text(answers::refusal(&why)),
            Some(Fault::Text(said)) => text(said),
            Some(Fault::Hang) => None,
            Some(Fault::Cut(length)) => {
                let mut whole = answers::answer(self, argv).into_bytes();
                whole.truncate(length);
                Some(Output { code: Some(0), stdout: whole, ..Output::default() })
            }
        }
    }
}
