//! Handles: `.glusterfs/aa/bb/GFID`, a second name of each file and a symbolic link for each directory.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use uuid::Uuid;

use super::{BrickTree, Directory, FoundDirectory};
use crate::ShardError;

/// What a brick has as a gfid's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handle {
    /// Nothing.
    Nothing,
    /// A regular file.
    File {
        /// Its device and inode.
        identity: (u64, u64),
        /// How many names it has, the handle included.
        names: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// A symbolic link: what directories have, and a second name of each symbolic link.
    Symlink {
        /// Its device and inode.
        identity: (u64, u64),
        /// How many names it has, the handle included.
        names: u64,
        /// The length in bytes of what it leads to.
        len: u64,
    },
    /// Something else, or something else on the way to it.
    Other,
}

/// Device and inode of an open file.
pub(crate) fn file_identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

impl BrickTree {
    /// Looks at the handle of a gfid. `root` is the brick's own root.
    pub(crate) fn handle(&self, root: &Directory, gfid: Uuid) -> Result<Handle, ShardError> {
        let name = gfid.to_string();
        let dir = Path::new(".glusterfs").join(&name[..2]).join(&name[2..4]);
        match self.directory(root, &dir)? {
            FoundDirectory::Nothing => Ok(Handle::Nothing),
            FoundDirectory::Other => Ok(Handle::Other),
            FoundDirectory::Directory(dir) => self.handle_in(&dir, Path::new(&name)),
        }
    }

    /// Looks at `name`, a single component, in a directory, without opening it.
    pub(crate) fn handle_in(&self, dir: &Directory, name: &Path) -> Result<Handle, ShardError> {
        let stat = match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Handle::Nothing),
            Err(error) => {
                return Err(ShardError::io("look at", self.local.join(&dir.path).join(name), error));
            }
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Handle::File {
                identity: (stat.st_dev, stat.st_ino),
                names: stat.st_nlink,
                len: u64::try_from(stat.st_size).unwrap_or(0),
            },
            FileType::Symlink => Handle::Symlink {
                identity: (stat.st_dev, stat.st_ino),
                names: stat.st_nlink,
                len: u64::try_from(stat.st_size).unwrap_or(0),
            },
            _ => Handle::Other,
        })
    }
}
