//! A directory as the bricks of one subvolume have it.

use std::path::Path;

use uuid::Uuid;

use super::{Blame, Change, Set};
use crate::ShardError;
use crate::raw::xattr::{self, Layout};
use crate::tree::{Directory, FoundDirectory};

/// Whether a subvolume has a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DirState {
    /// It has.
    Present,
    /// It has not, and a brick that is good said so.
    Absent,
    /// Not known: why.
    Unknown(String),
}

/// A directory on one subvolume.
#[derive(Debug)]
pub(crate) struct SetDir {
    pub(crate) state: DirState,
    /// The directory on each brick of the set that is here and has it.
    pub(crate) members: Vec<Option<Directory>>,
    /// The bricks whose word counts on which names there are: here, and blamed for no missing names. Where
    /// there is none, a name exists if any brick has it (AFR merges conservatively), and is known to be absent
    /// only if all bricks of the set say so. In a dispersed set: as many bricks as make a file, that saw the same
    /// changes of the directory.
    pub(crate) witnesses: Vec<usize>,
    /// The subvolume's part of the hash space, where it is set.
    pub(crate) layout: Option<Layout>,
}

/// One brick's directory.
struct Member {
    directory: Directory,
    gfid: Uuid,
    blame: Blame,
    layout: Option<Layout>,
}

impl SetDir {
    pub(crate) fn without(state: DirState, set: &Set) -> Self {
        Self { state, members: set.trees.iter().map(|_| None).collect(), witnesses: Vec::new(), layout: None }
    }
}

impl Set {
    /// The subvolume's root directory.
    pub(crate) fn root(&self) -> Result<SetDir, ShardError> {
        let mut members = Vec::with_capacity(self.trees.len());
        for (i, tree) in self.trees.iter().enumerate() {
            members.push(match tree {
                Ok(tree) => Some(self.member(i, tree.root()?)?),
                Err(_) => None,
            });
        }
        if members.iter().all(Option::is_none) {
            return Ok(SetDir::without(DirState::Unknown("none of its bricks is here".to_owned()), self));
        }
        self.directory_of(Path::new("/"), members)
    }

    /// The directory `name`, a single component, in `parent`.
    pub(crate) fn subdirectory(&self, parent: &SetDir, name: &Path) -> Result<SetDir, ShardError> {
        if parent.state != DirState::Present {
            return Ok(SetDir::without(parent.state.clone(), self));
        }
        let mut members = Vec::with_capacity(self.trees.len());
        let mut other = None;
        let mut path = name.to_owned();
        for (i, directory) in parent.members.iter().enumerate() {
            members.push(None);
            let (Some(tree), Some(directory)) = (self.tree(i), directory) else { continue };
            path = directory.path.join(name);
            match tree.directory(directory, name)? {
                FoundDirectory::Nothing => {}
                FoundDirectory::Directory(found) => members[i] = Some(self.member(i, found)?),
                FoundDirectory::Other => other = Some(i),
            }
        }
        if let Some(i) = other {
            let why = format!("/{} on brick {} is not a directory", path.display(), self.brick(i));
            return Ok(SetDir::without(DirState::Unknown(why), self));
        }
        if let Some(state) = self.too_few_have_directory(parent, members.iter().map(Option::is_some)) {
            return Ok(SetDir::without(state, self));
        }
        let good = |i: &&usize| members.get(**i).is_some_and(Option::is_some);
        if self.code.is_none() && parent.witnesses.iter().find(good).is_none() {
            // No brick whose word counts has it. What the others have is to be deleted by the next heal.
            if !parent.witnesses.is_empty() {
                return Ok(SetDir::without(DirState::Absent, self));
            }
            if members.iter().all(Option::is_none) {
                let all_here = self.trees.iter().all(Result::is_ok);
                let why = "no brick that is here is good for the directory above it";
                let state = if all_here { DirState::Absent } else { DirState::Unknown(why.to_owned()) };
                return Ok(SetDir::without(state, self));
            }
        }
        self.keep_one_gfid(&path, &parent.witnesses, &mut members)?;
        self.directory_of(&path, members)
    }

    /// Drops directories that are not the one that the witnesses have under the same name.
    fn keep_one_gfid(
        &self,
        path: &Path,
        witnesses: &[usize],
        members: &mut [Option<Member>],
    ) -> Result<(), ShardError> {
        let counts = |i: usize| witnesses.is_empty() || witnesses.contains(&i);
        let mut first: Option<(usize, Uuid)> = None;
        for (i, member) in members.iter().enumerate() {
            let (true, Some(member)) = (counts(i), member) else { continue };
            match first {
                None => first = Some((i, member.gfid)),
                Some((brick, gfid)) if gfid != member.gfid => {
                    return Err(ShardError::GfidMismatch {
                        what: format!("/{}", path.display()),
                        copies: Box::new([(self.brick(brick), gfid), (self.brick(i), member.gfid)]),
                    });
                }
                Some(_) => {}
            }
        }
        for member in members {
            if member.as_ref().map(|member| member.gfid) != first.map(|(_, gfid)| gfid) {
                *member = None;
            }
        }
        Ok(())
    }

    /// What a directory is, given what each brick has; at least one has it.
    fn directory_of(&self, path: &Path, members: Vec<Option<Member>>) -> Result<SetDir, ShardError> {
        let what = || format!("directory {}", Path::new("/").join(path).display());
        let blames =
            || members.iter().enumerate().filter_map(|(i, member)| Some((i, &member.as_ref()?.blame)));
        let witnesses = match self.sources(&what, Change::Entry, blames()) {
            Ok(witnesses) => witnesses,
            Err(ShardError::SplitBrain { .. } | ShardError::TooFewFragments { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let layout = self.layout_of(&what, &members)?;
        Ok(SetDir {
            state: DirState::Present,
            members: members.into_iter().map(|member| member.map(|member| member.directory)).collect(),
            witnesses,
            layout,
        })
    }

    /// The layout that the copies agree about; where they don't, that of those that are good for metadata.
    fn layout_of(
        &self,
        what: &dyn Fn() -> String,
        members: &[Option<Member>],
    ) -> Result<Option<Layout>, ShardError> {
        let present = || members.iter().enumerate().filter_map(|(i, member)| Some((i, member.as_ref()?)));
        let layouts = |numbers: &[usize]| {
            let mut layouts: Vec<_> =
                present().filter(|(i, _)| numbers.contains(i)).map(|(_, member)| member.layout).collect();
            layouts.dedup_by_key(|layout| layout.map(|layout| (layout.start, layout.stop)));
            layouts
        };
        let everyone: Vec<_> = present().map(|(i, _)| i).collect();
        let mut found = layouts(&everyone);
        if found.len() > 1 {
            let good =
                self.sources(what, Change::Metadata, present().map(|(i, member)| (i, &member.blame)))?;
            found = layouts(&good);
        }
        if found.len() > 1 {
            return Err(ShardError::Inconsistent {
                subvolume: self.subvolume.name.clone(),
                problem: format!("its bricks have different DHT layouts of {}", what()),
            });
        }
        Ok(found.pop().flatten())
    }

    fn member(&self, i: usize, directory: Directory) -> Result<Member, ShardError> {
        let path = directory.path.clone();
        let bad = |xattr: &str, problem: String| ShardError::BadXattr {
            brick: self.brick(i),
            path: Path::new("/").join(&path),
            xattr: xattr.to_owned(),
            problem,
        };
        let tree =
            self.tree(i).ok_or_else(|| bad(xattr::GFID, "is on a brick that is not here".to_owned()))?;
        let read = |error| ShardError::io("read the xattrs of", tree.local.join(&path), error);
        let xattrs = tree.xattrs(&directory.fd, &directory.path).map_err(read)?;
        let get = |name: &str| xattrs.get(&directory.fd, name).map_err(read);
        let gfid = get(xattr::GFID)?;
        let gfid = gfid
            .as_deref()
            .and_then(xattr::uuid)
            .ok_or_else(|| bad(xattr::GFID, "is missing or not of 16 bytes".to_owned()))?;
        let layout = get(xattr::DHT)?
            .map(|value| {
                xattr::layout(&value)
                    .ok_or_else(|| bad(xattr::DHT, "is not a range of hashes in 16 bytes".to_owned()))
            })
            .transpose()?;
        let blame = self
            .blame(&directory.fd, &xattrs)
            .map_err(|problem| bad("trusted.afr.*", format!(": {problem}")))?;
        Ok(Member { directory, gfid, blame, layout })
    }
}

/// Whether the layouts of a directory leave no hash out.
pub(crate) fn covers_all_hashes<'a>(dirs: impl IntoIterator<Item = &'a SetDir>) -> bool {
    let mut ranges: Vec<_> = dirs
        .into_iter()
        .filter_map(|dir| dir.layout)
        .filter(|layout| !layout.is_empty())
        .map(|layout| (u64::from(layout.start), u64::from(layout.stop)))
        .collect();
    ranges.sort_unstable();
    let mut next = 0;
    for (start, stop) in ranges {
        if start > next {
            return false;
        }
        next = next.max(stop + 1);
    }
    next > u64::from(u32::MAX)
}
