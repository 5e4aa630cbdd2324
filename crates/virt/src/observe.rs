//! What is so now, by the domain's XML and the files.

use serde::Serialize;

use crate::domain::Ready;
use crate::view::{Place, View};
use crate::{DiskIntent, DomainState, Error, Hypervisor, Intent, PauseReason, Progressed, files};

/// What was seen of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the domain does.
    pub state: DomainState,
    /// Whether the guest may be frozen by us.
    pub maybe_frozen: bool,
    /// Whether the guest is suspended, and may be so by us.
    pub suspended: bool,
    /// Whether it is off and goes on from saved memory ('managed save') when it is started, with the files that it had
    /// then. Nothing of an overlay may be changed before that.
    pub saved: bool,
    /// Its disks that the still point is about.
    pub disks: Vec<DiskObservation>,
}

/// What was seen of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskObservation {
    /// The disk, by target.
    pub target: String,
    /// What it is at.
    pub condition: DiskCondition,
}

/// What a disk of a still point is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "condition", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DiskCondition {
    /// On its base, no overlay's file.
    Clean,
    /// The guest writes to the overlay; no job.
    OnOverlay,
    /// A commit of ours copies.
    Committing,
    /// A commit of ours waits for its pivot.
    Ready,
    /// A commit of ours is pivoting or ending just now.
    Completing,
    /// The guest writes to the base, and the definition still names the overlay.
    DefinitionBehind,
    /// On its base, and the overlay's file is still there. Never to be committed again.
    StaleOverlay {
        /// Whether the journal says that its data went into the base, so that it may be deleted. Else it is renamed
        /// and kept.
        merged: bool,
    },
    /// The domain is off, and its definition names the overlay, which with the base below it holds all that the guest
    /// wrote.
    OfflineOverlay,
    /// The definition names the overlay, but a pivot was asked for in a start of the domain that ended: the base may
    /// be newer.
    AmbiguousPivot,
    /// Something that is not ours.
    Foreign {
        /// What.
        what: String,
    },
}

/// Looks at the domain and the files, and says of each disk of the intent what it is at.
///
/// # Errors
/// When the domain or its XML can't be read.
pub fn observe(hypervisor: &dyn Hypervisor, intent: &Intent) -> Result<Observation, Error> {
    let state = hypervisor.state(&intent.domain)?;
    let saved = !state.is_active() && hypervisor.has_saved_state(&intent.domain)?;
    let view = View::read(hypervisor, &intent.domain)?;
    let mut disks = Vec::new();
    for disk in &intent.disks {
        let condition = if state.is_active() { running(&view, disk)? } else { off(&view, disk)? };
        disks.push(DiskObservation { target: disk.disk.target.clone(), condition });
    }
    Ok(Observation {
        state,
        maybe_frozen: intent.maybe_frozen && state.is_active(),
        suspended: intent.maybe_suspended && state == DomainState::Paused(PauseReason::User),
        saved,
        disks,
    })
}

/// One disk of a domain that runs.
fn running(view: &View, intent: &DiskIntent) -> Result<DiskCondition, Error> {
    Ok(match view.place(&intent.disk) {
        Place::Home { defined: true } => leftover(intent)?,
        Place::Home { defined: false } => DiskCondition::DefinitionBehind,
        Place::Moving(mirror) => match mirror.ready {
            Ready::No => DiskCondition::Committing,
            Ready::Yes => DiskCondition::Ready,
            Ready::Pivot | Ready::Abort => DiskCondition::Completing,
        },
        Place::Away if intent.progressed >= Progressed::PivotVerified => again(),
        Place::Away if pivoted_in_another_start(view, intent) => DiskCondition::AmbiguousPivot,
        Place::Away => DiskCondition::OnOverlay,
        Place::Strange(what) => DiskCondition::Foreign { what },
    })
}

/// One disk of a domain that is off.
fn off(view: &View, intent: &DiskIntent) -> Result<DiskCondition, Error> {
    let Some(defined) = view.inactive.disk(&intent.disk.target) else {
        return Ok(DiskCondition::Foreign { what: "the domain has no such disk any more".into() });
    };
    Ok(if defined.source.is_file(&intent.disk.base) {
        leftover(intent)?
    } else if !defined.source.is_file(&intent.disk.overlay) {
        DiskCondition::Foreign { what: format!("its definition is {}", defined.source) }
    } else {
        match intent.progressed {
            Progressed::PivotRequested => DiskCondition::AmbiguousPivot,
            progressed if progressed >= Progressed::PivotVerified => again(),
            _ => DiskCondition::OfflineOverlay,
        }
    })
}

/// On its base by all XML: what is left of its overlay?
fn leftover(intent: &DiskIntent) -> Result<DiskCondition, Error> {
    let kept = intent.progressed == Progressed::Done;
    let stale =
        files::exists(&intent.disk.overlay)? || (!kept && files::exists(&files::quarantine(&intent.disk))?);
    let merged = intent.progressed >= Progressed::OfflineCommitted && !kept;
    Ok(if stale { DiskCondition::StaleOverlay { merged } } else { DiskCondition::Clean })
}

fn pivoted_in_another_start(view: &View, intent: &DiskIntent) -> bool {
    intent.progressed == Progressed::PivotRequested
        && intent.pivot_instance.as_ref() != Some(&view.instance())
}

fn again() -> DiskCondition {
    DiskCondition::Foreign {
        what: "it is on an overlay again whose data went into the base before: the overlay is stale, and the base newer"
            .into(),
    }
}
