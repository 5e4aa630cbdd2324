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
