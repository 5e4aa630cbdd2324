//! Which bricks make up a volume, and in which subvolumes.

mod bricks;
mod doubt;
mod graph;
mod load;
mod map;
mod name;
mod spec;

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

pub use bricks::BrickDir;
pub(crate) use bricks::smallest_gfids;
pub use doubt::Doubt;
pub use map::{BrickMap, BrickMapping};
pub use name::BrickName;

/// How the bricks of a subvolume hold its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum SubvolumeKind {
    /// One brick holds the files.
    Single,
    /// Each brick holds a copy of every file (AFR).
    Replicate,
    /// Each brick holds a fragment of every file; `redundancy` of them may be lost.
    Disperse {
        /// How many bricks may be lost.
        redundancy: u32,
    },
}

/// Where the knowledge of a topology comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// glusterd's directory of the volume: everything is known.
    Glusterd,
    /// `gluster volume info --xml`: AFR's names of the bricks are not known.
    VolumeInfo,
    /// A client's volfile: everything is known, the volume's id only of a replicated one.
    Volfile,
    /// Brick directories alone: DHT's order of the subvolumes is not known, nor what [`Topology::doubts`] tells.
    Bricks,
}

/// How DHT cuts a name before it hashes it (options `cluster.rsync-hash-regex` and `cluster.extra-hash-regex`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Munging {
    /// rsync's temporary names (`.NAME.XXXXXX`) hash as `NAME`.
    Default,
    /// Names are hashed as they are.
    Off,
    /// By an expression of the administrator's. Such names can't be predicted here; then no conclusion is
    /// drawn from a hash.
    Custom,
}

/// One brick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brick {
    /// `HOST:/path`, or the path alone where the host is not known, or what takes the place of a brick that must exist
    /// and was not given.
    pub name: BrickName,
    /// AFR's and DHT's name of it, `VOLUME-client-N`. N is not its position once a brick was removed or added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether it holds names and xattrs, but no data.
    pub arbiter: bool,
    /// Whether it is being removed from the volume.
    pub decommissioned: bool,
}

/// Bricks that hold the same files: DHT's unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subvolume {
    /// DHT's name of it, as link files have it: `VOLUME-replicate-K`, `VOLUME-client-N`, …; made up where
    /// it is not known.
    pub name: String,
    /// How its bricks hold the files.
    pub kind: SubvolumeKind,
    /// Its bricks, in the volume's order; at least one. Of a dispersed set's it is as [`order`](Self::order) says.
    pub bricks: Vec<Brick>,
    /// How the order of the bricks is known. It matters only where they hold fragments.
    pub order: Order,
}

/// How the order of a subvolume's bricks is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Order {
    /// The volume's description has it.
    Described,
    /// It isn't: the bricks are as they were given.
    Unknown,
    /// It is proven by what fragments decode to.
    Proven,
    /// It is the one in which the bricks were given, by the caller's word.
    Given,
}

/// A volume's bricks and what of its options matters to a reader.
///
/// Credentials that a description may hold are never taken over, so neither `Debug`, `Display` nor serde can
/// show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// The volume's name; its id where the name is not known, as it may be where [`origin`](Self::origin) is bricks.
    pub volume: String,
    /// The volume's id, which every brick's root carries.
    pub id: Option<Uuid>,
    /// Where this knowledge comes from.
    pub origin: Origin,
    /// The subvolumes in DHT's order; at least one.
    pub subvolumes: Vec<Subvolume>,
    /// How names are cut before they are hashed.
    pub munging: Munging,
}

impl Topology {
    /// The number of the subvolume that a link file means by `name`.
    ///
    /// With `performance.parallel-readdir` on, DHT stands on one readdir-ahead for each subvolume, and writes its
    /// name: `VOLUME-readdir-ahead-K` for subvolume K.
    #[must_use]
    pub fn subvolume_named(&self, name: &str) -> Option<usize> {
        let own = || self.subvolumes.iter().position(|subvolume| subvolume.name == name);
        let ahead = || {
            // Bricks alone don't tell DHT's order.
            if self.origin == Origin::Bricks {
                return None;
            }
            let number = name.strip_prefix(&self.volume)?.strip_prefix("-readdir-ahead-")?;
            number.parse().ok().filter(|number| *number < self.subvolumes.len())
        };
        own().or_else(ahead)
    }

    /// All bricks in the volume's order.
    pub fn bricks(&self) -> impl Iterator<Item = &Brick> {
        self.subvolumes.iter().flat_map(|subvolume| &subvolume.bricks)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {}", self.volume)?;
        if let Some(id) = self.id {
            write!(f, " ({id})")?;
        }
        for subvolume in &self.subvolumes {
            write!(f, "\n  {}:", subvolume.name)?;
            for brick in &subvolume.bricks {
                write!(f, " {}", brick.name)?;
                if brick.arbiter {
                    f.write_str(" (arbiter)")?;
                }
            }
        }
        Ok(())
    }
}
