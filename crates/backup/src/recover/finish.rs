//! Finishing one run.

use serde::Serialize;
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use super::{DomainRecovery, RecoverOptions, Recovered, RunRecovery, orphans, steps_of_domains};
use crate::cycle::{Event, Parts};
use crate::error::{Error, Result};
use crate::journal::{AfterRun, Contents, Ended, Entry, Journal, RunBegan, RunStep};
use crate::state::{self, StateDir};
use crate::{ImageComparison, Outcome};

/// Finishes or undoes one run, whose lock the caller holds.
pub(super) fn finish(
    state: &StateDir,
    contents: &Contents,
    began: &RunBegan,
    parts: &Parts<'_>,
    options: &RecoverOptions,
    observer: &(dyn Fn(Event<'_>) + Sync),
) -> RunRecovery {
    let mut recovery = RunRecovery::new(contents, began, Recovered::Finished);
    let result = if options.dry_run {
        recovery.outcome = Recovered::Looked;
        orphans::wait().and_then(|()| look(contents, began, parts, options, &mut recovery))
    } else {
        act(state, contents, began, parts, options, observer, &mut recovery)
    };
    if let Err(error) = result {
        recovery.outcome = Recovered::NeedsRecovery;
        recovery.problems.push(error.to_string());
    }
    recovery
}

fn open_intents(contents: &Contents) -> Vec<virt::Intent> {
    virt::Intent::from_steps(&steps_of_domains(contents)).into_iter().filter(virt::Intent::is_open).collect()
}

fn look(
    contents: &Contents,
    began: &RunBegan,
    parts: &Parts<'_>,
    options: &RecoverOptions,
    recovery: &mut RunRecovery,
) -> Result<()> {
    let comparison = ImageComparison::new(&began.mount);
    for intent in open_intents(contents) {
        tell(virt::foresee(parts.hypervisor, &intent, &how(parts, options, &comparison))?, recovery);
    }
    if may_be_replicating(contents) {
        recovery.replication_running = Some(!parts.session.status()?.all_stopped());
    }
    Ok(())
}

fn how<'a>(
    parts: &Parts<'a>,
    options: &RecoverOptions,
    comparison: &'a ImageComparison,
) -> virt::RecoverOptions<'a> {
    virt::RecoverOptions { undo: options.undo, comparison: Some(comparison), offline: Some(parts.offline) }
}

/// Takes in what became of one still point, or would.
fn tell(done: virt::Recovery, recovery: &mut RunRecovery) {
    for problem in &done.problems {
        let disk = problem.target.as_ref().map(|disk| format!(", disk {disk}")).unwrap_or_default();
        let name = &done.domain.name;
        recovery.problems.push(format!("domain '{name}'{disk}: {} ({})", problem.what, problem.remedy));
    }
    recovery.domains.push(DomainRecovery {
        found: done.found.iter().map(in_words).collect(),
        actions: done.actions.iter().map(in_words).collect(),
        domain: done.domain,
        tag: done.tag,
    });
}

fn act(
    state: &StateDir,
    contents: &Contents,
    began: &RunBegan,
    parts: &Parts<'_>,
    options: &RecoverOptions,
    observer: &(dyn Fn(Event<'_>) + Sync),
    recovery: &mut RunRecovery,
) -> Result<()> {
    let dir = state.run_dir(&contents.header.run);
    let journal = Journal::resume(&dir, contents)?.observed(|record| observer(Event::Recorded(record)));
    journal.write(&Entry::Run(RunStep::RecoveryBegan { pid: std::process::id() }))?;
    let intents = open_intents(contents);
    thaw_first(parts.hypervisor, &intents);
    orphans::wait()?;

    // A commit rewrites the base: what it writes must not be replicated.
    if !intents.is_empty() || may_be_replicating(contents) {
        parts.session.ensure_stopped(&journal as &dyn georep::Journal)?;
    }
    let mut failed = None;
    let comparison = ImageComparison::new(&began.mount);
    for intent in &intents {
        let done = virt::recover(
            parts.hypervisor,
            intent,
            &how(parts, options, &comparison),
            &journal as &dyn virt::Journal,
            parts.guard,
            &mut |progress| observer(Event::Commit(&progress)),
        );
        match done {
            Ok(done) => {
                if !done.is_complete() {
                    recovery.outcome = Recovered::NeedsOperator;
                }
                tell(done, recovery);
            }
            // The other domains are recovered all the same.
            Err(error) => {
                recovery.problems.push(error.to_string());
                failed = Some(());
            }
        }
    }
    if failed.is_some() && recovery.outcome == Recovered::Finished {
        recovery.outcome = Recovered::NeedsRecovery;
    }
    if recovery.outcome == Recovered::Finished {
        leave_replication(contents, began, parts, &journal)?;
        let outcome = intended_outcome(contents);
        journal.write(&Entry::Run(RunStep::Ended(Ended { outcome, by_recovery: true })))?;
        recovery.ended = Some(outcome);
    }
    state::write_json(&dir.join("recovery.json"), recovery)
}

/// Thaws guests that may be frozen before anything that can take long. The guard did it already, unless it died too.
fn thaw_first(hypervisor: &dyn virt::Hypervisor, intents: &[virt::Intent]) {
    for intent in intents.iter().filter(|intent| intent.maybe_frozen) {
        let thawed = hypervisor
            .set_agent_timeout(&intent.domain, std::time::Duration::from_secs(5))
            .and_then(|()| hypervisor.thaw(&intent.domain));
        tracing::info!(domain = %intent.domain, ?thawed, "thawed before anything else");
    }
}

/// Whether replication may have been started by the run, and isn't known to be stopped since.
fn may_be_replicating(contents: &Contents) -> bool {
    contents
        .records
        .iter()
        .rev()
        .find_map(|record| match &record.entry {
            Entry::Georep(georep::Step::Stopped { .. }) => Some(false),
            Entry::Georep(
                georep::Step::StartIntended { .. }
                | georep::Step::Started { .. }
                | georep::Step::RestartIntended { .. }
                | georep::Step::StopIntended { .. },
            ) => Some(true),
            _ => None,
        })
        .unwrap_or(false)
}

fn leave_replication(
    contents: &Contents,
    began: &RunBegan,
    parts: &Parts<'_>,
    journal: &Journal<'_>,
) -> Result<(), Error> {
    let found_running = contents
        .records
        .iter()
        .any(|record| matches!(record.entry, Entry::Run(RunStep::Found { replication_running: true })));
    if began.after_run == AfterRun::AsFound && found_running {
        journal.write(&Entry::Run(RunStep::LeaveRunningIntended))?;
        parts.session.start()?;
    }
    Ok(())
}

/// How the run ends, now that everything is undone: as it was judged, if it got that far.
fn intended_outcome(contents: &Contents) -> Outcome {
    contents
        .records
        .iter()
        .rev()
        .find_map(|record| match &record.entry {
            Entry::Run(RunStep::Proved { outcome, .. }) => Some(*outcome),
            _ => None,
        })
        .unwrap_or(Outcome::Failed)
}

/// What serialises as `{"action" or "condition": …, "target": …}`, as `vda: commit`.
fn in_words<T: Serialize>(value: &T) -> String {
    let Ok(value) = serde_json::to_value(value) else { return String::new() };
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    let condition = value.get("condition");
    let what = text("action")
        .or_else(|| {
            condition.and_then(|condition| condition.get("condition")).and_then(serde_json::Value::as_str)
        })
        .unwrap_or_default();
    match text("target") {
        Some(target) => format!("{target}: {what}"),
        None => what.to_owned(),
    }
}
