//! Internal snapshots: the other way to a point that stands still.
//!
//! A snapshot inside of the disks' own qcow2 files, of all of them at once, with the guest's memory where it runs. The
//! guest stands still while its memory is written, and nothing has to be undone: what the snapshot reaches is never
//! written again. The active part of each file goes on changing, so a copy of such a file holds for the snapshot
//! alone, read through it (`qemu-img convert -l`), never for what a start of the copy would use.
//!
//! [`plan_internal`](fn@plan_internal), [`take_internal`](fn@take_internal), and
//! [`prune_internal`](fn@prune_internal) for those beyond the number that is kept. [`recover`](fn@crate::recover) ends
//! what was interrupted: a snapshot that nobody verified is deleted, a deletion that began is finished.
//!
//! | step recorded | then |
//! |---|---|
//! | `InternalIntended` | the snapshot is made; a guest that it left paused is resumed |
//! | `InternalVerified` | *it stands until it is pruned* |
//! | `InternalDeletionIntended` | the snapshot is deleted |
//! | `InternalDeleted` | |

mod plan;
mod recover;
mod take;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use plan::{InternalPlan, plan_internal};
pub(crate) use recover::{foresee, recover};
pub use take::{InternalOptions, InternalPoint, prune_internal, take_internal};

use crate::{DomainId, DomainState, Error, Hypervisor, PauseReason};

/// What the journal says of an internal snapshot. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InternalProgress {
    /// It was intended; it may exist.
    Intended,
    /// It was verified.
    Verified,
    /// Its deletion was intended; it may be gone.
    DeletionIntended,
    /// It is gone.
    Deleted,
}

/// Between two looks at a domain that is busy.
const POLL: Duration = Duration::from_millis(200);

/// Whether a snapshot that failed or was interrupted may have left a guest paused so: libvirt's reasons save (3),
/// snapshot (9) and API error (14).
fn is_left_paused(state: DomainState) -> bool {
    matches!(state, DomainState::Paused(PauseReason::Other(3 | 9 | 14)))
}

fn is_listed(hypervisor: &dyn Hypervisor, domain: &DomainId, name: &str) -> Result<bool, Error> {
    Ok(hypervisor.snapshots(domain)?.iter().any(|listed| listed == name))
}
