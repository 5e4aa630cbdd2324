//! A session, asked and told through the `gluster` command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::{AnswerError, AnswerProblem, CliError, CliErrorKind, clip, plain_complaint};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Stage};
use crate::journal::{Journal, Step};
use crate::name::SessionName;
use crate::runner::{Limit, Output, Runner};
use crate::status::SessionStatus;
use crate::volume::{BrickState, HealInfo, VolumeInfo, VolumeKind};
use crate::xml;

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
    /// [`Error::Cli`] with [`CliErrorKind::Absent`] if there is no such session; others as they come.
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

    /// Stops replication unless it is, and waits until *every* brick's row says `Stopped` (or `Created`). After half
    /// of [`Patience::stop`], `stop force` is tried.
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
    /// [`Error::Cli`] with [`CliErrorKind::Absent`] if there is no such volume; others as they come.
    pub fn volume_info(&self, side: Side) -> Result<VolumeInfo, Error> {
        self.calls(None).volume_info(side)
    }

    /// Which bricks of a side's volume run.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn brick_states(&self, side: Side) -> Result<Vec<BrickState>, Error> {
        self.calls(None).brick_states(side)
    }

    /// What waits to be healed on a side's volume. A volume that is neither replicated nor dispersed has nothing.
    ///
    /// # Errors
    /// If Gluster refuses or can't be understood.
    pub fn heal_info(&self, side: Side) -> Result<HealInfo, Error> {
        self.calls(None).heal_info(side)
    }

    pub(crate) fn runner(&self) -> &dyn Runner {
        &*self.runner
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(crate) fn calls<'a>(&'a self, cancel: Option<&'a AtomicBool>) -> Calls<'a> {
        Calls { session: self, cancel, until: None }
    }
}

/// A session's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    options: BTreeMap<String, String>,
}

impl SessionConfig {
    pub(crate) fn new(options: BTreeMap<String, String>) -> Self {
        Self { options }
    }

    /// The option called `name`, in the vocabulary since Gluster 10 (`secondary-access-mount`); an older Gluster's
    /// name for it (`slave-access-mount`) is found too.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).or_else(|| self.options.get(&older(name))).map(String::as_str)
    }

    /// Such an option, if it is a switch.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(crate::volume::parse_switch)
    }

    /// The checkpoint, if one is set.
    ///
    /// # Errors
    /// [`Error::Answer`] if it is not a number of seconds.
    pub fn checkpoint(&self) -> Result<Option<Timestamp>, Error> {
        let Some(text) = self.get("checkpoint").filter(|t| !t.is_empty() && *t != "0") else {
            return Ok(None);
        };
        let parsed = text.parse::<i64>().ok().and_then(|s| Timestamp::from_second(s).ok());
        parsed.map(Some).ok_or_else(|| {
            let problem = AnswerProblem::Value { element: "checkpoint", text: clip(text, 100) };
            AnswerError { command: "gluster … config --xml".to_owned(), problem, excerpt: String::new() }
                .into()
        })
    }

    /// What this Gluster calls the option: `name`, or its name before Gluster 10 if that is what the session has.
    #[must_use]
    pub fn spelling(&self, name: &str) -> String {
        let old = older(name);
        if !self.options.contains_key(name) && self.options.contains_key(&old) {
            old
        } else {
            name.to_owned()
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

fn older(name: &str) -> String {
    name.replace("secondary", "slave").replace("primary", "master")
}

/// A session's commands, with what cancels them and when they have to be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls<'a> {
    session: &'a Session,
    cancel: Option<&'a AtomicBool>,
    /// On the scale of [`Clock::elapsed`].
    until: Option<Duration>,
}

impl Calls<'_> {
    /// The same, over at `until` on the scale of [`Clock::elapsed`].
    pub(crate) fn until(self, until: Duration) -> Self {
        Self { until: Some(until), ..self }
    }

    pub(crate) fn limit(&self) -> Limit<'_> {
        let left = self.until.map(|until| until.saturating_sub(self.session.clock().elapsed()));
        let call = self.session.patience.call;
        Limit { timeout: left.map_or(call, |left| left.min(call)), cancel: self.cancel }
    }

    fn gluster<T>(
        &self,
        side: Side,
        words: &[&str],
        read: impl Fn(&str, &Output) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let remote = format!("--remote-host={}", self.session.name.secondary_host().trim_matches(['[', ']']));
        let mut argv = vec!["gluster", "--mode=script"];
        if side == Side::Secondary {
            argv.push(&remote);
        }
        argv.extend_from_slice(words);
        let command = argv.join(" ");
        let clock = self.session.clock();
        let began = clock.elapsed();
        let mut pause = Duration::from_millis(500);
        loop {
            let answer = self.session.runner.run(&argv, &self.limit())?;
            match read(&command, &answer) {
                Err(Error::Cli(refused))
                    if refused.is_retryable()
                        && clock.elapsed().saturating_sub(began) < self.session.patience.busy
                        && !self.limit().timeout.is_zero() =>
                {
                    tracing::debug!(%refused, "again");
                    self.sleep(pause, Stage::Waiting)?;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                // It is the far side's glusterd that was asked.
                Err(Error::Cli(refused))
                    if side == Side::Secondary && refused.kind == CliErrorKind::GlusterdDown =>
                {
                    return Err(CliError { kind: CliErrorKind::Unreachable, ..refused }.into());
                }
                other => return other,
            }
        }
    }

    /// Waits, in slices short enough that cancelling is honoured within a second.
    pub(crate) fn sleep(&self, time: Duration, stage: Stage) -> Result<(), Error> {
        let clock = self.session.clock();
        let until = clock.elapsed() + time;
        loop {
            self.check(stage)?;
            let left = until.saturating_sub(clock.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            clock.sleep(left.min(Duration::from_millis(200)));
        }
    }

    pub(crate) fn check(&self, stage: Stage) -> Result<(), Error> {
        if self.limit().is_cancelled() { Err(Error::Cancelled { stage }) } else { Ok(()) }
    }

    fn georep<T>(
        &self,
        words: &[&str],
        read: impl Fn(&str, &Output) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let name = &self.session.name;
        let secondary = name.secondary();
        let mut argv = vec!["volume", "geo-replication", name.primary_volume(), &secondary];
        argv.extend_from_slice(words);
        self.gluster(Side::Primary, &argv, read)
    }

    pub(crate) fn volume_info(&self, side: Side) -> Result<VolumeInfo, Error> {
        let volume = self.volume(side);
        self.gluster(side, &["volume", "info", volume, "--xml"], |command, answer| {
            xml::read(command, answer, |root| xml::volume_info(root, volume))?.ok_or_else(|| {
                let message = format!("Volume {volume} does not exist");
                CliError { command: command.to_owned(), kind: CliErrorKind::Absent, message }.into()
            })
        })
    }

    fn volume(&self, side: Side) -> &str {
        match side {
            Side::Primary => self.session.name.primary_volume(),
            Side::Secondary => self.session.name.secondary_volume(),
        }
    }

    pub(crate) fn brick_states(&self, side: Side) -> Result<Vec<BrickState>, Error> {
        let volume = self.volume(side);
        self.gluster(side, &["volume", "status", volume, "--xml"], |command, answer| {
            xml::read(command, answer, |root| xml::brick_states(root, volume))
        })
    }

    pub(crate) fn heal_info(&self, side: Side) -> Result<HealInfo, Error> {
        if self.volume_info(side)?.kind == VolumeKind::Distribute {
            return Ok(HealInfo { bricks: Vec::new() });
        }
        let volume = self.volume(side);
        self.gluster(side, &["volume", "heal", volume, "info", "summary", "--xml"], |command, answer| {
            xml::read(command, answer, xml::heal_info)
        })
    }

    pub(crate) fn status(&self) -> Result<SessionStatus, Error> {
        let volume = self.volume_info(Side::Primary)?;
        self.status_of(&volume)
    }

    /// The rows, joined to a volume that was asked for before.
    pub(crate) fn status_of(&self, volume: &VolumeInfo) -> Result<SessionStatus, Error> {
        let name = &self.session.name;
        let workers = self.georep(&["status", "detail", "--xml"], |command, answer| {
            xml::read(command, answer, |root| xml::workers(root, name))
        });
        let workers = match workers {
            // With no session the document is cut or empty, or comes as 'geo-replication command failed': without --xml
            // it is said in words.
            Err(error @ Error::Answer(_)) => return Err(self.no_session(error)),
            Err(Error::Cli(refused)) if refused.kind == CliErrorKind::Other => {
                return Err(self.no_session(refused.into()));
            }
            other => other?,
        };
        Ok(SessionStatus::join(volume, workers))
    }

    fn no_session(&self, seen: Error) -> Error {
        let said = self.georep(&["status"], |command, answer| {
            let message = plain_complaint(answer).unwrap_or_default();
            let kind = CliErrorKind::classify(&message);
            Ok(CliError { command: command.to_owned(), kind, message })
        });
        match said {
            Ok(refused) if refused.kind == CliErrorKind::Absent => refused.into(),
            Ok(_) => seen,
            Err(error) => error,
        }
    }

    pub(crate) fn config(&self) -> Result<SessionConfig, Error> {
        self.georep(&["config", "--xml"], |command, answer| {
            xml::read(command, answer, xml::config).map(SessionConfig::new)
        })
    }

    pub(crate) fn set_config(&self, option: &str, value: &str) -> Result<(), Error> {
        // The command line takes a value that begins with '-' for an option of its own, even when quoted.
        let shielded = format!(" {value}");
        let value = if value.starts_with('-') { &shielded } else { value };
        self.georep(&["config", option, value, "--xml"], done)
    }

    pub(crate) fn checkpoint(&self) -> Result<Option<Timestamp>, Error> {
        let config = self.config()?;
        let Some(text) = config.get("checkpoint").filter(|t| !t.is_empty() && *t != "0") else {
            return Ok(None);
        };
        let parsed = text.parse::<i64>().ok().and_then(|s| Timestamp::from_second(s).ok());
        parsed.map(Some).ok_or_else(|| {
            let problem = AnswerProblem::Value { element: "checkpoint", text: crate::cli::clip(text, 100) };
            AnswerError { command: "gluster … config".to_owned(), problem, excerpt: String::new() }.into()
        })
    }

    pub(crate) fn set_checkpoint(&self) -> Result<Timestamp, Error> {
        self.set_checkpoint_after(self.checkpoint()?).map(|(checkpoint, _)| checkpoint)
    }

    /// Sets a checkpoint where the one that was set before is known. Gives it with the time at which it was there, on
    /// the scale of [`Clock::elapsed`].
    pub(crate) fn set_checkpoint_after(
        &self,
        before: Option<Timestamp>,
    ) -> Result<(Timestamp, Duration), Error> {
        let clock = self.session.clock();
        let asked = clock.now();
        let mut again = true;
        loop {
            self.set_config("checkpoint", "now")?;
            let set = clock.elapsed();
            match self.checkpoint()? {
                // The old one, read back, may be complete already: it has to be a new one.
                Some(checkpoint) if Some(checkpoint) != before => return Ok((checkpoint, set)),
                Some(_) if again => {
                    // The second in which the last one was set may not be over.
                    again = false;
                    self.sleep(Duration::from_secs(1), Stage::Checkpoint)?;
                }
                other => {
                    let read_back = other.map_or_else(|| "none".to_owned(), |t| t.to_string());
                    return Err(Error::Checkpoint { asked, read_back });
                }
            }
        }
    }

    pub(crate) fn start(&self) -> Result<(), Error> {
        tolerate(self.georep(&["start", "--xml"], done), CliErrorKind::AlreadyStarted)
    }

    pub(crate) fn stop(&self, force: bool) -> Result<(), Error> {
        let words: &[&str] = if force { &["stop", "force", "--xml"] } else { &["stop", "--xml"] };
        tolerate(self.georep(words, done), CliErrorKind::NotRunning)
    }

    pub(crate) fn ensure_stopped(
        &self,
        journal: &dyn Journal,
        seen: &mut dyn FnMut(&SessionStatus),
    ) -> Result<SessionStatus, Error> {
        let session = self.session.name.clone();
        let volume = self.volume_info(Side::Primary)?;
        let mut status = self.status_of(&volume)?;
        if status.all_stopped() {
            return Ok(status);
        }
        let (clock, patience) = (self.session.clock(), self.session.patience);
        let began = clock.elapsed();
        journal.record(&Step::StopIntended { session: session.clone(), force: false })?;
        let mut refused = self.stop(false).err();
        let mut forced = false;
        loop {
            seen(&status);
            let waited = clock.elapsed().saturating_sub(began);
            if !forced && (refused.is_some() || waited >= patience.stop / 2) {
                forced = true;
                journal.record(&Step::StopIntended { session: session.clone(), force: true })?;
                refused = self.stop(true).err();
            }
            status = self.status_of(&volume)?;
            if status.all_stopped() {
                journal.record(&Step::Stopped { session })?;
                return Ok(status);
            }
            if waited >= patience.stop {
                return Err(match refused {
                    Some(error) => error,
                    None => {
                        Error::NotStopped { session: session.to_string(), waited, rows: status.to_string() }
                    }
                });
            }
            self.sleep(patience.poll, Stage::Stopping)?;
        }
    }
}

/// Reads the answer of a command that does something: its report has to be there.
fn done(command: &str, answer: &Output) -> Result<(), Error> {
    xml::read(command, answer, xml::report).map(|said| tracing::debug!(%said, command, "done"))
}

fn tolerate(result: Result<(), Error>, kind: CliErrorKind) -> Result<(), Error> {
    match result {
        Err(Error::Cli(refused)) if refused.kind == kind => Ok(()),
        other => other,
    }
}
