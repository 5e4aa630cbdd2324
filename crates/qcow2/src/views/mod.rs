//! What a caller wants: an image, what it names outside of itself, and the chain of those.

mod chain;
mod decrypt;
mod dirty;
mod disk;
mod format;
mod gather;
mod guest;
mod image;
mod layer;
mod lenient;
mod missing;
mod policy;
mod reference;
mod scan;
mod vm_state;

pub(crate) use chain::whole_sectors;
pub use chain::{Chain, ChainError, ChainOptions, Content, Layer};
#[cfg(feature = "luks")]
pub(crate) use decrypt::SECTOR;
pub use decrypt::{SectorCipher, Unlock};
pub use dirty::{DirtyRange, DirtyRanges};
pub(crate) use disk::in_layer;
pub use disk::{Disk, DiskOptions};
pub use format::{Format, detect};
pub use guest::GuestView;
pub use image::Image;
pub use lenient::{LenientDisk, MAX_SKIPPED, SkipReport, Skipped};
pub use policy::{AnyFile, Below, DenyAll, FileId, Resolver, SameDirectory, Source};
pub(crate) use reference::full_name;
pub use reference::{Reference, ReferenceError, ReferenceKind, Target};
pub use scan::ScanOptions;
pub use vm_state::VmState;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stillpoint_storage::{FileStorage, Storage};

    use super::*;

    #[test]
    fn what_is_open_can_be_used_from_several_threads() {
        const fn shared<T: Send + Sync>() {}
        shared::<Image<FileStorage>>();
        shared::<Image<Arc<dyn Storage>>>();
        shared::<Image<Vec<u8>>>();
        shared::<Chain>();
        shared::<Source>();
        shared::<Disk>();
        shared::<GuestView>();
        shared::<LenientDisk>();
        shared::<VmState>();
        shared::<crate::map::GuestMap>();
        shared::<crate::Error>();
    }
}
