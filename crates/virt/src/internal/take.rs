//! Making internal snapshots, and deleting those beyond the number that is kept.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{InternalPlan, InternalProgress, is_left_paused, is_listed};
use crate::pen::Pen;
use crate::view::may_take_effect_later;
use crate::{Consistency, DomainId, Error, Hypervisor, Intent, Journal, StepKind, Tag};

/// How to take an internal snapshot.
#[derive(Debug, Clone, Copy)]
pub struct InternalOptions {
    /// How long it may take: the guest stands still while its memory is written.
    pub deadline: Duration,
}

impl Default for InternalOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(900) }
    }
}

/// An internal snapshot that was taken. It stands until it is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalPoint {
    /// The domain.
    pub domain: DomainId,
    /// The snapshot's name.
    pub tag: Tag,
    /// What can be said of what is in it.
    pub consistency: Consistency,
    /// How long the call took; for a guest that ran, at most so long it stood still.
    pub took: Duration,
}

/// Takes the snapshot that was planned.
///
/// # Errors
/// [`Error::NoSnapshot`]: there is none. Any other: run [`recover`](fn@crate::recover), which deletes what may be there.
pub fn take_internal(
    hypervisor: &dyn Hypervisor,
    plan: &InternalPlan,
    options: &InternalOptions,
    journal: &dyn Journal,
) -> Result<InternalPoint, Error> {
    let domain = &plan.domain;
    let mut pen = Pen::new(journal, Intent::begun(domain.clone(), plan.tag.clone()));
    let before = hypervisor.state(domain)?;
    pen.record(StepKind::InternalIntended { with_memory: plan.with_memory })?;
    let begun = Instant::now();
    let made = hypervisor.snapshot_internal(domain, &plan.snapshot_xml(), options.deadline);
    let took = begun.elapsed();
    let after = hypervisor.state(domain)?;
    if is_left_paused(after) && !made.as_ref().is_err_and(may_take_effect_later) {
        tracing::warn!(%domain, ?after, "the snapshot left the guest paused; it is resumed");
        hypervisor.resume(domain)?;
    }
    let listed = is_listed(hypervisor, domain, plan.tag.as_str())?;
    match made {
        Err(error) if listed || may_take_effect_later(&error) => return Err(error.into()),
        Err(error) => {
            pen.record(StepKind::SnapshotAbandoned)?;
            return Err(Error::NoSnapshot { domain: domain.name.clone(), cause: error.to_string() });
        }
        Ok(()) if !listed || before.is_active() != plan.with_memory => {
            let cause = if listed {
                "the domain was started or ended since it was planned"
            } else {
                "the hypervisor reported success, and lists no such snapshot"
            };
            return Err(Error::NotAsPlanned { domain: domain.name.clone(), cause });
        }
        Ok(()) => {}
    }
    pen.record(StepKind::InternalVerified)?;
    let consistency = if plan.with_memory { Consistency::Memory } else { Consistency::Off };
    Ok(InternalPoint { domain: domain.clone(), tag: plan.tag.clone(), consistency, took })
}

/// Deletes the oldest internal snapshots of a domain, so that `keep` of those that `intents` speak of are left, and tells
/// which. The intents are the journal's, oldest first; what it doesn't know is never deleted.
///
/// # Errors
/// The first deletion that fails ends it; [`recover`](fn@crate::recover) goes on.
pub fn prune_internal(
    hypervisor: &dyn Hypervisor,
    domain: &DomainId,
    intents: &[Intent],
    keep: usize,
    journal: &dyn Journal,
) -> Result<Vec<Tag>, Error> {
    let listed = hypervisor.snapshots(domain)?;
    let ours: Vec<&Intent> = intents
        .iter()
        .filter(|intent| {
            intent.domain.uuid == domain.uuid && intent.internal == Some(InternalProgress::Verified)
        })
        .filter(|intent| listed.iter().any(|name| name == intent.tag.as_str()))
        .collect();
    let mut deleted = Vec::new();
    for intent in ours.iter().take(ours.len().saturating_sub(keep)) {
        delete(hypervisor, &mut Pen::new(journal, (*intent).clone()))?;
        deleted.push(intent.tag.clone());
    }
    Ok(deleted)
}

/// Deletes the snapshot that an intent is about, if it is there.
pub(super) fn delete(hypervisor: &dyn Hypervisor, pen: &mut Pen<'_>) -> Result<(), Error> {
    let (domain, tag) = (pen.intent.domain.clone(), pen.intent.tag.clone());
    pen.record(StepKind::InternalDeletionIntended)?;
    if is_listed(hypervisor, &domain, tag.as_str())? {
        let answer = hypervisor.delete_snapshot(&domain, tag.as_str());
        if is_listed(hypervisor, &domain, tag.as_str())? {
            answer?;
            return Err(Error::NotAsPlanned {
                domain: domain.name,
                cause: "the hypervisor reported a snapshot deleted, and lists it still",
            });
        }
    }
    Ok(pen.record(StepKind::InternalDeleted)?)
}
