//! `/.shard` on each subvolume, and what it proves where it is absent.
//!
//! A volume that never had a shard has no such directory, and a set that was added has none until the layout is fixed. A
//! brick that lost it, or a copy of a tree without the names that begin with a dot, looks the same, and proves nothing.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use uuid::Uuid;

use super::Inner;
use super::names::own_names;
use crate::ShardError;
use crate::file::shard_number;
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

impl Inner {
    /// The shards of a file of which a brick has the handle alone, with bytes in it: their names were lost, and what has no
    /// name looks like a hole. All handles are gone through, once for a volume.
    pub(crate) fn nameless_shards(&self, gfid: Uuid) -> Result<BTreeSet<u64>, ShardError> {
        let all = match self.nameless.get() {
            Some(all) => all,
            None => {
                let found = self.all_nameless_shards()?;
                self.nameless.get_or_init(|| found)
            }
        };
        Ok(all.iter().filter(|(file, _)| *file == gfid).map(|(_, shard)| *shard).collect())
    }

    fn all_nameless_shards(&self) -> Result<Vec<(Uuid, u64)>, ShardError> {
        let mut found = Vec::new();
        for tree in self.sets.iter().flat_map(|set| &set.trees).flatten() {
            let root = tree.root()?;
            for gfid in tree.nameless(&root, &mut || true)? {
                if !matches!(tree.handle(&root, gfid)?, Handle::File { len: 1.., .. }) {
                    continue;
                }
                let names = own_names(tree, gfid)?.into_iter();
                let of_shards = names.filter(|(parent, _)| *parent == xattr::SHARD_DIR_GFID);
                found.extend(of_shards.filter_map(|(_, name)| shard_of(name.as_bytes())));
            }
        }
        Ok(found)
    }
}

/// The gfid and the number in a shard's name.
fn shard_of(name: &[u8]) -> Option<(Uuid, u64)> {
    let (gfid, number) = name.split_at_checked(36)?;
    Some((Uuid::try_parse_ascii(gfid).ok()?, shard_number(number.strip_prefix(b".")?)?))
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
