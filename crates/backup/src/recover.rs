//! Finishing or undoing what runs left that were interrupted.

mod finish;
mod orphans;
mod report;

pub use report::{DomainRecovery, Recovered, RunRecovery};

use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::cycle::{Event, Parts, RunConfig};
use crate::error::{Error, Result};
use crate::journal::{self, Contents, Entry, RunBegan, RunStep};
use crate::state::StateDir;
use crate::{Lock, RunId};

/// How to recover.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecoverOptions {
    /// Only look, and tell what would be done first.
    pub dry_run: bool,
    /// How overlays are committed.
    pub undo: virt::UndoOptions,
}

/// Reaches what a journal names.
pub trait Reach {
    /// The hypervisor where the run's domains are.
    ///
    /// # Errors
    /// When it can't be reached.
    fn hypervisor(&self, began: &RunBegan) -> Result<Box<dyn virt::Hypervisor>>;

    /// The run's session of replication.
    fn session(&self, began: &RunBegan) -> georep::Session;

    /// What thaws or resumes a guest of the run when this process dies.
    fn guard(&self, began: &RunBegan) -> Box<dyn virt::GuardSpawner>;

    /// What commits the overlays of a domain of the run that is off.
    fn offline(&self, began: &RunBegan) -> Box<dyn virt::OfflineCommit>;
}

/// Finishes or undoes every run below the state directory that isn't over. One run's failure doesn't keep the others
/// from being recovered; what became of each is in the list, oldest first. Runs that are over aren't in it.
///
/// # Errors
/// When the state directory can't be read.
pub fn recover(
    state: &StateDir,
    reach: &dyn Reach,
    options: &RecoverOptions,
    observer: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<RunRecovery>> {
    let mut recoveries = Vec::new();
    for run in state.runs()? {
        let (contents, began) = match unfinished(state, &run) {
            Ok(None) => continue,
            Ok(Some(found)) => found,
            Err(error) => {
                recoveries.push(RunRecovery::unreadable(run, &error));
                continue;
            }
        };
        recoveries.push(match held(state, &began) {
            Err(Error::Locked { holder, .. }) => RunRecovery::in_progress(&contents, &began, holder),
            Err(error) => RunRecovery::failed(&contents, &began, &error),
            // The run may have ended between the look at its journal and the lock.
            Ok(_lock) => match unfinished(state, &run) {
                Ok(None) => continue,
                Err(error) => RunRecovery::unreadable(run, &error),
                Ok(Some((contents, began))) => match reach.hypervisor(&began) {
                    Err(error) => RunRecovery::failed(&contents, &began, &error),
                    Ok(hypervisor) => {
                        let (session, guard) = (reach.session(&began), reach.guard(&began));
                        let offline = reach.offline(&began);
                        let parts = Parts {
                            hypervisor: &*hypervisor,
                            session: &session,
                            guard: &*guard,
                            offline: &*offline,
                        };
                        finish::finish(state, &contents, &began, &parts, options, observer)
                    }
                },
            },
        });
    }
    Ok(recoveries)
}

/// Finishes what earlier runs of a session left, whose lock the caller holds.
///
/// # Errors
/// When one of them can't be finished: a new run must not begin on top of it.
pub(crate) fn earlier_runs(
    state: &StateDir,
    parts: &Parts<'_>,
    config: &RunConfig,
    observer: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<RunRecovery>> {
    let options = RecoverOptions { dry_run: false, undo: config.undo };
    let mut recoveries = Vec::new();
    for run in state.runs()? {
        let Some((contents, began)) = unfinished(state, &run)? else { continue };
        if began.session != *parts.session.name() {
            continue;
        }
        if began.connect != parts.hypervisor.uri() {
            let why = format!("its domains are at {}, not at {}", began.connect, parts.hypervisor.uri());
            return Err(Error::Unrecovered { run, why });
        }
        let recovery = finish::finish(state, &contents, &began, parts, &options, observer);
        if recovery.outcome != Recovered::Finished {
            return Err(Error::Unrecovered { run, why: recovery.to_string() });
        }
        recoveries.push(recovery);
    }
    Ok(recoveries)
}

fn held(state: &StateDir, began: &RunBegan) -> Result<Lock> {
    let mut lock = state.lock(&began.session.to_string())?;
    lock.tell(None)?;
    Ok(lock)
}

/// What the journal of a run says, if the run isn't over.
fn unfinished(state: &StateDir, run: &RunId) -> Result<Option<(Contents, RunBegan)>> {
    let path = state.run_dir(run).join(journal::FILE_NAME);
    let contents = journal::read(&path)?;
    if contents.records.iter().any(|record| matches!(record.entry, Entry::Run(RunStep::Ended(_)))) {
        return Ok(None);
    }
    let began = contents.records.iter().find_map(|record| match &record.entry {
        Entry::Run(RunStep::Began(began)) => Some(began.clone()),
        _ => None,
    });
    // Without its first record it did nothing.
    Ok(began.map(|began| (contents, began)))
}

/// The steps of all still points that a journal speaks of.
pub(crate) fn steps_of_domains(contents: &Contents) -> Vec<virt::Step> {
    contents
        .records
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Virt(step) => Some(step.clone()),
            _ => None,
        })
        .collect()
}
