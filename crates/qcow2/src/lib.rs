//! Reads qcow2 images.
//!
//! `stillpoint-qcow2` reads what QEMU's disk image format keeps besides the guest's data: header, header
//! extensions, feature bits, internal snapshots, bitmaps, the LUKS header, and the chain of backing files. It
//! needs no QEMU, takes no lock, writes nothing, and treats an image as input from outside.
//!
//! ```
//! use stillpoint_qcow2::{DenyAll, Image, info::ImageInfo};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("disk.qcow2");
//! # std::fs::write(&path, stillpoint_testkit::image::ImageBuilder::v3().size(64 << 20).build())?;
//!
//! let storage = stillpoint_storage::FileStorage::open(&path)?;
//! let image = Image::open(&storage)?;
//! assert_eq!(image.virtual_size(), 64 << 20);
//! assert!(image.snapshots().is_empty());
//!
//! // What `qemu-img info --output=json` says, to the byte.
//! let info = ImageInfo::of_image(&image, &path.as_path().into())?;
//! assert!(info.to_json().contains(r#""virtual-size": 67108864"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//!
//! * [`raw`]: structures as they are on disk, parsed with nom, no value judged;
//! * [`tables`]: the same validated: rules, QEMU's limits, offsets as types of their own;
//! * what is at the root of the crate, the views: [`Image`], [`Chain`], and [`info`], which tells of an image
//!   what `qemu-img info` tells.
//!
//! # What an image names
//!
//! An image may name other files: a backing file, an external data file. Nothing of that is opened unless a
//! [`Resolver`] of the caller's opens it: [`DenyAll`], [`SameDirectory`], [`Below`] a directory, [`AnyFile`], or
//! one of your own. [`Chain`] finds loops by what the files are, not by their names, and has a bounded depth.
//!
//! # What hostile input can do
//!
//! Make [`Image::open`] fail with an [`Error`] that names the structure at fault. It can't cause a panic, and no
//! length that an image tells is believed before it was held against a limit ([`tables::limits`]) and the length
//! of the file. Memory is bounded by the file's own length, 64 MiB of snapshot table and 2 MiB of extensions.
#![forbid(unsafe_code)]

mod error;
pub mod info;
mod name;
pub mod raw;
pub mod tables;
mod views;

pub use error::Error;
pub use name::Name;
pub use views::{
    AnyFile, Below, Chain, ChainError, ChainOptions, Content, DenyAll, Disk, FileId, Format, Image, Layer,
    Reference, ReferenceError, ReferenceKind, Resolver, SameDirectory, Source, Target, detect,
};
