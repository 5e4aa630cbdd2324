//! A libvirt domain's consistent point and its undoing.
//!
//! [`plan`](fn@plan) checks a running domain and names one overlay for each of its disks, [`take`](fn@take) freezes the guest's
//! file systems, makes one atomic external snapshot of all disks and thaws, and [`undo`](fn@undo) commits the overlays
//! back, one disk after the other. Whatever dies on the way, [`recover`](fn@recover) finishes it: it looks at the domain
//! first ([`observe`](fn@observe)), and uses the journal for names and intent only.
//!
//! Nothing is called done because no error was seen: a snapshot is taken, a commit is ready, a pivot is made
//! when the domain's XML says so.
//!
//! ```
//! use stillpoint_sim::hypervisor::{SimDomain, SimGuards, SimHost};
//! use stillpoint_virt::{
//!     Consistency, NullJournal, PlanOptions, Tag, TakeOptions, UndoOptions, plan, take, undo,
//! };
//!
//! # let directory = tempfile::tempdir()?;
//! # let disk = directory.path().join("disk.qcow2");
//! # std::fs::write(&disk, vec![0; 4096])?;
//! let host = SimHost::new(); // or: connect(BackendChoice::Auto, "qemu:///system")?
//! let domain = host.add(SimDomain::new("guest").disk(&disk));
//! let (hypervisor, guards, journal) = (host.connect(), SimGuards::new(&host), NullJournal);
//!
//! let tag = Tag::new("stillpoint-20261123T051234Z-4f1c")?;
//! let plan = plan(&hypervisor, &domain, &PlanOptions::new(tag))?;
//! let point = take(&hypervisor, &plan, &TakeOptions::default(), &journal, &guards)?;
//! assert_eq!(point.consistency, Consistency::FileSystem { frozen: 2 });
//!
//! // The guest goes on writing, and its disk's file stands still: copy it now.
//! assert!(host.guest_write(&domain, "vda", 0, b"written since"));
//! assert_eq!(std::fs::read(&disk)?, vec![0; 4096]);
//!
//! undo(&hypervisor, &point, &UndoOptions::default(), &journal, &guards, &mut |_| {})?;
//! assert!(std::fs::read(&disk)?.starts_with(b"written since"));
//! assert!(!point.disks[0].disk.overlay.exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There is another way: [`plan_internal`](fn@plan_internal) and [`take_internal`](fn@take_internal) snapshot all disks
//! inside of their own files, with the guest's memory where it runs. Nothing has to be undone then; the guest stands
//! still while its memory is written.
//!
//! # Backends
//!
//! [`Hypervisor`] is the one trait. [`Virsh`] runs the program, one process a call, and is always there;
//! `Libvirt` calls the C library through the `virt` crate, with the feature `libvirt`. [`connect`](fn@connect) chooses.
//! Neither waits for a block job: a commit is started, watched in the XML and pivoted, each a call of its own,
//! so that a caller that dies leaves a state that the next can read.
//!
//! # What a disk can be at, and what recovery does
//!
//! A row is a [`DiskCondition`]. *Base* is the file that stands still, *overlay* the one that carries the tag.
//! *Live* is what runs, *definition* the inactive XML.
//!
//! | condition | live XML | definition | journal, files | action |
//! |---|---|---|---|---|
//! | `Clean` | base | base | no overlay's file | none |
//! | `OnOverlay` | overlay, right above base | any | no pivot of another start asked for | commit |
//! | `Committing` | overlay, job `active-commit` | any | | attach: wait until ready, pivot |
//! | `Ready` | the same, `ready='yes'` | any | | pivot |
//! | `Completing` | the same, `ready='pivot'` or `'abort'` | any | | wait, look again |
//! | `DefinitionBehind` | base, no job | overlay | | define with the base |
//! | `StaleOverlay` | base (or off) | base | overlay's file is there | pivot asked for: delete; else rename, keep, tell an operator |
//! | `OfflineOverlay` | off | overlay | no pivot asked for | commit the files, define with the base |
//! | `AmbiguousPivot` | off, or another start on the overlay | overlay | pivot asked for, never seen | off: compare; equal: define with the base; the CPUs stopped, and the overlay written to later: commit the files. Else operator |
//! | `Foreign` | anything else | | | operator; nothing is touched |
//!
//! Committing files takes an [`OfflineCommit`]; without one, and where the domain is to go on from saved memory, an
//! operator is asked to start the domain.
//!
//! A guest that may be frozen is thawed first, and one that was suspended for a pivot is resumed. An overlay
//! whose pivot was verified is never committed again: the base has moved on since.
//!
//! # The order of things
//!
//! | step recorded | then |
//! |---|---|
//! | `SnapshotIntended` | the guard process stands |
//! | `FreezeIntended` | time-out for the agent, freeze |
//! | `Frozen` | snapshot, thaw |
//! | `Thawed` | both XMLs read |
//! | `SnapshotVerified` | *the bases stand still until here is gone on* |
//! | `CommitIntended` | commit started, watched until ready |
//! | `CommitReady` | the guard process stands |
//! | `SuspendIntended` | virtual CPUs stopped |
//! | `PivotRequested` | pivot, both XMLs read until they show the base, CPUs on |
//! | `PivotVerified`, `Resumed` | base to stable storage |
//! | `OverlayRemovalIntended` | overlay renamed, then deleted, its directory to stable storage |
//! | `OverlayRemoved` | the next disk |
//! | `OfflineCommitted` | *in recovery, of a domain that is off:* defined with the base, then as from `PivotVerified` |
//! | `Undone` | |
//!
//! Killed between any two of these, recovery ends with every disk on its base and no overlay left. The guard
//! ([`guard`]) lets the guest go on within seconds of our death, without waiting for recovery.
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
mod internal;
mod journal;
#[cfg(feature = "libvirt")]
mod libvirt;
mod observe;
mod offline;
mod pen;
mod plan;
mod process;
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
pub use internal::{
    InternalOptions, InternalPlan, InternalPoint, InternalProgress, plan_internal, prune_internal,
    take_internal,
};
pub use journal::{Instance, IntendedDisk, Journal, JournalError, NullJournal, Step, StepKind};
#[cfg(feature = "libvirt")]
pub use libvirt::Libvirt;
pub use observe::{DiskCondition, DiskObservation, Observation, observe};
pub use offline::{OfflineCommit, QemuImg};
pub use plan::{
    Check, DomainsBelow, Finding, Plan, PlanOptions, PlannedDisk, Severity, domains_below, plan, plan_all,
};
pub use process::PARENT;
pub use recover::{Action, Problem, RecoverOptions, Recovery, foresee, recover};
pub use tag::{InvalidTag, Tag};
pub use take::{Consistency, Quiesce, StillDisk, StillPoint, TakeOptions, take};
pub use undo::{CommitPhase, CommitProgress, DiskUndone, UndoOptions, Undone, undo};
pub use virsh::Virsh;
