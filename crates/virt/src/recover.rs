//! Finishing what was interrupted.

mod act;
mod obstacle;
mod offline;

use serde::Serialize;

use crate::commit::Committer;
use crate::pen::Pen;
use crate::{
    CommitProgress, DiskCondition, DiskObservation, DomainId, Error, GuardSpawner, Hypervisor, Intent,
    Journal, Observation, OfflineCommit, OverlayComparison, StepKind, Tag, UndoOptions, internal, observe,
};
use act::Recovering;

/// How to recover.
#[derive(Clone, Copy, Default)]
pub struct RecoverOptions<'a> {
    /// How to commit what is left to commit.
    pub undo: UndoOptions,
    /// What decides an ambiguous pivot. Without it, both files are kept and an operator is asked.
    pub comparison: Option<&'a dyn OverlayComparison>,
    /// What commits the overlays of a domain that is off. Without it, an operator is asked to start the domain.
    pub offline: Option<&'a dyn OfflineCommit>,
}

impl std::fmt::Debug for RecoverOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoverOptions")
            .field("undo", &self.undo)
            .field("comparison", &self.comparison.is_some())
            .field("offline", &self.offline.is_some())
            .finish()
    }
}

/// One thing that recovery does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Thaw the guest's file systems.
    Thaw,
    /// Let the guest's CPUs run.
    Resume,
    /// Commit this disk's overlay, or attach to its commit, pivot, and see both XMLs on the base.
    Commit {
        /// The disk.
        target: String,
    },
    /// Commit this disk's overlay by its files, the domain being off, and define the domain with this disk on its base.
    CommitOffline {
        /// The disk.
        target: String,
    },
    /// Wait for this disk's pivot or ending.
    Wait {
        /// The disk.
        target: String,
    },
    /// Define the domain with this disk on its base.
    Redefine {
        /// The disk.
        target: String,
    },
    /// Delete the internal snapshot, if it is there.
    DeleteSnapshot,
    /// Compare this disk's overlay with its base.
    Compare {
        /// The disk.
        target: String,
    },
    /// Remove this disk's overlay, whose data is in the base.
    RemoveOverlay {
        /// The disk.
        target: String,
    },
    /// Rename this disk's overlay, of which the journal doesn't say that its data is in the base, and keep it.
    KeepOverlay {
        /// The disk.
        target: String,
    },
}

/// Something that recovery can't settle: an operator must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The disk, by target; `None` when it is about the whole domain.
    pub target: Option<String>,
    /// What is so.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// What recovery did and left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// The domain.
    pub domain: DomainId,
    /// The still point.
    pub tag: Tag,
    /// What was seen first.
    pub found: Vec<DiskObservation>,
    /// What was done, in order.
    pub actions: Vec<Action>,
    /// What an operator must settle. Empty: nothing is left of the still point.
    pub problems: Vec<Problem>,
}

impl Recovery {
    /// Whether nothing is left of the still point.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Action {
    /// What to do first about all that was seen, in order, but for the disks of these targets.
    fn about<'a>(observation: &'a Observation, settled: &'a [String]) -> impl Iterator<Item = Self> + 'a {
        let open = observation.disks.iter().filter(|disk| !settled.contains(&disk.target));
        let thaw = observation.maybe_frozen.then_some(Self::Thaw);
        let resume = observation.suspended.then_some(Self::Resume);
        thaw.into_iter()
            .chain(resume)
            .chain(open.filter_map(|disk| Self::on(&disk.condition, disk.target.clone())))
    }

    fn on(condition: &DiskCondition, target: String) -> Option<Self> {
        match condition {
            DiskCondition::Clean | DiskCondition::Foreign { .. } => None,
            DiskCondition::OfflineOverlay => Some(Self::CommitOffline { target }),
            DiskCondition::OnOverlay | DiskCondition::Committing | DiskCondition::Ready => {
                Some(Self::Commit { target })
            }
            DiskCondition::Completing => Some(Self::Wait { target }),
            DiskCondition::DefinitionBehind => Some(Self::Redefine { target }),
            DiskCondition::StaleOverlay { merged: true } => Some(Self::RemoveOverlay { target }),
            DiskCondition::StaleOverlay { merged: false } => Some(Self::KeepOverlay { target }),
            DiskCondition::AmbiguousPivot => Some(Self::Compare { target }),
        }
    }

    fn target(&self) -> Option<&str> {
        match self {
            Self::Thaw | Self::Resume | Self::DeleteSnapshot => None,
            Self::Commit { target }
            | Self::CommitOffline { target }
            | Self::Wait { target }
            | Self::Redefine { target }
            | Self::Compare { target }
            | Self::RemoveOverlay { target }
            | Self::KeepOverlay { target } => Some(target),
        }
    }
}

/// What recovery would find, what it would do first about each disk, and what it would leave to an operator. Touches
/// nothing.
///
/// # Errors
/// When the domain or its XML can't be read.
pub fn foresee(
    hypervisor: &dyn Hypervisor,
    intent: &Intent,
    options: &RecoverOptions<'_>,
) -> Result<Recovery, Error> {
    if intent.internal.is_some() && intent.is_open() {
        return internal::foresee(hypervisor, intent);
    }
    let observation = observe(hypervisor, intent)?;
    let problems = obstacle::all(&observation, intent, options);
    let settled: Vec<String> = problems.iter().filter_map(|problem| problem.target.clone()).collect();
    Ok(Recovery {
        domain: intent.domain.clone(),
        tag: intent.tag.clone(),
        actions: Action::about(&observation, &settled).collect(),
        found: observation.disks,
        problems,
    })
}

/// Finishes what the intent began: observes, does one thing, observes again, until nothing of the still point is left or
/// only an operator can go on.
///
/// # Errors
/// When something failed on the way; running it again goes on. What an operator must settle is no error, but in
/// [`Recovery::problems`].
pub fn recover(
    hypervisor: &dyn Hypervisor,
    intent: &Intent,
    options: &RecoverOptions<'_>,
    journal: &dyn Journal,
    guard: &dyn GuardSpawner,
    progress: &mut dyn FnMut(CommitProgress),
) -> Result<Recovery, Error> {
    if intent.internal.is_some() && intent.is_open() {
        return internal::recover(hypervisor, intent, options, journal);
    }
    let observation = observe(hypervisor, intent)?;
    let mut recovering = Recovering {
        committer: Committer { hypervisor, domain: &intent.domain, options: &options.undo, guard },
        options,
        pen: Pen::new(journal, intent.clone()),
        settled: Vec::new(),
        problems: Vec::new(),
        failed: None,
    };
    let found = observation.disks.clone();
    let actions = recovering.run(observation, progress)?;
    if let Some(error) = recovering.failed {
        return Err(error);
    }
    if recovering.problems.is_empty() && !recovering.pen.intent.finished {
        recovering.committer.let_go_on();
        recovering.pen.record(StepKind::Undone)?;
    }
    let (domain, tag) = (intent.domain.clone(), intent.tag.clone());
    Ok(Recovery { domain, tag, found, actions, problems: recovering.problems })
}
