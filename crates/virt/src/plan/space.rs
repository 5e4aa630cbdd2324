//! Whether overlays have room to grow.
//!
//! An overlay takes what the guest writes until its commit is over, at most its whole disk. Without room, the guest's
//! writes fail and it is paused.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::PlannedDisk;
use crate::{DomainId, Hypervisor};

/// Room for less than this part of the disks, in percent, is refused.
const REFUSED: u64 = 1;
/// Room for less than this part of the disks, in percent, is warned of.
const WARNED: u64 = 10;

/// What is short of room.
pub(super) struct Short {
    pub(super) what: String,
    pub(super) refused: bool,
}

/// The file systems on which there is little room for the overlays, and disks of which that can't be told.
pub(super) fn short(hypervisor: &dyn Hypervisor, id: &DomainId, disks: &[PlannedDisk]) -> Vec<Short> {
    let mut found = Vec::new();
    // By the file system: free bytes, bytes of the disks, a directory on it.
    let mut places: BTreeMap<u64, (u64, u64, &Path)> = BTreeMap::new();
    for PlannedDisk { disk, .. } in disks {
        let directory = disk.overlay.parent().unwrap_or(Path::new("/"));
        // That the directory can't be seen is found elsewhere.
        let (Ok(metadata), Ok(room)) = (directory.metadata(), rustix::fs::statvfs(directory)) else {
            continue;
        };
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let capacity = match hypervisor.capacity(id, &disk.target) {
            Ok(capacity) => capacity,
            Err(error) => {
                let what = format!("the size of disk {} isn't told: {error}", disk.target);
                found.push(Short { what, refused: false });
                continue;
            }
        };
        let place = places.entry(metadata.dev()).or_insert((free, 0, directory));
        place.1 = place.1.saturating_add(capacity);
    }
    found.extend(places.into_values().filter_map(|(free, size, directory)| judged(free, size, directory)));
    found
}

fn judged(free: u64, size: u64, directory: &Path) -> Option<Short> {
    let less_than = |percent: u64| free < size / 100 * percent;
    less_than(WARNED).then(|| Short {
        what: format!(
            "{} has {} MiB free for the overlays of disks of {} MiB",
            directory.display(),
            free >> 20,
            size >> 20
        ),
        refused: less_than(REFUSED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_tenth_is_warned_of_and_less_than_a_hundredth_refused() {
        let judged = |free: u64| judged(free << 20, 100 << 30, Path::new("/gv")).map(|short| short.refused);
        assert_eq!(judged(11 << 10), None);
        assert_eq!(judged(9 << 10), Some(false));
        assert_eq!(judged(1000), Some(true));
        assert_eq!(judged(0), Some(true));
    }
}
