//! What a caller wants: an image, what it names outside of itself, and the chain of those.

mod chain;
mod disk;
mod format;
mod image;
mod policy;
mod reference;

pub(crate) use chain::whole_sectors;
pub use chain::{Chain, ChainError, ChainOptions, Content, Layer};
pub use disk::Disk;
pub use format::{Format, detect};
pub use image::Image;
pub use policy::{AnyFile, Below, DenyAll, FileId, Resolver, SameDirectory, Source};
pub(crate) use reference::full_name;
pub use reference::{Reference, ReferenceError, ReferenceKind, Target};
