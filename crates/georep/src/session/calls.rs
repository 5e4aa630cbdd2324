//! The `gluster` commands of a session.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::{CliError, CliErrorKind, plain_complaint};
use crate::error::{Error, Stage};
use crate::journal::{Journal, Step};
use crate::runner::{Limit, Output, Runner};
use crate::status::SessionStatus;
use crate::volume::{BrickSpace, HealInfo, VolumeInfo, VolumeKind, VolumeState};
use crate::xml;

use super::{Session, SessionConfig, Side};

/// A session's commands, with what cancels them and when they have to be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls<'a> {
    session: &'a Session,
    cancel: Option<&'a AtomicBool>,
    /// On the scale of [`Clock::elapsed`](crate::Clock::elapsed).
    until: Option<Duration>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(session: &'a Session, cancel: Option<&'a AtomicBool>) -> Self {
        Self { session, cancel, until: None }
    }

    /// The same, over at `until` on the scale of [`Clock::elapsed`](crate::Clock::elapsed).
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

    pub(crate) fn volume_state(&self, side: Side) -> Result<VolumeState, Error> {
        let volume = self.volume(side);
        self.gluster(side, &["volume", "status", volume, "--xml"], |command, answer| {
            xml::read(command, answer, |root| xml::volume_state(root, volume))
        })
    }

    pub(crate) fn brick_space(&self, side: Side) -> Result<Vec<BrickSpace>, Error> {
        let volume = self.volume(side);
        self.gluster(side, &["volume", "status", volume, "detail", "--xml"], |command, answer| {
            xml::read(command, answer, |root| xml::brick_space(root, volume))
        })
    }

    pub(crate) fn set_primary_option(&self, option: &str, value: &str) -> Result<(), Error> {
        let volume = self.volume(Side::Primary);
        self.gluster(Side::Primary, &["volume", "set", volume, option, value, "--xml"], |command, answer| {
            xml::read(command, answer, |_| Ok(()))
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

    /// What waits to be healed at the secondary, asked where its glusterd is: `heal info` asks the local one, whatever
    /// `--remote-host` says.
    pub(crate) fn heal_info_there(&self, far: &dyn Runner) -> Result<HealInfo, Error> {
        if self.volume_info(Side::Secondary)?.kind == VolumeKind::Distribute {
            return Ok(HealInfo { bricks: Vec::new() });
        }
        let volume = self.volume(Side::Secondary);
        let argv = ["gluster", "--mode=script", "volume", "heal", volume, "info", "summary", "--xml"];
        let answer = far.run(&argv, &self.limit())?;
        xml::read(&argv.join(" "), &answer, xml::heal_info)
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
        self.config()?.checkpoint()
    }

    pub(crate) fn set_checkpoint(&self) -> Result<Timestamp, Error> {
        self.set_checkpoint_after(self.checkpoint()?).map(|(checkpoint, _)| checkpoint)
    }

    /// Sets a checkpoint where the one that was set before is known. Gives it with the time at which it was there, on
    /// the scale of [`Clock::elapsed`](crate::Clock::elapsed).
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
            // Asked for all the same: after a start rows go on saying so for seconds, and a start that a process asked
            // for before it died may still be under way. A stop waits for its end. Where nothing runs it does nothing.
            let refused = self.stop(false).err();
            status = self.status_of(&volume)?;
            if refused.is_none() && status.all_stopped() {
                return Ok(status);
            }
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
