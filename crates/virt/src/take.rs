//! Freeze, snapshot, thaw.

mod freeze;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::pen::Pen;
use crate::view::{Place, View, may_take_effect_later};
use crate::{
    DomainId, Error, GuardSpawner, Hypervisor, IntendedDisk, Intent, Journal, Plan, PlannedDisk, StepKind,
    Tag,
};
use freeze::{Freezing, Thawed};

/// How long the XML may be out of reach after a snapshot before it counts as unknown.
const TO_READ: Duration = Duration::from_secs(30);

/// Whether the guest's file systems are frozen for the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quiesce {
    /// They must be: else there is no still point.
    Require,
    /// They are where the guest agent can; else the point is crash-consistent, and says so.
    #[default]
    Prefer,
    /// They are left alone.
    Never,
}

impl FromStr for Quiesce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "require" => Ok(Self::Require),
            "prefer" => Ok(Self::Prefer),
            "never" => Ok(Self::Never),
            other => Err(format!("no quiesce policy {other:?}: use require, prefer or never")),
        }
    }
}

/// How to take a still point.
#[derive(Debug, Clone, Copy)]
pub struct TakeOptions {
    /// The policy on freezing.
    pub quiesce: Quiesce,
    /// How long one answer of the guest agent may take, in whole seconds.
    pub agent_timeout: Duration,
    /// When the guard thaws at the latest. A point that took longer is not called consistent. Guests that use
    /// Windows' VSS thaw by themselves after 10 s.
    pub freeze_deadline: Duration,
}

impl Default for TakeOptions {
    fn default() -> Self {
        Self {
            quiesce: Quiesce::Prefer,
            agent_timeout: Duration::from_secs(10),
            freeze_deadline: Duration::from_secs(30),
        }
    }
}

/// A still point that was taken: from here on, until [`undo`](fn@crate::undo), the bases don't change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillPoint {
    /// The domain.
    pub domain: DomainId,
    /// The still point's name.
    pub tag: Tag,
    /// Its disks.
    pub disks: Vec<StillDisk>,
    /// What can be said of what is in them.
    pub consistency: Consistency,
    /// How long the guest's file systems were frozen, from the call to freeze to the answer of the thaw. Zero
    /// when they were not.
    pub frozen: Duration,
    /// How long the snapshot call took.
    pub snapshot: Duration,
}

/// One disk of a still point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillDisk {
    /// The names. The base is what stands still.
    #[serde(flatten)]
    pub disk: IntendedDisk,
    /// The layers below the base, from the top down.
    pub below: Vec<PathBuf>,
}

/// What can be said of the data of a still point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[non_exhaustive]
pub enum Consistency {
    /// The guest's file systems were frozen throughout.
    FileSystem {
        /// How many.
        frozen: u32,
    },
    /// The whole machine with its memory, at one moment: an internal snapshot of a guest that ran.
    Memory,
    /// Of a domain that was off: as its guest left it when it shut down.
    Off,
    /// As after a power cut.
    Crash {
        /// Why no more can be said.
        why: String,
    },
}

/// Takes the still point that was planned.
///
/// The order: the snapshot is journalled as intended, the guard stands, the guest is frozen, the snapshot is made,
/// the guest is thawed. Between freeze and thaw there is the snapshot and one record of the journal, nothing
/// else. Then both XMLs must show every overlay.
///
/// # Errors
/// [`Error::NotQuiet`], [`Error::NoSnapshot`]: nothing is left behind. [`Error::LeftOnOverlay`] and any other: run
/// [`recover`](fn@crate::recover).
pub fn take(
    hypervisor: &dyn Hypervisor,
    plan: &Plan,
    options: &TakeOptions,
    journal: &dyn Journal,
    guard: &dyn GuardSpawner,
) -> Result<StillPoint, Error> {
    let mut pen = Pen::new(journal, Intent::begun(plan.domain.clone(), plan.tag.clone()));
    let view = View::read(hypervisor, &plan.domain)?;
    as_planned(plan, &view)?;
    let disks: Vec<IntendedDisk> = plan.disks.iter().map(|planned| planned.disk.clone()).collect();
    let xml = plan.snapshot_xml();
    pen.record(StepKind::SnapshotIntended { disks: disks.clone() })?;

    let freezing = Freezing { hypervisor, domain: &plan.domain, options, guard };
    let (frozen, mut why) = match freezing.freeze(view.live.agent, &mut pen)? {
        Ok(frozen) => (Some(frozen), String::new()),
        Err(why) => (None, why),
    };
    if frozen.is_none() && options.quiesce == Quiesce::Require {
        pen.record(StepKind::SnapshotAbandoned)?;
        return Err(Error::NotQuiet { domain: plan.domain.name.clone(), why });
    }
    let begun = Instant::now();
    let made = hypervisor.snapshot(&plan.domain, &xml);
    let snapshot = begun.elapsed();
    let thawed = frozen.map(|frozen| frozen.thaw(&mut pen)).transpose()?;
    let (count, frozen) = match thawed {
        Some(Thawed { lasted, held: Ok(count) }) => (Some(count), lasted),
        Some(Thawed { lasted, held: Err(reason) }) => {
            why = reason;
            (None, lasted)
        }
        None => (None, Duration::ZERO),
    };

    let until = Instant::now() + TO_READ;
    let view = View::read_patiently(hypervisor, &plan.domain, until)?;
    let away: Vec<String> = disks
        .iter()
        .filter(|disk| !matches!(view.place(disk), Place::Home { .. }))
        .map(|disk| disk.target.clone())
        .collect();
    let left = |targets: Vec<String>, cause: String| {
        Err(Error::LeftOnOverlay { domain: plan.domain.name.clone(), targets, cause })
    };
    match made {
        Err(error) if !away.is_empty() => return left(away, error.to_string()),
        Err(error) if may_take_effect_later(&error) => return Err(error.into()),
        Err(error) => {
            pen.record(StepKind::SnapshotAbandoned)?;
            return Err(Error::NoSnapshot { domain: plan.domain.name.clone(), cause: error.to_string() });
        }
        Ok(()) => {}
    }
    if let Some(disk) = disks.iter().find(|disk| !shown(&view, disk)) {
        let cause = format!(
            "the hypervisor reported success, but its XML doesn't show the overlay of {}",
            disk.target
        );
        return left(away, cause);
    }
    if count.is_none() && options.quiesce == Quiesce::Require {
        return left(away, format!("the policy requires frozen file systems, but {why}"));
    }
    pen.record(StepKind::SnapshotVerified)?;
    Ok(StillPoint {
        domain: plan.domain.clone(),
        tag: plan.tag.clone(),
        disks: plan
            .disks
            .iter()
            .map(|planned| StillDisk { disk: planned.disk.clone(), below: planned.below.clone() })
            .collect(),
        consistency: match count {
            Some(frozen) => Consistency::FileSystem { frozen },
            None => Consistency::Crash { why },
        },
        frozen,
        snapshot,
    })
}

/// Nothing changed since the plan was made.
fn as_planned(plan: &Plan, view: &View) -> Result<(), Error> {
    for PlannedDisk { disk, .. } in &plan.disks {
        let what = match view.place(disk) {
            Place::Home { defined: true } => continue,
            Place::Strange(what) => what,
            _ => "it is on its overlay already".into(),
        };
        let (domain, target) = (plan.domain.name.clone(), disk.target.clone());
        return Err(Error::Foreign { domain, target, what });
    }
    Ok(())
}

/// Both XMLs show the overlay right above its base.
fn shown(view: &View, disk: &IntendedDisk) -> bool {
    matches!(view.place(disk), Place::Away)
        && view.inactive.disk(&disk.target).is_some_and(|defined| defined.source.is_file(&disk.overlay))
}
