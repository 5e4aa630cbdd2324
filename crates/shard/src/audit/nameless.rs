//! Files and symbolic links of which the handle alone is left.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use uuid::Uuid;

use super::finding::of_gfid;
use super::index::shard_of;
use super::report::Report;
use super::{Auditor, Problem};
use crate::ShardError;
use crate::raw::xattr;
use crate::set::Seen;
use crate::tree::{FoundDirectory, Handle};

/// What all bricks together have as a handle without a name.
#[derive(Debug, Default)]
struct Alone {
    /// Bytes of the longest copy, or of what a symbolic link leads to.
    len: u64,
    is_symlink: bool,
    is_link_file: bool,
}

impl Auditor<'_> {
    /// Tells of handles that are their file's only name, on every brick that has them. Those of files with shards are
    /// told with these.
    pub(super) fn nameless(&self, report: &mut Report<'_>) {
        let mut found = BTreeSet::new();
        for (set, roots) in self.inner.sets.iter().zip(&self.roots) {
            for (i, root) in roots.iter().enumerate() {
                let (Some(tree), Some(root)) = (set.tree(i), root) else { continue };
                match tree.nameless(root, &mut || report.read(0)) {
                    Ok(gfids) => found.extend(gfids.into_iter().filter(|gfid| !self.names.knows(*gfid))),
                    Err(error) => report.not_seen(error.to_string()),
                }
            }
        }
        for gfid in found {
            if !report.read(0) {
                return;
            }
            match self.nameless_problem(gfid) {
                Ok(Some(problem)) => report.found(of_gfid(gfid), problem),
                Ok(None) => {}
                Err(error) => report.not_seen(error.to_string()),
            }
        }
    }

    /// What there is to tell of a gfid of which a brick has the handle alone.
    fn nameless_problem(&self, gfid: Uuid) -> Result<Option<Problem>, ShardError> {
        let Some(alone) = self.alone(gfid)? else { return Ok(None) };
        if alone.is_link_file {
            return Ok(Some(Problem::HandleLeft { of: "a link file" }));
        }
        if alone.is_symlink {
            let target = self.target_of(gfid)?;
            return Ok(Some(Problem::SymlinkNameLost { target }));
        }
        for (parent, name) in self.inner.names_told(gfid)? {
            if parent == xattr::REMOVE_ME_GFID {
                return Ok(Some(Problem::HandleLeft { of: "the marker of a deleted file" }));
            }
            if let (xattr::SHARD_DIR_GFID, Some((file, shard))) = (parent, shard_of(name.as_bytes())) {
                // The shards of a file that is gone go with it.
                return Ok(Some(if self.has_handle(file)? {
                    Problem::ShardNameLost { file, shard, bytes: alone.len }
                } else {
                    Problem::HandleLeft { of: "a shard of a file that is gone" }
                }));
            }
        }
        Ok(Some(Problem::NameLost { shards: 0, base: alone.len, was: self.was(gfid)? }))
    }

    /// The path that a file without a name tells of itself.
    pub(super) fn was(&self, gfid: Uuid) -> Result<Option<String>, ShardError> {
        Ok(self.inner.paths_told(gfid)?.first().map(|path| path.display().to_string()))
    }

    /// What the bricks have as the handle of a gfid; `None` where one has a name for it besides, and where one of its set is
    /// not here, which may.
    fn alone(&self, gfid: Uuid) -> Result<Option<Alone>, ShardError> {
        let mut alone = Alone::default();
        let place = self.inner.place_of_gfid(gfid)?;
        for ((set, roots), dir) in self.inner.sets.iter().zip(&self.roots).zip(&place.dirs) {
            let mut is_on_set = false;
            for (i, root) in roots.iter().enumerate() {
                let (Some(tree), Some(root)) = (set.tree(i), root) else { continue };
                match tree.handle(root, gfid)? {
                    Handle::File { names: 1, len, .. } => alone.len = alone.len.max(len),
                    Handle::Symlink { names: 1, len, .. } => {
                        alone.is_symlink = true;
                        alone.len = alone.len.max(len);
                    }
                    Handle::Nothing => continue,
                    _ => return Ok(None),
                }
                is_on_set = true;
                if let Some(Some(member)) = dir.members.get(i)
                    && let Seen::Copy(copy) = set.look(i, member, &place.name, false)?
                {
                    alone.is_link_file |= copy.linkto.is_some();
                }
            }
            if is_on_set && set.trees.iter().any(Result::is_err) {
                return Ok(None);
            }
        }
        Ok(Some(alone))
    }

    fn has_handle(&self, gfid: Uuid) -> Result<bool, ShardError> {
        for (set, roots) in self.inner.sets.iter().zip(&self.roots) {
            for (i, root) in roots.iter().enumerate() {
                let (Some(tree), Some(root)) = (set.tree(i), root) else { continue };
                if matches!(tree.handle(root, gfid)?, Handle::File { .. }) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Where the symbolic link that is a gfid's handle leads to.
    fn target_of(&self, gfid: Uuid) -> Result<String, ShardError> {
        let name = gfid.to_string();
        let place = Path::new(".glusterfs").join(&name[..2]).join(&name[2..4]);
        for (set, roots) in self.inner.sets.iter().zip(&self.roots) {
            for (i, root) in roots.iter().enumerate() {
                let (Some(tree), Some(root)) = (set.tree(i), root) else { continue };
                if let FoundDirectory::Directory(dir) = tree.directory(root, &place)?
                    && let Some(link) = tree.symlink(&dir, Path::new(&name))?
                {
                    return Ok(String::from_utf8_lossy(&link.target).into_owned());
                }
            }
        }
        Ok(String::new())
    }
}
