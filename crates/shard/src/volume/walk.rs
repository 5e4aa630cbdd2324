//! Going through a volume's files.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{Inner, Place, bad_path, names_of};
use crate::ShardError;
use crate::file::{Remains, Stat};
use crate::raw::xattr;
use crate::set::{DirState, SetDir};
use crate::tree::{Kind, for_each_name};

/// A directory with more above it is not gone into: no path that an application can name is as deep.
pub(crate) const DEPTH_LIMIT: usize = 2048;

/// Something in a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its path from the volume's root on; `gfid:UUID` where it was asked for by its gfid.
    pub path: PathBuf,
    /// Its gfid. Not known of symbolic links and special files.
    pub gfid: Option<Uuid>,
    /// What it is.
    pub kind: EntryKind,
}

/// What something in a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
        /// Bytes in a shard; `None` where it is not sharded.
        shard_size: Option<u64>,
        /// The subvolume that has it, or its base.
        subvolume: String,
    },
    /// What is left of a file whose base is gone. Found by its gfid only.
    Remains {
        /// Its size in bytes: what the marker of a deleted file tells, else up to where its last shard goes.
        size: u64,
        /// Bytes in a shard.
        shard_size: Option<u64>,
        /// Why it has no base.
        remains: Remains,
    },
    /// A symbolic link.
    Symlink,
    /// A device, socket or named pipe.
    Special,
}

impl Entry {
    /// Whether it is a file in shards.
    #[must_use]
    pub const fn is_sharded(&self) -> bool {
        matches!(self.kind, EntryKind::File { shard_size: Some(_), .. })
    }
}

/// What is below a directory of a volume: see [`Volume::walk`](super::Volume::walk).
#[derive(Debug)]
pub struct Walk {
    inner: Arc<Inner>,
    /// How deep it goes, directories of the start counted as 1.
    depth: usize,
    /// How deep the start is.
    start: usize,
    /// Directories that are still to be gone through, the next one last.
    pending: Vec<PathBuf>,
    current: Option<Listing>,
    /// Sets of which it was told that their names are not known.
    told: HashSet<usize>,
    /// What is told next, the last one first.
    errors: Vec<ShardError>,
}

/// A directory being gone through.
#[derive(Debug)]
struct Listing {
    path: PathBuf,
    /// The directory, and the name in it that is looked at.
    place: Place,
    names: std::collections::btree_map::IntoIter<OsString, Kind>,
    /// Directories in it, which come after.
    below: Vec<PathBuf>,
}

impl Walk {
    pub(super) fn new(inner: Arc<Inner>, names: &[PathBuf]) -> Self {
        let start: PathBuf = names.iter().collect();
        Self {
            inner,
            depth: usize::MAX,
            start: names.len(),
            pending: vec![start],
            current: None,
            told: HashSet::new(),
            errors: Vec::new(),
        }
    }

    /// Goes no deeper than that: with 1 only what is in the directory itself is told.
    #[must_use]
    pub const fn max_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Lists a directory on every set.
    fn list(&mut self, path: PathBuf) -> Result<Listing, ShardError> {
        let components: Vec<PathBuf> = path.iter().map(PathBuf::from).collect();
        if components.len() > DEPTH_LIMIT {
            return Err(bad_path(&path, "it is deeper than 2048 directories"));
        }
        let dirs = self.inner.directory_at(&components)?;
        let shown = || Path::new("/").join(&path).display().to_string();
        let all_sets_known = self.inner.all_sets_are_in(&dirs);
        if dirs.iter().all(|dir| dir.state == DirState::Absent) && all_sets_known {
            return Err(ShardError::NotFound { what: format!("directory {}", shown()) });
        }
        let mut names = BTreeMap::new();
        for (s, (set, dir)) in self.inner.sets.iter().zip(&dirs).enumerate() {
            let unknown = match &dir.state {
                DirState::Unknown(why) => Some(why.clone()),
                DirState::Present if dir.witnesses.is_empty() && !set.trees.iter().all(Result::is_ok) => {
                    Some("no brick that is here is good for its names".to_owned())
                }
                DirState::Present | DirState::Absent => None,
            };
            if let Some(why) = unknown
                && self.told.insert(s)
            {
                self.errors.push(ShardError::Unknown {
                    what: format!(
                        "which names {} in {} has, and what is below it,",
                        set.subvolume.name,
                        shown()
                    ),
                    why,
                    missing: set.missing().collect(),
                });
            }
            for (i, member) in dir.members.iter().enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                // A brick that missed deletions has names that are nothing any more.
                if !dir.witnesses.is_empty() && !dir.witnesses.contains(&i) {
                    continue;
                }
                let fd = tree.reopen(member)?;
                let each = |name: &[u8]| {
                    if path.as_os_str().is_empty() && is_own(name) {
                        return;
                    }
                    let name = OsString::from_vec(name.to_vec());
                    let kind = tree.kind(member, Path::new(&name));
                    let known = names.entry(name).or_insert(kind);
                    *known = (*known).max(kind);
                };
                for_each_name(&fd, each)
                    .map_err(|error| ShardError::io("list", tree.local.join(&member.path), error))?;
            }
        }
        let place = Place { dirs, name: PathBuf::new(), hashed: true, all_sets_known };
        Ok(Listing { path, place, names: names.into_iter(), below: Vec::new() })
    }
}

/// Whether a name in the root is Gluster's own.
pub(crate) fn is_own(name: &[u8]) -> bool {
    matches!(name, b".glusterfs" | b".shard" | b".trashcan")
        || name.starts_with(b".glusterfs-anonymous-inode-")
}

impl Iterator for Walk {
    type Item = Result<Entry, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.errors.pop() {
                return Some(Err(error));
            }
            if let Some(listing) = &mut self.current {
                if let Some((name, kind)) = listing.names.next() {
                    listing.place.name = PathBuf::from(name);
                    let path = listing.path.join(&listing.place.name);
                    match self.inner.entry_in(&listing.place, path, kind) {
                        Ok(None) => continue,
                        Ok(Some(entry)) => {
                            if entry.kind == EntryKind::Directory {
                                listing.below.push(entry.path.clone());
                            }
                            return Some(Ok(entry));
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
                let depth = listing.path.iter().count() + 1 - self.start;
                if depth < self.depth {
                    self.pending.extend(listing.below.drain(..).rev());
                }
                self.current = None;
            }
            let path = self.pending.pop()?;
            match self.list(path) {
                Ok(listing) => self.current = Some(listing),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Inner {
    /// What a name in a directory is; `None` where it is proven to be nothing.
    fn entry_in(&self, place: &Place, path: PathBuf, kind: Kind) -> Result<Option<Entry>, ShardError> {
        match kind {
            Kind::Special => Ok(Some(Entry { path, gfid: None, kind: EntryKind::Special })),
            Kind::Symlink => Ok(Some(Entry { path, gfid: None, kind: EntryKind::Symlink })),
            Kind::Directory => {
                let sets = self.sets.iter().zip(&place.dirs);
                let dirs = sets
                    .map(|(set, dir)| set.subdirectory(dir, &place.name))
                    .collect::<Result<Vec<_>, _>>()?;
                self.directory_entry(path, &dirs)
            }
            Kind::Nothing | Kind::LinkFile | Kind::File => {
                let Some(stat) = Stat::look(self, place, &|| path.display().to_string())? else {
                    return Ok(None);
                };
                let subvolume =
                    self.sets.get(stat.set).map(|set| set.subvolume.name.clone()).unwrap_or_default();
                let kind = EntryKind::File { size: stat.size, shard_size: stat.shard_size, subvolume };
                Ok(Some(Entry { path, gfid: Some(stat.gfid), kind }))
            }
        }
    }

    fn directory_entry(&self, path: PathBuf, dirs: &[SetDir]) -> Result<Option<Entry>, ShardError> {
        for (set, dir) in self.sets.iter().zip(dirs) {
            for (i, member) in dir.members.iter().enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                let fail = |error| ShardError::io("read the xattrs of", tree.local.join(&member.path), error);
                let xattrs = tree.xattrs(&member.fd, &member.path).map_err(fail)?;
                let gfid = xattrs.get(&member.fd, xattr::GFID).map_err(fail)?;
                let gfid = gfid.as_deref().and_then(xattr::uuid);
                return Ok(Some(Entry { path, gfid, kind: EntryKind::Directory }));
            }
        }
        let unknown = self.sets.iter().zip(dirs).find_map(|(set, dir)| match &dir.state {
            DirState::Unknown(why) => Some((set, why.clone())),
            DirState::Present | DirState::Absent => None,
        });
        match unknown {
            Some((set, why)) => Err(ShardError::Unknown {
                what: path.display().to_string(),
                why,
                missing: set.missing().collect(),
            }),
            None => Ok(None),
        }
    }

    /// What a path leads to.
    pub(super) fn entry_at(&self, path: &Path) -> Result<Entry, ShardError> {
        let names = names_of(path)?;
        let whole: PathBuf = names.iter().collect();
        let not_found = || ShardError::NotFound { what: path.display().to_string() };
        if names.is_empty() {
            return self.directory_entry(whole, &self.directory_at(&[])?)?.ok_or_else(not_found);
        }
        let place = self.place_of_path(path)?;
        let mut kind = Kind::Nothing;
        for (set, dir) in self.sets.iter().zip(&place.dirs) {
            for (i, member) in dir.members.iter().enumerate() {
                if let (Some(tree), Some(member)) = (set.tree(i), member) {
                    kind = kind.max(tree.kind(member, &place.name));
                }
            }
        }
        self.entry_in(&place, whole, kind)?.ok_or_else(not_found)
    }

    /// The file of a gfid.
    pub(super) fn entry_of(&self, gfid: Uuid) -> Result<Entry, ShardError> {
        let path = PathBuf::from(format!("gfid:{gfid}"));
        let place = self.place_of_gfid(gfid)?;
        let not_found = || ShardError::NotFound { what: format!("gfid:{gfid}") };
        if self.is_deleted(&place, gfid)? {
            return Err(not_found());
        }
        self.entry_in(&place, path, Kind::File)?.ok_or_else(not_found)
    }
}
