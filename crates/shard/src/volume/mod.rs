//! A volume, opened on the bricks that are here.

mod left;
mod names;
mod open;
mod order;
mod reference;
mod resolve;
mod shards;
mod walk;

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::ShardError;
use crate::cache::Cache;
use crate::error::MissingBrick;
use crate::file::{FileOptions, ShardedFile};
use crate::finding::{Finding, Findings};
use crate::raw::hash;
use crate::set::{DirState, Set, SetDir, covers_all_hashes};
use crate::split_brain::SplitBrainChoice;
use crate::topology::{BrickMap, BrickName, Munging, Origin, Topology};

pub use left::LeftOver;
pub use names::Names;
pub use reference::FileRef;
pub(crate) use resolve::{Place, Resolved};
pub(crate) use walk::{DEPTH_LIMIT, is_own};
pub use walk::{Entry, EntryKind, Walk};

/// How a volume is read.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// At most about this many shards are kept open at a time, over all files of the volume; at least 16. On a
    /// dispersed subvolume each counts as many times as fragments make it up.
    pub max_open_shards: usize,
    /// Which copy is to be believed where copies are in split-brain: the first of these rules that decides. With none
    /// that decides it is an error.
    pub split_brain: Vec<SplitBrainChoice>,
    /// Reads every byte from all good copies of a shard, or all fragments, and takes a difference for an error
    /// ([`ShardError::Diverged`]). Nothing is copied by the kernel then. A shard of which a brick has the handle below
    /// `.glusterfs` alone, with bytes in it, is unknown then, where it would be a hole; to find these all handles are gone
    /// through when the first file is opened.
    pub compare: bool,
    /// Takes the bricks of a dispersed set that are given without any description for in their order as they are, missing
    /// ones behind them, instead of looking for the one order in which they decode.
    pub order_given: bool,
    /// Told of each choice that a rule or word of the caller's made where the bricks prove nothing
    /// ([`Finding::is_choice`]), once, when it is made; also kept with the file's findings.
    pub on_choice: Option<OnChoice>,
}

/// What is told of choices.
#[derive(Clone)]
pub struct OnChoice(pub Arc<dyn Fn(&Finding) + Send + Sync>);

impl std::fmt::Debug for OnChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnChoice")
    }
}

impl Default for OpenOptions {
    /// 256 open shards, and split-brain is an error.
    fn default() -> Self {
        Self {
            max_open_shards: 256,
            split_brain: Vec::new(),
            compare: false,
            order_given: false,
            on_choice: None,
        }
    }
}

/// A volume, opened on the bricks that are here. Cheap to clone; clones share what is open.
#[derive(Debug, Clone)]
pub struct Volume {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) topology: Topology,
    pub(crate) id: Uuid,
    pub(crate) sets: Vec<Set>,
    /// `/.shard` on each set.
    pub(crate) shard_dirs: Vec<SetDir>,
    /// Whether `sets` are all subvolumes of the volume, as far as `/.shard` is concerned.
    pub(crate) all_sets_known: bool,
    pub(crate) cache: Cache,
    pub(crate) next_file: AtomicU64,
    pub(crate) options: OpenOptions,
    /// Choices that were told.
    told: Findings,
    /// Shards of which a brick has the handle alone, once they were looked for.
    nameless: OnceLock<Vec<(Uuid, u64)>>,
}

impl Volume {
    /// Opens the volume that `topology` describes, on those of its bricks that `map` finds here.
    ///
    /// Bricks that are not here are no error yet: what needs them will say so. The order of a dispersed set's bricks that no
    /// description tells is found by decoding, and taken only if it is the one in which all files that were looked at
    /// decode; [`topology`](Self::topology) has them in that order then.
    ///
    /// # Errors
    /// When no brick is here, it does not show in which order dispersed bricks without a description are, a mapped directory is not the brick that it should be, the volume is of a type
    /// that Gluster doesn't make, or the bricks contradict the topology.
    pub fn open(topology: Topology, map: &BrickMap, options: OpenOptions) -> Result<Self, ShardError> {
        Inner::open(topology, map, &options).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// The topology that the volume was opened with.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.inner.topology
    }

    /// The volume's id, as its bricks carry it.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    /// The bricks that can't be looked at, and why.
    #[must_use]
    pub fn missing_bricks(&self) -> Vec<MissingBrick> {
        self.inner.missing()
    }

    /// The bricks that are looked at, and the directory where each is.
    #[must_use]
    pub fn bricks(&self) -> Vec<(BrickName, PathBuf)> {
        let trees = self.inner.sets.iter().flat_map(|set| &set.trees).filter_map(|tree| tree.as_ref().ok());
        trees.map(|tree| (tree.name.clone(), tree.local.clone())).collect()
    }

    /// Goes through what is below the directory at `dir` (`/` is the root): every file, directory and other entry,
    /// each directory before what is in it, the names of a directory in their order.
    ///
    /// Costs a look at every brick's copy of each file's base; shards aren't looked at. Memory is in proportion to the
    /// names of the largest directory. What isn't known is an error among the entries, and the walk goes on after it.
    ///
    /// ```
    /// use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
    /// use stillpoint_testkit::volume::{BrickTrees, Shape};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let mut built = BrickTrees::create(dir.path(), Shape { subvolumes: 2, ..Shape::default() })?;
    /// built.create_directory("vms")?;
    /// built.create_file("vms/disk")?;
    /// built.write("vms/disk", 0, &[7; 10_000])?;
    /// built.save()?;
    ///
    /// let topology = Topology::from_bricks(&[built.brick(0), built.brick(1)])?;
    /// let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default())?;
    /// let paths: Vec<_> = volume.walk("/")?.map(|entry| entry.map(|entry| entry.path)).collect::<Result<_, _>>()?;
    /// assert_eq!(paths, [std::path::Path::new("vms"), std::path::Path::new("vms/disk")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it is not a path in a volume.
    pub fn walk(&self, dir: impl AsRef<Path>) -> Result<Walk, ShardError> {
        Ok(Walk::new(Arc::clone(&self.inner), &names_of(dir.as_ref())?))
    }

    /// The files below the root that are in shards.
    pub fn sharded_files(&self) -> impl Iterator<Item = Result<Entry, ShardError>> {
        let all = Walk::new(Arc::clone(&self.inner), &[]);
        all.filter(|entry| entry.as_ref().is_ok_and(Entry::is_sharded) || entry.is_err())
    }

    /// What a path leads to, or the file of a gfid.
    ///
    /// # Errors
    /// When there is nothing, or it can't be told, or it can't be read.
    pub fn entry(&self, file: &FileRef) -> Result<Entry, ShardError> {
        match file {
            FileRef::Path(path) => self.inner.entry_at(path),
            FileRef::Gfid(gfid) => match self.inner.entry_of(*gfid) {
                Err(error @ (ShardError::NotFound { .. } | ShardError::Unknown { .. })) => {
                    let Ok(left) = self.open_file(file) else { return Err(error) };
                    let (path, kind) = (PathBuf::from(file.to_string()), left.remains());
                    let Some(remains) = kind else { return Err(error) };
                    let kind =
                        EntryKind::Remains { size: left.size(), shard_size: left.shard_size(), remains };
                    Ok(Entry { path, gfid: Some(*gfid), kind })
                }
                other => other,
            },
        }
    }

    /// Opens a file for reading, sharded or not.
    ///
    /// Costs a scan of `.shard` on every brick that is here.
    ///
    /// # Errors
    /// When there is no such file, or it can't be told, or its copies are in split-brain, or it can't be read.
    pub fn open_file(&self, file: &FileRef) -> Result<ShardedFile, ShardError> {
        self.open_file_with(file, &FileOptions::default())
    }

    /// As [`open_file`](Self::open_file), where what the file's base tells is lost or wrong.
    ///
    /// A file that is named by its gfid need not have a base any more: what is left of one that was deleted, while its
    /// shards wait for that in `/.shard/.remove_me`, or of one of which nothing but shards is there
    /// ([`ShardedFile::remains`]). Its first shard is not known then, nor is a shard that is absent: it may be a hole, or
    /// deleted already. Its size and that of its shards are those that its marker tells; else up to where the last shard
    /// goes, and the length of the longest shards. A finding tells what is not the bricks' own word.
    ///
    /// # Errors
    /// As there, and when an option makes no sense, or it is not known how long a shard is.
    pub fn open_file_with(&self, file: &FileRef, options: &FileOptions) -> Result<ShardedFile, ShardError> {
        let place = match file {
            FileRef::Path(path) => self.inner.place_of_path(path)?,
            FileRef::Gfid(gfid) => self.inner.place_of_gfid(*gfid)?,
        };
        ShardedFile::open(Arc::clone(&self.inner), file.clone(), place, options)
    }
}

impl Inner {
    pub(crate) fn missing(&self) -> Vec<MissingBrick> {
        self.sets.iter().flat_map(Set::missing).collect()
    }

    /// Keeps findings of a file, and tells of those that are choices.
    pub(crate) fn note(&self, of: &Findings, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if let Some(on_choice) = self.options.on_choice.as_ref().filter(|_| finding.is_choice())
                && let Some(new) = self.told.note(&finding)
            {
                (on_choice.0)(&new);
            }
            of.add(finding);
        }
    }

    /// Whether the layouts of `dirs` show that no subvolume is left out. Only bricks given by hand can leave one out.
    pub(crate) fn knows_all_sets(topology: &Topology, dirs: &[SetDir]) -> bool {
        topology.origin != Origin::Bricks || covers_all_hashes(dirs)
    }

    /// The same of a directory that need have no layout: the root of a dispersed volume of one subvolume has none. Then that
    /// of `/.shard` counts.
    pub(crate) fn all_sets_are_in(&self, dirs: &[SetDir]) -> bool {
        Self::knows_all_sets(&self.topology, dirs)
            || (self.all_sets_known && dirs.iter().all(|dir| dir.layout.is_none()))
    }

    /// Whether a brick may be an arbiter without our knowing it.
    pub(crate) fn may_have_unknown_arbiters(&self) -> bool {
        self.topology.origin == Origin::Bricks
    }

    /// DHT's hash of a name, where it can be told.
    pub(crate) fn hash(&self, name: &[u8]) -> Option<u32> {
        match self.topology.munging {
            Munging::Default => Some(hash::dm_hash(hash::munge(name))),
            Munging::Off => Some(hash::dm_hash(name)),
            Munging::Custom => None,
        }
    }

    /// The directory of a path, and the name in it.
    pub(crate) fn place_of_path(&self, path: &Path) -> Result<Place, ShardError> {
        let mut names = names_of(path)?;
        let name = names.pop().ok_or_else(|| bad_path(path, "it names the root directory"))?;
        let dirs = self.directory_at(&names)?;
        let all_sets_known = self.all_sets_are_in(&dirs);
        Ok(Place { dirs, name, hashed: true, all_sets_known })
    }

    /// The directory of that path on each set.
    fn directory_at(&self, names: &[PathBuf]) -> Result<Vec<SetDir>, ShardError> {
        let mut dirs = self.sets.iter().map(Set::root).collect::<Result<Vec<_>, _>>()?;
        for component in names {
            dirs = self
                .sets
                .iter()
                .zip(&dirs)
                .map(|(set, dir)| set.subdirectory(dir, component))
                .collect::<Result<_, _>>()?;
        }
        Ok(dirs)
    }

    /// The handle of a gfid: `.glusterfs/aa/bb/GFID`, a hard link of the file.
    pub(crate) fn place_of_gfid(&self, gfid: Uuid) -> Result<Place, ShardError> {
        let name = gfid.to_string();
        let dir = Path::new(".glusterfs").join(&name[..2]).join(&name[2..4]);
        let mut dirs = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            let mut members = Vec::with_capacity(set.trees.len());
            let mut state = DirState::Present;
            for (i, tree) in set.trees.iter().enumerate() {
                members.push(None);
                let Ok(tree) = tree else { continue };
                match tree.directory(&tree.root()?, &dir)? {
                    crate::tree::FoundDirectory::Nothing => {}
                    crate::tree::FoundDirectory::Directory(found) => members[i] = Some(found),
                    crate::tree::FoundDirectory::Other => {
                        let why = format!("{} on brick {} is not a directory", dir.display(), tree.name);
                        state = DirState::Unknown(why);
                    }
                }
            }
            // Handles are in no directory of the volume, so that no counters tell who missed one.
            dirs.push(SetDir { state, members, witnesses: Vec::new(), layout: None });
        }
        let all_sets_known = self.all_sets_known;
        Ok(Place { dirs, name: PathBuf::from(name), hashed: false, all_sets_known })
    }
}

fn bad_path(path: &Path, problem: &'static str) -> ShardError {
    ShardError::BadPath { path: path.display().to_string(), problem }
}

/// The names that a path is made of; none of them leads up or into what is Gluster's own.
pub(crate) fn names_of(path: &Path) -> Result<Vec<PathBuf>, ShardError> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(PathBuf::from(name)),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(bad_path(path, "it has `..` in it")),
        }
    }
    if names
        .first()
        .and_then(|name| name.to_str())
        .is_some_and(|first| matches!(first, ".glusterfs" | ".shard"))
    {
        return Err(bad_path(
            path,
            "it is Gluster's own; name the file itself, or give its gfid as gfid:UUID",
        ));
    }
    Ok(names)
}
