//! What `qemu-img info` tells of an image, as data, as its JSON and as its text.
//!
//! [`ImageInfo`] has the fields of QEMU's own schema (`ImageInfo` in `qapi/block-core.json`), in the order in
//! which qemu-img 10 prints them. That order is of QEMU's hash table, not of the alphabet, and comes out the
//! same here: [`ImageInfo::to_json`] is byte for byte what `qemu-img info --output=json` prints, without the
//! last line feed, and [`ImageInfo::to_text`] what `qemu-img info` does. qemu-img's JSON reads back into it.
//!
//! Three facts may differ from qemu-img's for the same bytes: `actual-size` where the bytes are in no local
//! file; `extent-size-hint` of XFS, which is a fact of the open file and left out here; and in the text a name
//! that isn't UTF-8, which QEMU prints as it is.

mod gather;
mod json;
mod local;
mod model;
mod size;
mod specific;
mod text;

pub use gather::InfoOptions;
pub use json::chain_to_json;
pub(crate) use json::print as print_json;
pub use model::{ChildInfo, ImageInfo, SnapshotInfo};
pub(crate) use size::human;
pub use specific::{
    BitmapFlag, BitmapInfo, EncryptionInfo, FileInfo, FormatSpecific, LuksInfo, LuksSlotInfo, Qcow2Info,
};
pub use text::{chain_to_text, snapshots_to_text};
