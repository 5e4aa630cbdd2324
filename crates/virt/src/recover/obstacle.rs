//! What recovery leaves to an operator without having tried anything.

use super::{Problem, RecoverOptions};
use crate::{DiskCondition, DiskObservation, IntendedDisk, Intent, Observation};

/// What stands in the way of each disk that nothing can be done about.
pub(super) fn all(observation: &Observation, intent: &Intent, options: &RecoverOptions<'_>) -> Vec<Problem> {
    observation.disks.iter().filter_map(|disk| about(disk, observation, intent, options)).collect()
}

fn about(
    disk: &DiskObservation,
    observation: &Observation,
    intent: &Intent,
    options: &RecoverOptions<'_>,
) -> Option<Problem> {
    let (what, remedy) = match &disk.condition {
        DiskCondition::OfflineOverlay | DiskCondition::AmbiguousPivot if observation.saved => (
            "the domain is off, its newest data is in the overlay above its base, and it goes on from saved memory that \
             uses the overlay when it is started"
                .to_owned(),
            "start the domain and run recover again, or drop its memory with 'virsh managedsave-remove'; do not delete the \
             overlay"
                .to_owned(),
        ),
        DiskCondition::OfflineOverlay if options.offline.is_none() => (
            "the domain is off, and its newest data is in the overlay above its base".to_owned(),
            "start the domain and run recover again; do not delete the overlay".to_owned(),
        ),
        DiskCondition::AmbiguousPivot if observation.state.is_active() => (
            "the domain was started on its overlay after a pivot of it had been asked for: if the pivot had been made, the \
             base was newer than what the guest sees now"
                .to_owned(),
            keep_both(&intent.disk(&disk.target)?.disk),
        ),
        DiskCondition::Foreign { what } => (
            format!("it is not as its still point left it: {what}"),
            "nothing was changed; settle by hand which file it is to use, then run recover".to_owned(),
        ),
        _ => return None,
    };
    Some(Problem { target: Some(disk.target.clone()), what, remedy })
}

/// What to do where which of the two is newer isn't known.
pub(super) fn keep_both(disk: &IntendedDisk) -> String {
    format!(
        "keep both {} and {}; compare them with 'qemu-img compare', settle which the domain is to use, and define it so",
        disk.overlay.display(),
        disk.base.display()
    )
}
