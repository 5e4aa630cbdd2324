//! What the raw structures mean, validated and bounded.
//!
//! A value of this layer has been held against the rules of the specification and QEMU's limits
//! ([`limits`]). Every number from the image goes through checked arithmetic, and nothing is read before its
//! length was compared with a limit and with the length of the file.

mod bitmaps;
mod compressed;
mod extensions;
mod header;
pub mod limits;
mod luks;
mod mapping;
mod offset;
mod read;
mod snapshots;

pub use bitmaps::{Bitmap, BitmapError, BitmapFlags};
pub use compressed::DecompressError;
pub use extensions::{ExtensionError, Extensions, FeatureName, UnknownExtension};
pub use header::{
    BackingName, Compression, Encryption, Header, HeaderError, TableKind, TablePlace, UnknownFeature, Version,
};
pub use luks::{LuksError, LuksField, LuksHeader, LuksSlot};
pub use mapping::{Allocation, Cursor, Mapping, MappingError, Run};
pub use offset::{ClusterSize, GuestOffset, HostOffset};
pub use snapshots::{Snapshot, SnapshotError};

pub(crate) use bitmaps::read_bitmaps;
pub(crate) use compressed::Decompressor;
pub(crate) use read::{HeaderArea, TableReader, read_exact};
pub(crate) use snapshots::read_snapshots;
