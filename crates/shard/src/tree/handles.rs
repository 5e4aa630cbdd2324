//! Going through the handles of a brick.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use uuid::Uuid;

use super::{BrickTree, Directory, FoundDirectory, for_each_name};
use crate::ShardError;
use crate::raw::xattr;

impl BrickTree {
    /// The gfids of files and symbolic links that have no name on the brick but their handle. `go_on` is asked after each
    /// directory of handles.
    pub(crate) fn nameless(
        &self,
        root: &Directory,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Uuid>, ShardError> {
        let mut found = Vec::new();
        for first in hex_names(self, root, Path::new(".glusterfs"))? {
            let above = Path::new(".glusterfs").join(&first);
            for second in hex_names(self, root, &above)? {
                if !go_on() {
                    return Ok(found);
                }
                let path = above.join(&second);
                let FoundDirectory::Directory(dir) = self.directory(root, &path)? else { continue };
                let mut alone = Vec::new();
                each_gfid(self, root, &path, &mut |gfid| {
                    let text = gfid.to_string();
                    let stat = rustix::fs::statat(&dir.fd, &*text, AtFlags::SYMLINK_NOFOLLOW);
                    let at_home = text.starts_with(&first) && text.get(2..4) == Some(second.as_str());
                    if let (true, Ok(stat)) = (at_home, stat)
                        && stat.st_nlink == 1
                    {
                        alone.push((gfid, FileType::from_raw_mode(stat.st_mode)));
                    }
                })?;
                for (gfid, kind) in alone {
                    match kind {
                        FileType::RegularFile => found.push(gfid),
                        // That of a directory leads to it; the root's has no name in it.
                        FileType::Symlink if gfid != xattr::ROOT_GFID && self.parent(gfid)?.is_none() => {
                            found.push(gfid);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The names of two hexadecimal digits in a directory, in order.
pub(crate) fn hex_names(
    tree: &BrickTree,
    root: &Directory,
    path: &Path,
) -> Result<BTreeSet<String>, ShardError> {
    let mut names = BTreeSet::new();
    list(tree, root, path, &mut |name| {
        if let [a, b] = name
            && a.is_ascii_hexdigit()
            && b.is_ascii_hexdigit()
        {
            names.extend(String::from_utf8(name.to_vec()));
        }
    })?;
    Ok(names)
}

/// Calls `each` with every gfid that is a name in a directory.
pub(crate) fn each_gfid(
    tree: &BrickTree,
    root: &Directory,
    path: &Path,
    each: &mut dyn FnMut(Uuid),
) -> Result<(), ShardError> {
    list(tree, root, path, &mut |name| {
        if name.len() == 36
            && let Ok(gfid) = Uuid::try_parse_ascii(name)
        {
            each(gfid);
        }
    })
}

/// Calls `each` with every name in a directory; with none where there is no such directory.
fn list(
    tree: &BrickTree,
    root: &Directory,
    path: &Path,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), ShardError> {
    let FoundDirectory::Directory(dir) = tree.directory(root, path)? else { return Ok(()) };
    for_each_name(tree.reopen(&dir)?, each)
        .map_err(|error| ShardError::io("list", tree.local.join(path), error))
}
