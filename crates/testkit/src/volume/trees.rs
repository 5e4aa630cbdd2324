//! The volume and its bricks.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::attributes::{Attributes, KeptIn};
use super::hash::name_hash;

/// What a volume is to look like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The volume's name.
    pub name: String,
    /// How many subvolumes names are distributed over; at least 1.
    pub subvolumes: usize,
    /// How many bricks each subvolume has; at least 1.
    pub replicas: usize,
    /// How many of a subvolume's bricks may be lost where they hold fragments, less than half of them; 0 where each
    /// holds a copy.
    pub redundancy: usize,
    /// Whether the last brick of each subvolume holds no data. Takes three replicas.
    pub arbiter: bool,
    /// Bytes in a shard; a multiple of 512. Smaller than Gluster would take, so that tests stay small.
    pub shard_size: u64,
    /// By how many subvolumes `/.shard`'s layout is turned against the root's.
    pub rotation: usize,
    /// N of `VOLUME-client-N` for each brick; by position where empty.
    pub client_numbers: Vec<usize>,
    /// Where the xattrs are kept.
    pub kept_in: KeptIn,
}

impl Default for Shape {
    /// `gv1`: one brick, shards of 4 KiB, xattrs in dumps.
    fn default() -> Self {
        Self {
            name: "gv1".to_owned(),
            subvolumes: 1,
            replicas: 1,
            redundancy: 0,
            arbiter: false,
            shard_size: 4096,
            rotation: 1,
            client_numbers: Vec::new(),
            kept_in: KeptIn::Dump,
        }
    }
}

/// What one of AFR's counters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Changes of content.
    Data,
    /// Changes of xattrs.
    Metadata,
    /// Changes of a directory's names.
    Entry,
}

#[derive(Debug)]
pub(super) struct Brick {
    pub(super) dir: PathBuf,
    pub(super) attributes: Attributes,
    pub(super) up: bool,
}

/// A volume's bricks on disk.
#[derive(Debug)]
pub struct BrickTrees {
    pub(super) shape: Shape,
    pub(super) id: Uuid,
    pub(super) bricks: Vec<Brick>,
    /// Each file's gfid, by path.
    pub(super) files: BTreeMap<String, Uuid>,
    /// Each dispersed file's and shard's gfid and what it holds, by path.
    pub(super) contents: BTreeMap<String, (Uuid, Vec<u8>)>,
    /// How often each dispersed file, shard and directory was changed, by subvolume and path: its data or names, its
    /// xattrs.
    pub(super) versions: BTreeMap<(usize, String), [u64; 2]>,
    gfids: u128,
}

pub(super) const SHARDS: &str = ".shard";
const SHARD_DIR: Uuid = Uuid::from_u128(0xbe31_8638_e8a0_4c6d_977d_7a93_7aa8_4806);

impl BrickTrees {
    /// Makes empty bricks `b0`, `b1`, … in `dir`, those of a subvolume next to each other.
    ///
    /// # Errors
    /// When they can't be written.
    ///
    /// # Panics
    /// When the shape makes no sense.
    pub fn create(dir: &Path, shape: Shape) -> io::Result<Self> {
        assert!(shape.subvolumes > 0 && shape.replicas > 0, "a volume without bricks");
        assert!(!shape.arbiter || shape.replicas == 3, "an arbiter is the third of three");
        assert!(shape.redundancy == 0 || !shape.arbiter, "fragments have no arbiter");
        assert!(
            shape.redundancy == 0 || 2 * shape.redundancy < shape.replicas,
            "fewer than half of a set's fragments may be lost"
        );
        assert!(shape.shard_size > 0 && shape.shard_size.is_multiple_of(512), "a shard is some blocks");
        let count = shape.subvolumes * shape.replicas;
        assert!(shape.client_numbers.is_empty() || shape.client_numbers.len() == count, "a number each");
        let mut bricks = Vec::with_capacity(count);
        for number in 0..count {
            let dir = dir.join(format!("b{number}"));
            std::fs::create_dir(&dir)?;
            bricks.push(Brick { attributes: Attributes::new(&dir, shape.kept_in), dir, up: true });
        }
        let id = Uuid::from_u128(0x57_1117_0000_0000_0000_0000_0000_1234);
        let mut volume = Self {
            shape,
            id,
            bricks,
            files: BTreeMap::new(),
            contents: BTreeMap::new(),
            versions: BTreeMap::new(),
            gfids: 0,
        };
        let root = Uuid::from_u128(1);
        for number in 0..count {
            volume.set_xattr(number, "", "trusted.glusterfs.volume-id", id.as_bytes())?;
            volume.set_xattr(number, "", "trusted.gfid", root.as_bytes())?;
            volume.link_directory(number, root, "../../..")?;
        }
        volume.lay_out("", 0)?;
        for number in 0..count {
            std::fs::create_dir(volume.bricks[number].dir.join(SHARDS))?;
            volume.set_xattr(number, SHARDS, "trusted.gfid", SHARD_DIR.as_bytes())?;
            volume.link_directory(number, SHARD_DIR, &format!("../../00/00/{root}/{SHARDS}"))?;
        }
        volume.lay_out(SHARDS, volume.shape.rotation)?;
        volume.begin_directory("")?;
        volume.begin_directory(SHARDS)?;
        Ok(volume)
    }

    /// Makes a directory, on all subvolumes; the parent has to exist.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn create_directory(&mut self, path: &str) -> io::Result<()> {
        let gfid = self.new_gfid();
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        for number in 0..self.bricks.len() {
            std::fs::create_dir(self.bricks[number].dir.join(path))?;
            self.set_xattr(number, path, "trusted.gfid", gfid.as_bytes())?;
            let above = self.xattr(number, parent, "trusted.gfid")?.unwrap_or_default();
            let above = Uuid::from_slice(&above).map_err(io::Error::other)?.to_string();
            let target = format!("../../{}/{}/{above}/{name}", &above[..2], &above[2..4]);
            self.link_directory(number, gfid, &target)?;
        }
        self.begin_directory(path)?;
        self.lay_out(path, 0)
    }

    /// Writes the dumps of xattrs, where that is where they are kept.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn save(&self) -> io::Result<()> {
        self.bricks.iter().try_for_each(|brick| brick.attributes.save())
    }

    /// The shape as it was asked for.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The volume's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How many bricks there are.
    #[must_use]
    pub fn brick_count(&self) -> usize {
        self.bricks.len()
    }

    /// The directory of a brick.
    ///
    /// # Panics
    /// When there is no such brick.
    #[must_use]
    pub fn brick(&self, number: usize) -> &Path {
        &self.bricks[number].dir
    }

    /// Takes a brick down, or up again. While it is down it misses what is done, and the others count that.
    ///
    /// # Panics
    /// When there is no such brick.
    pub fn set_up(&mut self, number: usize, up: bool) {
        self.bricks[number].up = up;
    }

    /// The numbers of a subvolume's bricks.
    pub fn members(&self, subvolume: usize) -> std::ops::Range<usize> {
        let replicas = self.shape.replicas;
        subvolume * replicas..(subvolume + 1) * replicas
    }

    /// Whether a brick is an arbiter.
    #[must_use]
    pub fn is_arbiter(&self, number: usize) -> bool {
        self.shape.arbiter && number % self.shape.replicas == self.shape.replicas - 1
    }

    /// The subvolume where DHT places `name` in the directory at `parent`.
    ///
    /// # Errors
    /// When the layouts can't be read.
    pub fn hashed_subvolume(&self, parent: &str, name: &str) -> io::Result<usize> {
        let hash = name_hash(name);
        for subvolume in 0..self.shape.subvolumes {
            let number = self.members(subvolume).start;
            let layout = self.bricks[number].attributes.get(Path::new(parent), "trusted.glusterfs.dht")?;
            let layout = layout.unwrap_or_default();
            let word = |at: usize| {
                layout
                    .get(at..at + 4)
                    .map_or(0, |bytes| bytes.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)))
            };
            let (start, stop) = (word(8), word(12));
            if start != stop && (start..=stop).contains(&hash) {
                return Ok(subvolume);
            }
        }
        Err(io::Error::other("no subvolume has the hash"))
    }

    /// `VOLUME-client-N` of a brick.
    #[must_use]
    pub fn client(&self, number: usize) -> String {
        let n = self.shape.client_numbers.get(number).copied().unwrap_or(number);
        format!("{}-client-{n}", self.shape.name)
    }

    /// DHT's name of a subvolume.
    #[must_use]
    pub fn subvolume(&self, number: usize) -> String {
        if self.shape.replicas == 1 {
            return self.client(number);
        }
        let kind = if self.is_dispersed() { "disperse" } else { "replicate" };
        format!("{}-{kind}-{number}", self.shape.name)
    }

    /// Gives a directory its layout: the subvolumes get equal parts in order, turned by `rotation`.
    pub(super) fn lay_out(&mut self, path: &str, rotation: usize) -> io::Result<()> {
        let count = self.shape.subvolumes;
        let part = u32::MAX / count as u32;
        for subvolume in 0..count {
            let turn = ((subvolume + rotation) % count) as u32;
            let start = turn * part;
            let stop = if turn as usize == count - 1 { u32::MAX } else { start + part - 1 };
            for number in self.members(subvolume) {
                self.set_layout(number, path, start, stop)?;
            }
        }
        Ok(())
    }

    /// Sets a directory's range of hashes on one brick.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_layout(&mut self, number: usize, path: &str, start: u32, stop: u32) -> io::Result<()> {
        let mut layout = vec![0; 8];
        layout.extend_from_slice(&start.to_be_bytes());
        layout.extend_from_slice(&stop.to_be_bytes());
        self.set_xattr(number, path, "trusted.glusterfs.dht", &layout)
    }

    pub(super) fn new_gfid(&mut self) -> Uuid {
        self.gfids += 1;
        Uuid::from_u128(0x6f1d_0000_0000_4000_8000_0000_0000_0000 + self.gfids)
    }

    /// A handle that is a symbolic link, as directories have.
    fn link_directory(&self, number: usize, gfid: Uuid, target: &str) -> io::Result<()> {
        let handle = self.handle(number, gfid)?;
        std::os::unix::fs::symlink(target, handle)
    }

    /// The path of a gfid's handle, its directory made.
    pub(super) fn handle(&self, number: usize, gfid: Uuid) -> io::Result<PathBuf> {
        let text = gfid.to_string();
        let dir = self.bricks[number].dir.join(".glusterfs").join(&text[..2]).join(&text[2..4]);
        std::fs::create_dir_all(&dir)?;
        Ok(dir.join(text))
    }
}
