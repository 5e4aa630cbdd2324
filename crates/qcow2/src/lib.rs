//! Reads qcow2 images.
//!
//! `stillpoint-qcow2` reads QEMU's disk image format: header, header extensions, feature bits, internal
//! snapshots, bitmaps, the LUKS header, the chain of backing files, and the guest's disk through all of that. It
//! needs no QEMU, takes no lock, writes nothing, and treats an image as input from outside.
//!
//! ```
//! use stillpoint_qcow2::{Image, info::ImageInfo};
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
//! The guest's disk, read through an overlay and the base below it:
//!
//! ```
//! use stillpoint_qcow2::{Below, Chain, ChainOptions, Disk, Source};
//! use stillpoint_storage::Storage;
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};
//! # let directory = tempfile::tempdir()?;
//! # let base = ImageBuilder::v3().size(1 << 20).cluster(1, ClusterSpec::Data(vec![7; 65536])).build();
//! # std::fs::write(directory.path().join("base.qcow2"), base)?;
//! # let top = ImageBuilder::v3().size(1 << 20).backing(b"base.qcow2", Some("qcow2")).build();
//! # let path = directory.path().join("top.qcow2");
//! # std::fs::write(&path, top)?;
//!
//! // Nothing that the image names is opened but what is below its own directory.
//! let policy = Below::directory_of(&path)?;
//! let chain = Chain::open(Source::open(&path)?, None, &policy, &ChainOptions::default())?;
//! assert_eq!(chain.layers().len(), 2);
//!
//! let disk = Disk::open(&chain, &policy)?;
//! let mut sector = [0; 512];
//! disk.read_exact_at(65536, &mut sector)?;
//! assert_eq!(sector, [7; 512]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the format is, from the first byte of a file to the last bit of a bitmap, the [`manual`] tells.
//!
//! # Layers
//!
//! * [`raw`]: structures as they are on disk, parsed with nom, no value judged;
//! * [`tables`]: the same validated: rules, QEMU's limits, offsets as types of their own;
//! * what is at the root of the crate, the views: [`Image`], [`Chain`], [`Disk`]; and what is made of them: [`info`],
//!   [`map`], [`check`], [`compare`] and [`measure`] tell what the verbs of `qemu-img` tell, [`extract`] writes a disk to a
//!   file of its own, [`inspect`] puts an image in plain words and judges a stranger's.
//!
//! # What an image names
//!
//! An image may name other files: a backing file, an external data file. Nothing of that is opened unless a
//! [`Resolver`] of the caller's opens it: [`DenyAll`], [`SameDirectory`], [`Below`] a directory, [`AnyFile`], or
//! one of your own. [`Chain`] finds loops by what the files are, not by their names, and has a bounded depth.
//!
//! # What is encrypted
//!
//! Guest data that is encrypted is refused by name, never handed out as it is stored, unless [`DiskOptions`] have
//! somebody who opens it: with the feature `luks`, which is on by default, `luks::Keyring` does so with
//! passphrases. Header, tables, map and check need no key.
//!
//! # What is damaged
//!
//! Is an error that names the place, and the file where it is in a backing file. [`LenientDisk`] goes on past it,
//! anywhere in the chain, with zeros in its place, and says what it skipped.
//!
//! # What hostile input can do
//!
//! Make [`Image::open`] fail with an [`Error`] that names the structure at fault. It can't cause a panic, and no
//! length that an image tells is believed before it was held against a limit ([`tables::limits`]) and the length
//! of the file. Memory is bounded by the file's own length, 64 MiB of snapshot table and 2 MiB of extensions; a
//! [`Disk`] adds for each layer an L1 table of at most 32 MiB, which the file must hold, and 16 MiB of L2 tables.
//!
//! # Where this is stricter than QEMU
//!
//! QEMU reads zeros past the end of the file; here a snapshot table, bitmap directory, LUKS header, L1 table, L2
//! table or cluster that isn't in the file is an error, since a file that was cut is not what it was. A backing
//! file's format is not guessed unless asked for. More than 4096 header extensions, two bitmaps of one name, and
//! LUKS key slots that overlap only when numbers don't go round are refused.
#![forbid(unsafe_code)]

mod causes;
pub mod check;
pub mod compare;
mod error;
pub mod extract;
pub mod info;
pub mod inspect;
#[cfg(feature = "luks")]
pub mod luks;
pub mod manual;
pub mod map;
pub mod measure;
mod name;
mod parallel;
pub mod raw;
pub mod tables;
mod views;
mod windows;

pub use causes::with_causes;
pub use error::Error;
pub use name::Name;
pub use views::{
    AnyFile, Below, Chain, ChainError, ChainOptions, Content, DenyAll, DirtyRange, DirtyRanges, Disk,
    DiskOptions, FileId, Format, GuestView, Image, Layer, LenientDisk, MAX_SKIPPED, Reference,
    ReferenceError, ReferenceKind, Resolver, SameDirectory, ScanOptions, SectorCipher, SkipReport, Skipped,
    Source, Target, Unlock, VmState, detect,
};
