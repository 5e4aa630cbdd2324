//! From a gfid to the paths of its file: by the names that each file keeps of itself, and the handles of directories.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Inner, Place, Volume};
use crate::ShardError;
use crate::finding::Finding;
use crate::raw::xattr;
use crate::tree::{BrickTree, Found, Handle, LINKTO_MODE};

/// More paths of one gfid are not told: hard links, and what bricks contradict each other about.
const PATHS: usize = 1024;
/// A directory that is deeper has no path here: no path that an application can name is as deep.
const DEPTH: usize = 2048;

/// The paths of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Names {
    /// The paths that lead to it, from the volume's root on; several of a file with hard links. Each was looked at.
    pub paths: Vec<PathBuf>,
    /// Paths that the bricks tell and that lead elsewhere or nowhere, or that could not be looked at; and whether nothing
    /// tells any.
    pub findings: Vec<Finding>,
}

/// A name in a directory.
pub(crate) type Name = (Uuid, OsString);

impl Volume {
    /// The paths of the file or directory `gfid`. Of a file they are what its own `trusted.gfid2path.*` tell (kept since
    /// Gluster 4.0, unless `storage.gfid2path` is off), of a directory what its handle does; each is then looked up.
    ///
    /// # Errors
    /// When a brick can't be read.
    pub fn names_of(&self, gfid: Uuid) -> Result<Names, ShardError> {
        self.inner.names_of(gfid)
    }
}

impl Inner {
    /// See [`Volume::names_of`].
    fn names_of(&self, gfid: Uuid) -> Result<Names, ShardError> {
        let mut found = Names { paths: Vec::new(), findings: Vec::new() };
        if gfid == xattr::ROOT_GFID {
            found.paths.push(PathBuf::from("/"));
            return Ok(found);
        }
        let paths = self.paths_told(gfid)?;
        if paths.is_empty() {
            found.findings.push(Finding::NoName { gfid });
        }
        for path in paths {
            let problem = match self.entry_at(&path) {
                Ok(entry) if entry.gfid == Some(gfid) => None,
                Ok(entry) => Some(match entry.gfid {
                    Some(other) => format!("it leads to another file, gfid {other}"),
                    None => "it leads to something without a gfid".to_owned(),
                }),
                Err(ShardError::NotFound { .. }) => Some("it leads to nothing".to_owned()),
                Err(error) => Some(format!("it can't be looked at: {error}")),
            };
            match problem {
                None => found.paths.push(path),
                Some(problem) => {
                    let path = path.display().to_string();
                    found.findings.push(Finding::NameContradicted { gfid, path, problem });
                }
            }
        }
        Ok(found)
    }

    /// Whether a gfid whose handle is at `place` is a deleted file's: bricks that missed the deletion have the handle still.
    /// Handles are in no directory, so that no counter tells of it; what the names that they tell of themselves lead to does.
    /// Of a dispersed set's bricks most have to have it anyway.
    pub(crate) fn is_deleted(&self, place: &Place, gfid: Uuid) -> Result<bool, ShardError> {
        let mut differ = false;
        for (set, dir) in self.sets.iter().zip(&place.dirs).filter(|(set, _)| set.code.is_none()) {
            let (mut have, mut lack) = (false, false);
            for (i, member) in dir.members.iter().enumerate() {
                let Some(tree) = set.tree(i) else { continue };
                match member.as_ref().map(|member| tree.handle_in(member, &place.name)).transpose()? {
                    None | Some(Handle::Nothing) => lack = true,
                    // One that lost its name is nobody's: no brick can have missed that.
                    Some(Handle::File { names: 1, .. }) => return Ok(false),
                    Some(_) => have = true,
                }
            }
            differ |= have && lack;
        }
        if !differ {
            return Ok(false);
        }
        let paths = self.paths_told(gfid)?;
        for path in &paths {
            match self.entry_at(path) {
                Ok(entry) if entry.gfid == Some(gfid) => return Ok(false),
                Ok(_) | Err(ShardError::NotFound { .. }) => {}
                // It is not known, and so not deleted.
                Err(_) => return Ok(false),
            }
        }
        Ok(!paths.is_empty())
    }

    /// The paths that the bricks tell of a file or directory, whether or not these lead to it.
    pub(crate) fn paths_told(&self, gfid: Uuid) -> Result<BTreeSet<PathBuf>, ShardError> {
        let mut paths = BTreeSet::new();
        for (parent, name) in &self.names_told(gfid)? {
            for mut path in self.paths_of_directory(*parent)? {
                path.push(name);
                if paths.len() < PATHS {
                    paths.insert(path);
                }
            }
        }
        Ok(paths)
    }

    /// The directories, and the names in them, that the bricks tell of a file or directory.
    pub(crate) fn names_told(&self, gfid: Uuid) -> Result<BTreeSet<Name>, ShardError> {
        let mut names = self.parents(gfid)?;
        for tree in self.sets.iter().flat_map(|set| &set.trees).flatten() {
            names.extend(own_names(tree, gfid)?);
        }
        Ok(names)
    }

    /// Where the bricks say that a directory is; nothing where none has a handle of it.
    fn parents(&self, gfid: Uuid) -> Result<BTreeSet<Name>, ShardError> {
        let mut parents = BTreeSet::new();
        for tree in self.sets.iter().flat_map(|set| &set.trees).flatten() {
            parents.extend(tree.parent(gfid)?);
        }
        Ok(parents)
    }

    /// The paths of a directory: more than one where bricks contradict each other, as after a rename that one missed.
    fn paths_of_directory(&self, gfid: Uuid) -> Result<Vec<PathBuf>, ShardError> {
        let mut paths = Vec::new();
        // Each with the names that follow, the last one first.
        let mut open: Vec<(Uuid, Vec<OsString>)> = vec![(gfid, Vec::new())];
        let mut steps = 0;
        while let Some((gfid, names)) = open.pop() {
            if gfid == xattr::ROOT_GFID {
                paths.push(names.iter().rev().collect());
                continue;
            }
            steps += 1;
            // Hostile handles can lead in circles, and branch.
            if names.len() >= DEPTH || steps > 2 * DEPTH || paths.len() + open.len() > PATHS {
                continue;
            }
            for (parent, name) in self.parents(gfid)? {
                let mut names = names.clone();
                names.push(name);
                open.push((parent, names));
            }
        }
        Ok(paths)
    }
}

/// The names that a brick's copy of a file keeps of itself.
pub(super) fn own_names(tree: &BrickTree, gfid: Uuid) -> Result<Vec<Name>, ShardError> {
    let handle = gfid.to_string();
    let dir = Path::new(".glusterfs").join(&handle[..2]).join(&handle[2..4]);
    let crate::tree::FoundDirectory::Directory(dir) = tree.directory(&tree.root()?, &dir)? else {
        return Ok(Vec::new());
    };
    let Found::File(open) = tree.find(&dir, Path::new(&handle))? else { return Ok(Vec::new()) };
    if open.mode == LINKTO_MODE {
        return Ok(Vec::new());
    }
    let fail = |error| ShardError::io("read the xattrs of", tree.local.join(&dir.path).join(&handle), error);
    let xattrs = tree.xattrs(&open.file, &dir.path.join(&handle)).map_err(fail)?;
    let mut names = Vec::new();
    for xattr in
        xattrs.names().into_iter().filter(|name| name.starts_with(xattr::GFID2PATH_PREFIX)).take(PATHS)
    {
        let value = xattrs.get(&open.file, xattr).map_err(fail)?;
        if let Some((parent, name)) = value.as_deref().and_then(xattr::gfid2path) {
            names.push((parent, OsStr::from_bytes(name).to_owned()));
        }
    }
    Ok(names)
}
