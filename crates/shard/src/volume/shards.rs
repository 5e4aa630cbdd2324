//! `/.shard` on each subvolume, and what it proves where it is absent.
//!
//! A volume that never had a shard has no such directory, and a set that was added has none until the layout is fixed. A
//! brick that lost it, or a copy of a tree without the names that begin with a dot, looks the same, and proves nothing.

use std::path::Path;

use super::Inner;
use crate::ShardError;
use crate::raw::xattr;
use crate::set::{DirState, Set, SetDir, covers_all_hashes};
use crate::tree::{FoundDirectory, Handle};

/// `/.shard` on each set, given the roots. It is absent where that is proven, and else unknown.
pub(super) fn shard_dirs(sets: &[Set], roots: &[SetDir]) -> Result<Vec<SetDir>, ShardError> {
    let mut dirs = Vec::with_capacity(sets.len());
    for (set, root) in sets.iter().zip(roots) {
        let mut dir = set.subdirectory(root, Path::new(".shard"))?;
        if dir.state == DirState::Absent
            && let Some(why) = lost(set)?
        {
            dir.state = DirState::Unknown(why);
        }
        dirs.push(dir);
    }
    let any = dirs.iter().any(|dir| dir.state == DirState::Present);
    if any && !covers_all_hashes(&dirs) {
        for dir in dirs.iter_mut().filter(|dir| dir.state == DirState::Absent) {
            let why = "it has no /.shard, and hashes of shards' names belong to no other subvolume";
            dir.state = DirState::Unknown(why.to_owned());
        }
    }
    Ok(dirs)
}

impl Inner {
    /// Why a file must have had shards, where no subvolume has `/.shard`: more bytes are counted as allocated for it, the
    /// first of these, than for its base.
    pub(crate) fn shards_lost(&self, allocated: Option<(u64, u64)>) -> Option<String> {
        let (recorded, base) = allocated?;
        let none = self.shard_dirs.iter().all(|dir| dir.state == DirState::Absent);
        (none && recorded > base).then(|| {
            format!(
                "no brick has /.shard, but the size xattr counts {recorded} bytes as allocated, and the first shard has \
                 {base} of them"
            )
        })
    }
}

/// Why a set without `/.shard` may have had it; `None` where nothing says so.
fn lost(set: &Set) -> Result<Option<String>, ShardError> {
    let mut with_handles = false;
    for tree in set.trees.iter().flatten() {
        let root = tree.root()?;
        let name = &tree.name;
        if tree.handle(&root, xattr::SHARD_DIR_GFID)? != Handle::Nothing {
            return Ok(Some(format!(
                "brick {name} has lost its /.shard: it still has the directory's handle"
            )));
        }
        with_handles |=
            matches!(tree.directory(&root, Path::new(".glusterfs"))?, FoundDirectory::Directory(_));
    }
    Ok((!with_handles).then(|| {
        "none of its bricks has /.shard nor .glusterfs, so that they seem to be copied without names that begin with a dot"
            .to_owned()
    }))
}
