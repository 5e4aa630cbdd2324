//! The way to the checkpoint, up to where replication has to be stopped again.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Stage};
use crate::journal::{Journal, Step};
use crate::log::{LogMark, LogScan, skew};
use crate::runner::RunError;
use crate::session::{Calls, Session, Side};
use crate::status::SessionStatus;
use crate::verdict::{Evidence, Problem};
use crate::volume::VolumeInfo;

use super::judge::Judgement;
use super::options::{SyncOptions, SyncProgress};
use super::reach::Reach;
use super::sent::SentSoFar;
use super::touch::touch;
use super::watch::{Watch, names};

/// How long the mount may take to have its times set.
const TOUCH_LIMIT: Duration = Duration::from_secs(30);

/// A checkpoint that was reached by Gluster's own rows.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) checkpoint: Timestamp,
    pub(super) evidence: Vec<Evidence>,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) options: &'a SyncOptions,
    pub(super) journal: &'a dyn Journal,
    pub(super) progress: &'a mut dyn FnMut(SyncProgress),
    pub(super) watch: Watch,
    /// Where each log ended when the run began, or was started again, or why that is not known.
    marks: Vec<Result<LogMark, String>>,
    /// When they were first looked at, by this machine's clock.
    marked: Timestamp,
    /// What was sent so far, for who looks on.
    sent: SentSoFar,
    /// What each log held before replication was stopped to be started again.
    earlier: Vec<Result<LogScan, String>>,
    pub(super) rsync_logged: bool,
    pub(super) restarts: u32,
    pub(super) durations: Vec<(String, Duration)>,
    calls: Calls<'a>,
    began: Duration,
    part_began: Duration,
    stage: Stage,
    started: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        session: &'a Session,
        options: &'a SyncOptions,
        journal: &'a dyn Journal,
        progress: &'a mut dyn FnMut(SyncProgress),
        cancel: &'a AtomicBool,
    ) -> Self {
        let began = session.clock().elapsed();
        Self {
            session,
            options,
            journal,
            progress,
            watch: Watch::default(),
            marks: Vec::new(),
            marked: session.clock().now(),
            sent: SentSoFar::default(),
            earlier: Vec::new(),
            rsync_logged: false,
            restarts: 0,
            durations: Vec::new(),
            calls: session.calls(Some(cancel)).until(began + options.deadline),
            began,
            part_began: began,
            stage: Stage::Stopping,
            started: false,
        }
    }

    /// Whether a start was asked for, so that replication has to be stopped again.
    pub(super) fn may_be_running(&self) -> bool {
        self.started
    }

    fn now(&self) -> Duration {
        self.session.clock().elapsed()
    }

    fn record(&self, step: Step) -> Result<(), Error> {
        Ok(self.journal.record(&step)?)
    }

    /// Closes a part of the run, for the report.
    pub(super) fn part(&mut self, name: &str) {
        let now = self.now();
        self.durations.push((name.to_owned(), now.saturating_sub(self.part_began)));
        self.part_began = now;
    }

    /// From any state to the checkpoint reached.
    pub(super) fn reach_checkpoint(&mut self) -> Result<Reached, Error> {
        self.walk().map_err(|error| match error {
            // The last call was cut off by the run's deadline, not by its own.
            Error::Run(RunError::TimedOut { .. }) if self.over() => self.deadline(&error.to_string()),
            Error::Run(RunError::Cancelled { .. }) => Error::Cancelled { stage: self.stage },
            other => other,
        })
    }

    fn walk(&mut self) -> Result<Reached, Error> {
        let name = self.session.name().clone();
        let calls = self.calls;
        calls.check(self.stage)?;
        let progress = &mut *self.progress;
        calls.ensure_stopped(self.journal, &mut |s| progress(SyncProgress::Stopping(s.clone())))?;
        let volume = calls.volume_info(Side::Primary)?;
        let rollover = self.options.rollover.unwrap_or_else(|| volume.rollover());
        self.marked = self.session.clock().now();
        self.mark();
        self.sent = SentSoFar::from(self.marks());
        let config = calls.config()?;
        self.rsync_logged = config.switch("log-rsync-performance") == Some(true);
        if !self.rsync_logged && self.options.log_rsync {
            let (option, value) = ("log-rsync-performance".to_owned(), "true".to_owned());
            self.record(Step::ConfigIntended {
                session: name.clone(),
                option: option.clone(),
                value: value.clone(),
            })?;
            calls.set_config(&option, &value)?;
            self.rsync_logged = true;
        }
        self.part("stop");

        self.stage = Stage::Checkpoint;
        self.record(Step::CheckpointIntended { session: name.clone() })?;
        let (checkpoint, set) = calls.set_checkpoint_after(config.checkpoint()?)?;
        self.record(Step::CheckpointSet { session: name.clone(), checkpoint })?;
        (self.progress)(SyncProgress::CheckpointSet(checkpoint));
        let mut evidence = vec![Evidence::StoppedBefore, Evidence::CheckpointReadBack { checkpoint }];
        self.part("checkpoint");

        calls.sleep(self.options.touch_delay.saturating_sub(self.since(set)), Stage::Touch)?;
        self.touch()?;
        evidence.push(Evidence::TouchedAfterCheckpoint { delay: self.now().saturating_sub(set) });
        self.roll(rollover)?;
        self.part("touch and roll");
        self.start(checkpoint)?;

        let reach = Reach::new(self.session, &config);
        let status = self.wait(&volume, checkpoint, rollover, reach)?;
        self.part("replicate");
        let at = self.session.clock().now();
        evidence.push(Evidence::Rows { at, rows: status.rows.clone() });
        evidence.extend(Judgement::of(&status, checkpoint).evidence);
        Ok(Reached { checkpoint, evidence })
    }

    fn touch(&mut self) -> Result<(), Error> {
        self.stage = Stage::Touch;
        self.record(Step::TouchIntended { session: self.session.name().clone() })?;
        let mount = &self.options.mount;
        touch(mount, TOUCH_LIMIT).map_err(|source| Error::Touch { mount: mount.clone(), source })
    }

    fn roll(&mut self, rollover: Duration) -> Result<(), Error> {
        self.stage = Stage::Rollover;
        let time = rollover + self.options.rollover_slack;
        (self.progress)(SyncProgress::WaitingForRollover(time));
        self.calls.sleep(time, self.stage)?;
        if self.over() { Err(self.deadline("replication was not started")) } else { Ok(()) }
    }

    fn start(&mut self, checkpoint: Timestamp) -> Result<(), Error> {
        self.stage = Stage::Starting;
        let session = self.session.name().clone();
        self.record(Step::StartIntended { session: session.clone(), checkpoint })?;
        self.started = true;
        self.calls.start()?;
        self.record(Step::Started { session })?;
        (self.progress)(SyncProgress::Started);
        self.stage = Stage::Waiting;
        self.calls.sleep(self.options.first_poll.min(self.left()), self.stage)
    }

    /// Waits until the rows prove the checkpoint.
    fn wait(
        &mut self,
        volume: &VolumeInfo,
        checkpoint: Timestamp,
        rollover: Duration,
        mut reach: Reach,
    ) -> Result<SessionStatus, Error> {
        let still_for = self.options.starved_after.max(rollover * 3);
        let mut touched = self.now();
        let mut answered = self.now();
        let (mut last, mut rows) = ("no row was read".to_owned(), "none was read".to_owned());
        if let Some(every) = self.options.probe_every {
            reach.not_before(self.now() + every);
        }
        loop {
            self.calls.check(self.stage)?;
            let asked = self.now();
            match self.calls.status_of(volume) {
                Ok(status) => {
                    answered = self.now();
                    self.watch.note(&status, checkpoint, answered);
                    let mut judgement = Judgement::of(&status, checkpoint);
                    let sent = self.sent.read(&self.options.logs);
                    let back = self.watch.not_back(&status);
                    judgement
                        .missing
                        .extend(back.iter().map(|b| format!("{b} was not running and is not back")));
                    if judgement.is_complete() {
                        let missing = Vec::new();
                        (self.progress)(SyncProgress::Polled { status: status.clone(), missing, sent });
                        return Ok(status);
                    }
                    rows = status.to_string();
                    last = format!("{}; rows: {rows}", judgement.missing.join("; "));
                    let missing = judgement.missing;
                    (self.progress)(SyncProgress::Polled { status, missing, sent });
                }
                // glusterd may be on its way back; workers go on without it.
                Err(error) if lasting(&error) || self.since(answered) > self.options.faulty_grace => {
                    return Err(error);
                }
                // Cut off by the deadline: what was seen before says more.
                Err(Error::Run(RunError::TimedOut { .. })) if self.over() => {}
                Err(error) => {
                    tracing::debug!(%error, "status");
                    last = error.to_string();
                }
            }
            let pause = self.options.poll.max(self.since(asked));
            if let Some(every) = self.options.probe_every {
                let probed = self.probe(&mut reach, every, &last)?;
                let lost = reach.lost(self.now()).map(|(since, why)| (since, why.to_owned()));
                if let Some((since, why)) = lost {
                    if probed {
                        (self.progress)(SyncProgress::Unreachable { since, reason: why.clone() });
                    }
                    if since > self.options.unreachable_grace || self.over() {
                        return Err(unreachable(&reach, since, why, rows));
                    }
                }
            }
            if self.over() {
                return Err(self.deadline(&last));
            }
            if reach.lost(self.now()).is_none() {
                if let Some((bricks, since)) = self.watch.unfit(self.now(), self.options.faulty_grace) {
                    let reason = format!("{last}{}", self.log_hint());
                    return Err(Error::Faulty { bricks: names(&bricks), since, reason });
                }
                if let Some((bricks, _)) = self.watch.still(self.now(), still_for) {
                    self.restart(&names(&bricks), checkpoint, rollover)?;
                    touched = self.now();
                    continue;
                }
            }
            if self.since(touched) >= self.options.touch_every {
                self.touch()?;
                self.stage = Stage::Waiting;
                touched = self.now();
            }
            self.calls.sleep(pause.min(self.left()), self.stage)?;
        }
    }

    /// Probes the far side when it is due, and once more when the time is over. Tells whether it did.
    fn probe(&mut self, reach: &mut Reach, every: Duration, last: &str) -> Result<bool, Error> {
        let over = self.over();
        let unlimited = self.session.calls(None);
        let limit = if over { unlimited.limit() } else { self.calls.limit() };
        if over {
            reach.now();
        }
        reach.probe(self.session, every, &limit).map_err(|error| match error {
            Error::Run(RunError::Cancelled { .. }) => error,
            _ if over => self.deadline(last),
            other => other,
        })
    }

    /// Stops and starts replication, so that workers that stand still read what they missed from the history.
    fn restart(&mut self, bricks: &str, checkpoint: Timestamp, rollover: Duration) -> Result<(), Error> {
        if self.restarts >= self.options.max_restarts {
            let hint = self.log_hint();
            return Err(Error::Starved { bricks: bricks.to_owned(), restarts: self.restarts, hint });
        }
        self.restarts += 1;
        let (attempt, session) = (self.restarts, self.session.name().clone());
        self.record(Step::RestartIntended { session, attempt, reason: bricks.to_owned() })?;
        (self.progress)(SyncProgress::Restarting { attempt, reason: bricks.to_owned() });
        self.stage = Stage::Stopping;
        // Sync jobs that the stop cuts off complain in the log: that stretch is left out.
        self.earlier = self.scans();
        let progress = &mut *self.progress;
        self.calls.ensure_stopped(self.journal, &mut |s| progress(SyncProgress::Stopping(s.clone())))?;
        self.mark();
        let marks: Vec<_> = self.marks().collect();
        self.sent.go_on_from(marks.into_iter());
        self.touch()?;
        self.roll(rollover)?;
        self.watch.restarted();
        self.start(checkpoint)
    }

    fn since(&self, then: Duration) -> Duration {
        self.now().saturating_sub(then)
    }

    fn left(&self) -> Duration {
        (self.began + self.options.deadline).saturating_sub(self.now())
    }

    fn over(&self) -> bool {
        self.left().is_zero()
    }

    fn deadline(&self, state: &str) -> Error {
        let state = format!("{state}{}", self.log_hint());
        Error::Deadline { stage: self.stage, waited: self.since(self.began), state }
    }

    /// How many seconds the clock of a log's node is ahead of this one, where it certainly is not this one's.
    pub(super) fn clock_apart(&self, scan: &LogScan) -> Option<i64> {
        skew(scan, self.marked, self.session.clock().now()).map(|apart| apart.as_secs())
    }

    /// What the logs tell since the run began, as an addition to a message: clocks that are apart, and the last error.
    fn log_hint(&self) -> String {
        let (mut hint, mut last) = (String::new(), None);
        for (log, scan) in self.options.logs.iter().zip(self.scans()) {
            let Ok(scan) = scan else { continue };
            if let Some(seconds) = self.clock_apart(&scan) {
                hint += &format!("; {}", Problem::ClockApart { log: log.name(), seconds });
            }
            last = scan.last_error.or(last);
        }
        if let Some(line) = last {
            hint += &format!("; last error in gsyncd.log: {line}");
        }
        hint
    }

    fn mark(&mut self) {
        self.marks = self.options.logs.iter().map(|l| l.mark().map_err(|e| e.to_string())).collect();
    }

    fn marks(&self) -> impl Iterator<Item = Option<LogMark>> {
        self.marks.iter().map(|mark| mark.as_ref().ok().cloned())
    }

    /// What every log has held since the run began.
    pub(super) fn scans(&self) -> Vec<Result<LogScan, String>> {
        let logs = self.options.logs.iter().zip(&self.marks).enumerate();
        logs.map(|(index, (log, mark))| {
            let mark = mark.as_ref().map_err(Clone::clone)?;
            let source = log.since(mark).map_err(|e| e.to_string())?;
            let scan = LogScan::read(&log.name(), source).map_err(|e| e.to_string())?;
            match self.earlier.get(index) {
                Some(earlier) => Ok(earlier.clone()?.then(scan)),
                None => Ok(scan),
            }
        })
        .collect()
    }
}

/// Whether an error while asking for rows will not go away by asking again.
fn lasting(error: &Error) -> bool {
    use crate::cli::CliErrorKind as Kind;
    match error {
        Error::Cli(refused) => matches!(refused.kind, Kind::Absent | Kind::Misconfigured),
        Error::Run(RunError::TimedOut { .. }) | Error::Answer(_) => false,
        _ => true,
    }
}

fn unreachable(reach: &Reach, since: Duration, reason: String, rows: String) -> Error {
    Error::FarSideUnreachable { host: reach.host().to_owned(), since, reason, rows }
}
