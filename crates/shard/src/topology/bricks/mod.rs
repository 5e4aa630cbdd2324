//! A topology from nothing but brick directories.

mod group;
mod infer;
mod look;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Brick, BrickName, Munging, Order, Origin, Subvolume, SubvolumeKind, Topology};
use crate::ShardError;
use group::Group;
use look::Own;
pub(crate) use look::smallest_gfids;

/// A brick that is given by its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrickDir {
    /// The directory.
    pub path: PathBuf,
    /// A dump of `getfattr -d -m- -e hex -R` to take the xattrs from instead of the file system.
    pub xattr_dump: Option<PathBuf>,
}

impl Topology {
    /// Makes a topology of brick directories alone, all of one volume: see [`from_bricks_of`](Self::from_bricks_of).
    ///
    /// # Errors
    /// As there; also when they are of several volumes.
    pub fn from_bricks<P: AsRef<Path>>(bricks: &[P]) -> Result<Self, ShardError> {
        Self::from_bricks_of(bricks, None)
    }

    /// As [`from_bricks_of`](Self::from_bricks_of), of directories of which some have their xattrs in a dump of
    /// `getfattr -d -m- -e hex -R`. The dumps have to be named again where the volume is opened:
    /// [`BrickMap::with_xattr_dump`](super::BrickMap::with_xattr_dump).
    ///
    /// # Errors
    /// As there, and when a dump can't be read or is of another brick.
    pub fn from_brick_dirs(bricks: &[BrickDir], volume: Option<&str>) -> Result<Self, ShardError> {
        let own = bricks.iter().map(|brick| Own::of(&brick.path, brick.xattr_dump.as_deref()));
        Self::of_own(own.collect::<Result<_, _>>()?, volume)
    }

    /// Makes a topology of those brick directories that are of `volume`, its name or its id; of all, if they are of
    /// one volume.
    ///
    /// Bricks with the same DHT layout are a set. What bricks prove about each other is found: bricks that were not
    /// given and must exist, since hashes belong to nobody or since a set is smaller than others; which of
    /// them AFR's counters mean, where it is certain; arbiters that have no byte where others have; the shape of a
    /// dispersed set, but not the order of its bricks. Bricks that hold nothing yet, as those of a set that was added a
    /// moment ago, make sets of their own. What they don't tell stays unknown
    /// ([`doubts`](Self::doubts)), and becomes an error where it matters. That a whole subvolume is left out does not show
    /// if no hash belongs to it any more, as when it is being removed: give all bricks.
    ///
    /// # Errors
    /// When a directory is no brick, they are of several volumes and it was not said which or not one of them, or
    /// their layouts contradict each other.
    pub fn from_bricks_of<P: AsRef<Path>>(bricks: &[P], volume: Option<&str>) -> Result<Self, ShardError> {
        let own = bricks.iter().map(|path| Own::of(path.as_ref(), None));
        Self::of_own(own.collect::<Result<_, _>>()?, volume)
    }

    fn of_own(bricks: Vec<Own>, volume: Option<&str>) -> Result<Self, ShardError> {
        let mut volumes: BTreeMap<Uuid, Vec<Own>> = BTreeMap::new();
        for own in bricks {
            volumes.entry(own.volume_id).or_default().push(own);
        }
        if volumes.is_empty() {
            return Err(ShardError::Spec {
                what: "the list of bricks".to_owned(),
                problem: "it is empty".to_owned(),
            });
        }
        let name =
            |id: &Uuid, found: &[Own]| infer::volume_name(found.iter()).unwrap_or_else(|| id.to_string());
        let asked_for = |id: &Uuid, found: &[Own]| {
            volume.is_none_or(|asked| asked == name(id, found) || asked.parse() == Ok(*id))
        };
        let mut meant: Vec<Uuid> = Vec::new();
        meant.extend(volumes.iter().filter(|(id, found)| asked_for(id, found)).map(|(id, _)| *id));
        let [id] = meant.as_slice() else {
            let have = volumes.iter().map(|(id, found)| match name(id, found) {
                name if name == id.to_string() => name,
                name => format!("{name} ({id})"),
            });
            return Err(ShardError::NoSuchVolume { asked: volume.map(str::to_owned), have: have.collect() });
        };
        let mut found = volumes.remove(id).unwrap_or_default();
        let volume = name(id, &found);
        let mut blank = group::take_blank(&mut found);
        // Of a volume that nothing was ever written to each brick stands by itself.
        if found.is_empty() {
            found.append(&mut blank);
        }
        let groups = group::group(found)?;
        let subvolumes = subvolumes(&volume, groups, blank)?;
        Ok(Self { volume, id: Some(*id), origin: Origin::Bricks, subvolumes, munging: Munging::Default })
    }
}

/// Makes subvolumes of the groups and of bricks that hold nothing yet, with places for what is missing.
fn subvolumes(
    volume: &str,
    mut groups: Vec<Group>,
    mut blank: Vec<Own>,
) -> Result<Vec<Subvolume>, ShardError> {
    let gaps = group::gaps(&groups);
    let kind = kind(volume, &groups)?;
    let size = match kind {
        Kind::Dispersed { bricks, .. } => bricks,
        Kind::Copies => groups.iter().map(|group| group.bricks.len()).max().unwrap_or(1),
    };
    while !blank.is_empty() {
        let bricks = blank.drain(..size.clamp(1, blank.len())).collect();
        groups.push(Group { shard: None, root: None, bricks });
    }
    let mut subvolumes = Vec::with_capacity(groups.len() + gaps.len());
    for (number, group) in groups.into_iter().enumerate() {
        let name = format!("subvolume-{number}");
        let (clients, arbiter) = match kind {
            Kind::Copies => (infer::clients(&group.bricks), infer::arbiter(&group.bricks)),
            Kind::Dispersed { .. } => (vec![None; group.bricks.len()], None),
        };
        let given = group.bricks.len();
        if given > size {
            let what = format!("{name} would have {given} bricks, though its files are in {size} fragments");
            return Err(ShardError::Unsupported { volume: volume.to_owned(), what });
        }
        let bricks = group.bricks.into_iter().zip(clients).enumerate().map(|(i, (own, client))| Brick {
            name: own.name,
            client,
            arbiter: arbiter == Some(i),
            decommissioned: false,
        });
        let bricks = bricks.chain((given..size).map(|i| not_given(&name, i))).collect();
        subvolumes.push(Subvolume { kind: kind.of_set(), bricks, name, order: Order::Unknown });
    }
    for (start, stop) in gaps {
        let name = format!("the subvolume of hashes {start:08x} to {stop:08x}");
        let bricks = (0..size).map(|i| not_given(&name, i)).collect();
        subvolumes.push(Subvolume { kind: kind.of_set(), bricks, name, order: Order::Unknown });
    }
    Ok(subvolumes)
}

fn not_given(subvolume: &str, number: usize) -> Brick {
    Brick {
        name: BrickName::not_given(subvolume, number),
        client: None,
        arbiter: false,
        decommissioned: false,
    }
}

/// How all sets of a volume hold their files.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Whole, as often as there are bricks. One brick alone may be of a replica set all the same.
    Copies,
    /// In fragments.
    Dispersed { bricks: usize, redundancy: u32 },
}

impl Kind {
    const fn of_set(self) -> SubvolumeKind {
        match self {
            Self::Copies => SubvolumeKind::Replicate,
            Self::Dispersed { redundancy, .. } => SubvolumeKind::Disperse { redundancy },
        }
    }
}

fn kind(volume: &str, groups: &[Group]) -> Result<Kind, ShardError> {
    let unsupported =
        |what: &str| ShardError::Unsupported { volume: volume.to_owned(), what: what.to_owned() };
    let bricks = || groups.iter().flat_map(|group| &group.bricks);
    if !bricks().any(|own| own.dispersed) {
        return Ok(Kind::Copies);
    }
    let mut configs = bricks().filter_map(|own| own.ec);
    let Some(first) = configs.next() else {
        return Err(unsupported(
            "it is dispersed, and no file on the bricks tells over how many bricks (trusted.ec.config); describe it by \
             glusterd's directory of it",
        ));
    };
    if configs.any(|other| (other.bricks, other.redundancy) != (first.bricks, first.redundancy)) {
        return Err(unsupported("its bricks tell different numbers of fragments (trusted.ec.config)"));
    }
    if first.redundancy == 0 || u32::from(first.redundancy) * 2 >= u32::from(first.bricks) {
        return Err(unsupported("its files are in fragments of numbers that can't be (trusted.ec.config)"));
    }
    Ok(Kind::Dispersed { bricks: usize::from(first.bricks), redundancy: u32::from(first.redundancy) })
}
