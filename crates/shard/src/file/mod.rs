//! One file of a volume, put together from its shards.

mod compared;
mod index;
mod open;
mod opened;
mod options;
mod part;
mod rank;
mod read;
mod remains;
mod state;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::ShardError;
use crate::finding::{Finding, Findings};
use crate::set::{Held, Seen};
use crate::tree::Directory;
use crate::volume::{FileRef, Inner, Place, Resolved};

pub(crate) use compared::Compared;
use index::ShardIndex;
pub(crate) use index::number as shard_number;
pub(crate) use open::Stat;
pub use options::{FileOptions, Remains, SizeChoice};
pub(crate) use rank::Ranked;
use remains::Gone;
pub use state::{Located, PresentShard, ShardCopy, ShardState, Standing};

/// A file of a volume, read from its bricks: a [`Storage`](stillpoint_storage::Storage).
///
/// Which copy of a shard is read is decided when the shard is first needed, by its own xattrs, and kept.
/// Threads may read at the same time. The volume must not be written to meanwhile.
///
/// ```
/// use stillpoint_shard::{BrickMap, OpenOptions, ShardState, Topology, Volume};
/// use stillpoint_storage::{ExtentKind, Storage, extents};
/// use stillpoint_testkit::volume::{BrickTrees, Shape};
///
/// let dir = tempfile::tempdir()?;
/// let mut built = BrickTrees::create(dir.path(), Shape { replicas: 2, shard_size: 64 << 10, ..Shape::default() })?;
/// built.create_file("disk")?;
/// built.write("disk", 0, &[7; 5000])?;
/// // Nothing is written to the second shard.
/// built.write("disk", 128 << 10, b"the third shard")?;
/// built.save()?;
///
/// let topology = Topology::from_bricks(&[built.brick(0), built.brick(1)])?;
/// let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default())?;
/// let disk = volume.open_file(&"disk".parse()?)?;
/// assert_eq!((disk.shard_count(), disk.shard_size()), (3, Some(64 << 10)));
/// assert_eq!(disk.shard(1)?, ShardState::Hole);
///
/// let mut piece = [0; 9];
/// disk.read_exact_at((128 << 10) + 4, &mut piece)?;
/// assert_eq!(&piece, b"third sha");
/// let holes = extents(&disk).filter(|extent| extent.as_ref().is_ok_and(|extent| extent.kind == ExtentKind::Hole));
/// assert!(holes.count() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ShardedFile {
    inner: Arc<Inner>,
    /// Tells this file's shards from other files' in the cache.
    id: u64,
    name: FileRef,
    gfid: Uuid,
    size: u64,
    /// `None` where the file is not sharded.
    shard_size: Option<u64>,
    base: Place,
    /// Set where the base is gone, and `base` leads to nothing.
    gone: Option<Gone>,
    index: ShardIndex,
    /// Whether a name that no brick has is proven to be absent.
    absence_is_proven: bool,
    /// Why it has had shards, though no brick has any of any file.
    shards_lost: Option<String>,
    /// Shards that are on a brick without their name, where these were looked for.
    nameless: BTreeSet<u64>,
    /// For the base, then for each shard of the index: which brick is read, see [`Choice`].
    choices: Vec<AtomicU32>,
    findings: Findings,
    allocated: OnceLock<Option<u64>>,
}

/// Which brick a shard is read from, in four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Not decided yet.
    Open,
    /// There is no such shard, though a brick that has missed its deletion has one.
    Hole,
    /// The brick of that number in the set of that number.
    Brick(u16, u16),
}

impl Choice {
    const HOLE: u32 = u32::MAX;

    fn pack(self) -> u32 {
        match self {
            Self::Open => 0,
            Self::Hole => Self::HOLE,
            // Both numbers at their limit would be HOLE; then the choice is made anew each time.
            Self::Brick(set, member) => ((u32::from(set) << 16) | u32::from(member))
                .checked_add(1)
                .filter(|n| *n != Self::HOLE)
                .unwrap_or(0),
        }
    }

    const fn unpack(packed: u32) -> Self {
        match packed {
            0 => Self::Open,
            Self::HOLE => Self::Hole,
            n => Self::Brick(((n - 1) >> 16) as u16, ((n - 1) & 0xffff) as u16),
        }
    }
}

impl ShardedFile {
    /// The file's gfid.
    #[must_use]
    pub const fn gfid(&self) -> Uuid {
        self.gfid
    }

    /// The file's size in bytes, as its base's xattr has it; the length where it is not sharded.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in a shard, or `None` where the file is not sharded.
    #[must_use]
    pub const fn shard_size(&self) -> Option<u64> {
        self.shard_size
    }

    /// How many shards the size makes, the base counted as the first; 0 for an empty file, 1 for one that is not
    /// sharded.
    #[must_use]
    pub const fn shard_count(&self) -> u64 {
        count(self.size, self.span())
    }

    /// How the file was named when it was opened.
    #[must_use]
    pub const fn name(&self) -> &FileRef {
        &self.name
    }

    /// What was found odd so far. Shards that were not looked at yet may add to it.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.findings.all()
    }

    /// Shard `index` as the bricks have it: 0 is the base.
    ///
    /// # Errors
    /// When there is no such shard, or it is not known what it holds, its copies are in split-brain, or they can't
    /// be read.
    pub fn shard(&self, index: u64) -> Result<ShardState, ShardError> {
        if index >= self.shard_count() {
            return Err(ShardError::NoSuchShard {
                what: self.name.to_string(),
                index,
                count: self.shard_count(),
            });
        }
        Ok(match self.ranked(index)? {
            None => ShardState::Hole,
            Some(ranked) => ShardState::Present(self.present(index, &ranked)),
        })
    }

    /// Which shard holds the byte at `offset`, where in it, and where that shard is.
    ///
    /// # Errors
    /// As [`shard`](Self::shard); `offset` has to lie before the end.
    pub fn locate(&self, offset: u64) -> Result<Located, ShardError> {
        let index = offset / self.span();
        if offset >= self.size {
            return Err(ShardError::NoSuchShard {
                what: self.name.to_string(),
                index,
                count: self.shard_count(),
            });
        }
        Ok(Located { offset, shard: index, offset_in_shard: offset % self.span(), state: self.shard(index)? })
    }

    /// Bytes in a shard; as good as all where the file is not sharded.
    const fn span(&self) -> u64 {
        match self.shard_size {
            Some(size) => size,
            None => u64::MAX,
        }
    }

    fn what(&self, index: u64) -> String {
        match self.shard_size {
            Some(_) => format!("shard {index} of {} ({})", self.name, self.gfid),
            None => format!("{} ({})", self.name, self.gfid),
        }
    }

    /// The name of a shard in its directory.
    fn shard_name(&self, index: u64) -> PathBuf {
        if index == 0 { self.base.name.clone() } else { PathBuf::from(format!("{}.{index}", self.gfid)) }
    }

    /// The directory of a shard on a brick.
    fn directory(&self, index: u64, set: usize, member: usize) -> Option<&Directory> {
        let dirs = if index == 0 { &self.base.dirs } else { &self.inner.shard_dirs };
        dirs.get(set)?.members.get(member)?.as_ref()
    }

    fn choice(&self, index: u64) -> Option<&AtomicU32> {
        if index == 0 {
            return self.choices.first();
        }
        self.choices.get(self.index.position(index)?.checked_add(1)?)
    }

    /// A shard's copies, ranked; `None` for a hole. Decides by the xattrs of every copy, and keeps the choice.
    fn ranked(&self, index: u64) -> Result<Option<Ranked>, ShardError> {
        let what = || self.what(index);
        if let (0, Some(gone)) = (index, &self.gone) {
            return Err(gone.base_unknown(what()));
        }
        let resolved = if index == 0 {
            self.inner.look_everywhere(&self.base, false, &what)?
        } else {
            self.look_for_shard(index)?
        };
        let (set, copies, findings) = match resolved {
            Resolved::File { set, copies, findings } => (set, copies, findings),
            // The base was there when the file was opened.
            Resolved::Nothing if index == 0 => return Err(self.changed(index)),
            Resolved::Nothing => {
                self.may_be_deleted(index)?;
                self.keep(index, Choice::Hole);
                return Ok(None);
            }
        };
        if index == 0 && copies.gfid != self.gfid {
            return Err(self.changed(index));
        }
        let ranked = self.inner.rank(set, copies, &what)?;
        self.inner.note(&self.findings, findings);
        self.note(index, &ranked);
        // Which fragments are read is seen anew when a shard is opened again: their xattrs tell its size, too.
        if let (None, &[chosen]) = (ranked.coded, ranked.chosen())
            && let (Ok(set), Ok(member)) = (u16::try_from(set), u16::try_from(chosen))
        {
            self.keep(index, Choice::Brick(set, member));
        }
        Ok(Some(ranked))
    }

    fn keep(&self, index: u64, choice: Choice) {
        if let Some(kept) = self.choice(index) {
            kept.store(choice.pack(), Ordering::Relaxed);
        }
    }

    fn look_for_shard(&self, index: u64) -> Result<Resolved, ShardError> {
        match self.look_on_bricks(index, true) {
            // Moved since the names were gathered: a rebalance is under way.
            Err(ShardError::Changed { .. } | ShardError::DanglingLinkto { .. }) => {
                match self.look_on_bricks(index, false)? {
                    Resolved::Nothing => Err(self.changed(index)),
                    found => Ok(found),
                }
            }
            looked => looked,
        }
    }

    /// Looks for a shard on every brick, or only on those that had it when the names were gathered.
    fn look_on_bricks(&self, index: u64, only_listed: bool) -> Result<Resolved, ShardError> {
        let what = || self.what(index);
        let name = self.shard_name(index);
        let dirs = &self.inner.shard_dirs;
        let mut held = Vec::with_capacity(dirs.len());
        for (s, (set, dir)) in self.inner.sets.iter().zip(dirs).enumerate() {
            let mut seen = Vec::with_capacity(dir.members.len());
            for (i, member) in dir.members.iter().enumerate() {
                seen.push(match (set.tree(i), member) {
                    (None, _) => Seen::NotLooked,
                    (Some(_), Some(member)) if !only_listed || self.index.has(s, i, index) => {
                        match set.look(i, member, &name, false)? {
                            Seen::Absent if only_listed => return Err(self.changed(index)),
                            seen => seen,
                        }
                    }
                    (Some(_), _) => Seen::Absent,
                });
            }
            held.push(set.judge(dir, seen, &what)?);
        }
        let hash = self.inner.hash(name.as_os_str().as_encoded_bytes());
        self.inner.resolve(dirs, hash, held, self.inner.all_sets_known, &what)
    }

    /// The error where a shard that is absent may have been deleted with its file, or lost with all others, or with its name.
    fn may_be_deleted(&self, index: u64) -> Result<(), ShardError> {
        if let Some(why) = &self.shards_lost {
            let missing = self.inner.missing();
            return Err(ShardError::Unknown { what: self.what(index), why: why.clone(), missing });
        }
        if self.nameless.contains(&index) {
            let why = "it has lost its name: its handle below .glusterfs is there, with bytes".to_owned();
            return Err(ShardError::Unknown { what: self.what(index), why, missing: Vec::new() });
        }
        let unknown = self.gone.as_ref().and_then(|gone| gone.absent(self.what(index)));
        unknown.map_or(Ok(()), Err)
    }

    /// The error, or else the absence, of a shard that no brick has.
    fn absent(inner: &Inner, what: &dyn Fn() -> String) -> Result<(), ShardError> {
        let mut held = Vec::with_capacity(inner.sets.len());
        for (set, dir) in inner.sets.iter().zip(&inner.shard_dirs) {
            let seen = set.trees.iter().map(|tree| if tree.is_ok() { Seen::Absent } else { Seen::NotLooked });
            held.push(set.judge(dir, seen.collect(), what)?);
        }
        debug_assert!(held.iter().all(|held| matches!(held, Held::Nothing | Held::Unknown(_))));
        inner.resolve(&inner.shard_dirs, None, held, inner.all_sets_known, what).map(|_| ())
    }

    fn changed(&self, index: u64) -> ShardError {
        let brick = self.inner.sets.first().map_or_else(|| crate::BrickName::local("?"), |set| set.brick(0));
        ShardError::Changed { what: self.what(index), brick }
    }
}

impl Drop for ShardedFile {
    fn drop(&mut self) {
        self.inner.cache.forget(self.id);
    }
}

/// How many spans the bytes of a file of `size` make.
pub(crate) const fn count(size: u64, span: u64) -> u64 {
    if size == 0 { 0 } else { (size - 1) / span + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_survives_packing() {
        for choice in
            [Choice::Open, Choice::Hole, Choice::Brick(0, 0), Choice::Brick(7, 2), Choice::Brick(65535, 0)]
        {
            assert_eq!(Choice::unpack(choice.pack()), choice);
        }
        assert_eq!(Choice::unpack(Choice::Brick(65535, 65535).pack()), Choice::Open);
        assert_eq!(Choice::unpack(Choice::Brick(65535, 65534).pack()), Choice::Open);
    }
}
