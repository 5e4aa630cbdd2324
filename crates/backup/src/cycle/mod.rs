//! The cycle: one run from the lock to the report.

mod config;
mod judge;
mod preflight;
mod replicate;
mod still;
mod undo;

pub use config::{DiskChoice, Event, Parts, RunConfig, Site, SiteName};

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::cancel::{Cancel, Limits};
use crate::error::Result;
use crate::journal::{AfterRun, Ended, Entry, Journal, RunBegan, RunStep};
use crate::report::{Failure, Outcome, RunReport, SCHEMA_VERSION, Stage, StageDuration};
use crate::state::{self, StateDir};
use crate::{Error, recover};

/// Makes one run.
///
/// Takes the session's lock, finishes what an earlier run of the session left, and goes through the stages: preflight,
/// replication stopped, one still point of every domain, replication driven to a checkpoint and
/// stopped, both sites digested and compared, overlays committed. Whatever fails after the first snapshot, replication
/// is stopped and the overlays are committed before this returns; only where one of these fails is something
/// left for [`recover`](crate::recover::recover), which the report's outcome says.
///
/// # Errors
/// Only where the run could not begin: nothing was touched. Everything later is in the report, which is also
/// written to the run's directory.
pub fn run(
    config: &RunConfig,
    parts: &Parts<'_>,
    cancel: &Cancel,
    observer: &(dyn Fn(Event<'_>) + Sync),
) -> Result<RunReport> {
    let began = Timestamp::now();
    let limits = Limits::new(cancel, config.deadline);
    let session = parts.session.name();
    let state = StateDir::open(&config.state_dir)?;
    let mut lock = state.lock(&session.to_string())?;
    lock.tell(None)?;

    let earlier = Instant::now();
    let recovered = recover::earlier_runs(&state, parts, config, observer)?;
    let recovery = StageDuration { stage: Stage::Recovery, took: earlier.elapsed() };

    let (domains, left_out) = domains(config, parts.hypervisor)?;
    let (run, dir) = state.new_run()?;
    lock.tell(Some(&run))?;
    let journal = Journal::create(&dir, &run)?.observed(|record| observer(Event::Recorded(record)));
    journal.write(&Entry::Run(RunStep::Began(RunBegan {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        session: session.clone(),
        connect: parts.hypervisor.uri().to_owned(),
        backend: parts.hypervisor.backend(),
        domains: domains.clone(),
        mount: config.mount.clone(),
        after_run: config.after_run,
    })))?;

    let durations = if recovered.is_empty() { Vec::new() } else { vec![recovery] };
    let report = RunReport {
        schema_version: SCHEMA_VERSION,
        run,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        session: session.clone(),
        began,
        ended: began,
        outcome: Outcome::Failed,
        failures: Vec::new(),
        warnings: left_out,
        recovered,
        domains: Vec::new(),
        verdict: None,
        proof: None,
        commits: Vec::new(),
        replication_found_running: None,
        replication_left_running: None,
        durations,
    };
    let mut cycle = Cycle { config, parts, limits, observer, journal: &journal, dir, report };
    cycle.go(domains);
    let mut report = cycle.report;
    report.ended = Timestamp::now();
    if is_over(report.outcome) {
        let ended = Ended { outcome: report.outcome, by_recovery: false };
        if let Err(error) = journal.write(&Entry::Run(RunStep::Ended(ended))) {
            // Recovery will find nothing left to do and end it.
            report.warnings.push(error.to_string());
        }
    }
    state::write_json(&state.run_dir(&report.run).join("report.json"), &report)?;
    Ok(report)
}

/// The domains that are meant, each once, and what is to be said of those that aren't.
fn domains(
    config: &RunConfig,
    hypervisor: &dyn virt::Hypervisor,
) -> Result<(Vec<virt::DomainId>, Vec<String>)> {
    let mut domains: Vec<virt::DomainId> = Vec::new();
    let mut add = |domain: virt::DomainId| {
        if domains.iter().all(|known| known.uuid != domain.uuid) {
            domains.push(domain);
        }
    };
    for name in &config.domains {
        add(hypervisor.find(name)?);
    }
    let mut left_out = Vec::new();
    if config.all_domains {
        let below = virt::domains_below(hypervisor, &config.mount)?;
        below.active.into_iter().for_each(add);
        let off = below.off.iter().filter(|domain| domains.iter().all(|known| known.uuid != domain.uuid));
        left_out.extend(off.map(|domain| format!("domain '{}' is off, and left out", domain.name)));
    }
    if domains.is_empty() {
        return Err(Error::NoDomains { mount: config.mount.clone() });
    }
    let strange = config.disks.iter().find(|choice| !domains.iter().any(|domain| choice.is_about(domain)));
    match strange.and_then(|choice| choice.domain.clone()) {
        Some(domain) => Err(Error::DiskOfOther { domain }),
        None => Ok((domains, left_out)),
    }
}

/// Whether nothing is left to be done after this outcome.
pub(crate) fn is_over(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Proven | Outcome::Partial | Outcome::Failed)
}

/// One run that is under way.
struct Cycle<'a> {
    config: &'a RunConfig,
    parts: &'a Parts<'a>,
    limits: Limits<'a>,
    observer: &'a (dyn Fn(Event<'_>) + Sync),
    journal: &'a Journal<'a>,
    dir: PathBuf,
    report: RunReport,
}

impl Cycle<'_> {
    /// From the preflight to replication left as it is to be.
    fn go(&mut self, domains: Vec<virt::DomainId>) {
        let Some(prepared) = self.stage(Stage::Preflight, |cycle| cycle.preflight(&domains)) else { return };
        if self.stage(Stage::StopReplication, Self::stop_replication).is_none() {
            return;
        }
        let taken =
            self.stage(Stage::StillPoint, |cycle| Ok(cycle.take_points(&prepared))).unwrap_or_default();
        let accepted = if taken.may_go_on { self.prove() } else { false };
        let undone = self.stage(Stage::Undo, |cycle| cycle.undo(&taken));
        self.report.outcome = match undone {
            None => Outcome::NeedsRecovery,
            Some(Some(left)) => left,
            Some(None) if !accepted => Outcome::Failed,
            Some(None) => self.accepted_outcome(),
        };
        self.stage(Stage::LeaveReplication, Self::leave_replication);
    }

    /// How the run ends once its proof is accepted and everything is undone.
    fn accepted_outcome(&self) -> Outcome {
        if self.report.domains.iter().all(|domain| domain.point.is_some()) {
            Outcome::Proven
        } else {
            Outcome::Partial
        }
    }

    /// Does one part, and writes down how long it took and how it failed.
    fn stage<T>(&mut self, stage: Stage, part: impl FnOnce(&mut Self) -> Result<T>) -> Option<T> {
        (self.observer)(Event::Stage(stage));
        tracing::info!(%stage, "begins");
        let at = self.report.durations.len();
        self.report.durations.push(StageDuration { stage, took: std::time::Duration::ZERO });
        let began = Instant::now();
        let result = part(self);
        self.report.durations[at].took = began.elapsed();
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(stage, None, error.to_string());
                None
            }
        }
    }

    fn fail(&mut self, stage: Stage, domain: Option<&str>, what: String) {
        tracing::info!(%stage, domain, what, "failed");
        self.report.failures.push(Failure { stage, domain: domain.map(str::to_owned), what });
    }

    /// Stops replication, and remembers whether it was running.
    fn stop_replication(&mut self) -> Result<()> {
        self.limits.check().map_err(Error::Stopped)?;
        let status = self.parts.session.status()?;
        let running = !status.all_stopped();
        self.report.replication_found_running = Some(running);
        self.journal.write(&Entry::Run(RunStep::Found { replication_running: running }))?;
        self.ensure_stopped()
    }

    /// Sees to it that replication is stopped, whatever it is at.
    fn ensure_stopped(&mut self) -> Result<()> {
        self.report.replication_left_running = None;
        self.parts.session.ensure_stopped(self.journal as &dyn georep::Journal)?;
        self.report.replication_left_running = Some(false);
        Ok(())
    }

    /// Starts replication again where it is to be left as it was found.
    fn leave_replication(&mut self) -> Result<()> {
        let as_found = self.config.after_run == AfterRun::AsFound
            && self.report.replication_found_running == Some(true)
            && is_over(self.report.outcome);
        if as_found {
            self.journal.write(&Entry::Run(RunStep::LeaveRunningIntended))?;
            self.report.replication_left_running = None;
            self.parts.session.start()?;
            self.report.replication_left_running = Some(true);
        }
        Ok(())
    }
}
