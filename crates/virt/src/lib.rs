//! A libvirt domain's consistent point and its undoing.
//!
//! [`plan`] checks a running domain and names one overlay for each of its disks, [`take`] freezes the guest's
//! file systems, makes one atomic external snapshot of all disks and thaws, and [`undo`] commits the overlays
//! back, one disk after the other. Whatever dies on the way, [`recover`] finishes it: it looks at the domain
//! first ([`observe`]), and uses the journal for names and intent only.
//!
//! Nothing is called done because no error was seen: a snapshot is taken, a commit is ready, a pivot is made
//! when the domain's XML says so.
#![deny(unsafe_code)]

mod call;
mod commit;
mod compare;
mod connect;
pub mod domain;
mod error;
mod files;
pub mod guard;
mod hypervisor;
mod intent;
mod journal;
#[cfg(feature = "libvirt")]
mod libvirt;
mod observe;
mod pen;
mod plan;
mod recover;
mod tag;
mod take;
mod undo;
mod view;
mod virsh;

pub use call::{CallError, CallErrorKind};
pub use compare::{Comparison, OverlayComparison};
pub use connect::{BackendChoice, connect};
pub use error::Error;
pub use guard::{CommandGuard, Guard, GuardError, GuardSpawner, Release, Unguarded};
pub use hypervisor::{
    Backend, BlockJob, CommitSpec, DomainId, DomainState, Hypervisor, PauseReason, Version, Versions, Which,
};
pub use intent::{DiskIntent, Intent, Progressed};
pub use journal::{Instance, IntendedDisk, Journal, JournalError, NullJournal, Step, StepKind};
#[cfg(feature = "libvirt")]
pub use libvirt::Libvirt;
pub use observe::{DiskCondition, DiskObservation, Observation, observe};
pub use plan::{Check, Finding, Plan, PlanOptions, PlannedDisk, Severity, plan};
pub use recover::{Action, Problem, RecoverOptions, Recovery, recover};
pub use tag::{InvalidTag, Tag};
pub use take::{Consistency, Quiesce, StillDisk, StillPoint, TakeOptions, take};
pub use undo::{CommitPhase, CommitProgress, DiskUndone, UndoOptions, Undone, undo};
pub use virsh::Virsh;
