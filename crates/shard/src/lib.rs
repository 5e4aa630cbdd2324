//! Reads files of a sharded GlusterFS volume straight from its bricks.
//!
//! Neither glusterd nor a mount is needed: a [`Topology`] says which bricks make up the volume, a [`BrickMap`]
//! where they are on this machine, and [`Volume::open_file`] puts a file together from its shards. The
//! [`ShardedFile`] is a [`Storage`](stillpoint_storage::Storage), so whatever reads a file reads it, too.
//!
//! *Unknown is not zero*: a shard that is on no brick reads as zeros only where that is proven, by good copies
//! of every subvolume that could hold it. Otherwise reading it is an error that names the bricks that are
//! missing. Nothing is ever written to a brick.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume, export};
//!
//! let topology = Topology::load("/var/lib/glusterd/vols/gv1", None)?;
//! let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default())?;
//! let disk = volume.open_file(&"vms/vm1.qcow2".parse()?)?;
//! println!("{} bytes in shards of {:?}", disk.size(), disk.shard_size());
//! export::copy_file(&disk, "/tmp/vm1.qcow2".as_ref(), &export::ExportOptions::default(), &mut |_| ControlFlow::Continue(()))?;
//! # Ok::<(), stillpoint_shard::ShardError>(())
//! ```
#![forbid(unsafe_code)]

pub mod audit;
mod cache;
pub mod disperse;
mod error;
pub mod export;
mod file;
mod finding;
pub mod raw;
pub mod replica;
mod set;
mod split_brain;
mod topology;
mod tree;
mod volume;

pub use error::{MissingBrick, ShardError};
pub use file::{
    FileOptions, Located, PresentShard, Remains, ShardCopy, ShardState, ShardedFile, SizeChoice, Standing,
};
pub use finding::Finding;
pub use split_brain::{Chooser, SplitBrain, SplitBrainChoice, SplitBrainCopy, SplitBrainOf};
pub use topology::{
    Brick, BrickDir, BrickMap, BrickMapping, BrickName, Doubt, Munging, Order, Origin, Subvolume,
    SubvolumeKind, Topology,
};
pub use volume::{Entry, EntryKind, FileRef, LeftOver, Names, OnChoice, OpenOptions, Volume, Walk};
