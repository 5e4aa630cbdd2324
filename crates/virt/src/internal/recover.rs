//! Ending what was interrupted.

use std::thread;
use std::time::Instant;

use super::{InternalProgress, POLL, is_left_paused, take};
use crate::pen::Pen;
use crate::{Action, Error, Hypervisor, Intent, Journal, RecoverOptions, Recovery};

/// Waits until libvirt is done with a snapshot that it may be making, lets a guest run that it left paused, and deletes
/// the snapshot: nobody relied on it yet, or it was to be deleted.
pub(crate) fn recover(
    hypervisor: &dyn Hypervisor,
    intent: &Intent,
    options: &RecoverOptions<'_>,
    journal: &dyn Journal,
) -> Result<Recovery, Error> {
    let mut actions = Vec::new();
    wait(hypervisor, intent, options)?;
    let state = hypervisor.state(&intent.domain)?;
    if intent.internal == Some(InternalProgress::Intended) && is_left_paused(state) {
        actions.push(Action::Resume);
        hypervisor.resume(&intent.domain)?;
    }
    actions.push(Action::DeleteSnapshot);
    take::delete(hypervisor, &mut Pen::new(journal, intent.clone()))?;
    let (domain, tag) = (intent.domain.clone(), intent.tag.clone());
    Ok(Recovery { domain, tag, found: Vec::new(), actions, problems: Vec::new() })
}

/// What [`recover`] would do.
pub(crate) fn foresee(hypervisor: &dyn Hypervisor, intent: &Intent) -> Result<Recovery, Error> {
    let state = hypervisor.state(&intent.domain)?;
    let paused = intent.internal == Some(InternalProgress::Intended) && is_left_paused(state);
    let actions = paused.then_some(Action::Resume).into_iter().chain([Action::DeleteSnapshot]).collect();
    let (domain, tag) = (intent.domain.clone(), intent.tag.clone());
    Ok(Recovery { domain, tag, found: Vec::new(), actions, problems: Vec::new() })
}

/// Until no job of the whole domain is under way. A call that was interrupted goes on in libvirt.
fn wait(hypervisor: &dyn Hypervisor, intent: &Intent, options: &RecoverOptions<'_>) -> Result<(), Error> {
    let after = options.undo.deadline;
    let until = Instant::now() + after;
    while hypervisor.state(&intent.domain)?.is_active() && hypervisor.has_task(&intent.domain)? {
        if Instant::now() >= until {
            let domain = intent.domain.name.clone();
            return Err(Error::Busy { domain, after });
        }
        thread::sleep(POLL.min(options.undo.poll));
    }
    Ok(())
}
