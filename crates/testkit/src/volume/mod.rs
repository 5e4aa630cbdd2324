//! Builds brick trees as glusterd and its bricks would leave them on disk.
//!
//! A [`BrickTrees`] is a small volume that takes writes, truncations and punched holes, and keeps AFR's counters
//! while bricks are down. What it leaves on disk is written from the format's description; nothing of the reader
//! is used, not even the hash.
//!
//! ```
//! use stillpoint_testkit::volume::{BrickTrees, Shape};
//!
//! let dir = tempfile::tempdir()?;
//! let mut volume = BrickTrees::create(dir.path(), Shape { subvolumes: 2, replicas: 2, ..Shape::default() })?;
//! volume.create_file("vm.raw")?;
//! volume.write("vm.raw", 0, b"first shard, that is the base")?;
//! volume.write("vm.raw", volume.shape().shard_size, b"second shard")?;
//! volume.save()?;
//! assert!(volume.brick(0).join("vm.raw").exists() != volume.brick(2).join("vm.raw").exists());
//! # Ok::<(), std::io::Error>(())
//! ```

mod attributes;
mod damage;
mod deleted;
mod disperse;
mod encode;
mod files;
mod glusterd;
mod hash;
mod sparse;
mod symlinks;
mod trees;

pub use attributes::KeptIn;
pub use encode::fragment;
pub use hash::name_hash;
pub use trees::{BrickTrees, Change, Shape};
