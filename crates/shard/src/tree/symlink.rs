//! Symbolic links of a volume. They are read, and never followed.

use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use uuid::Uuid;

use super::{BrickTree, Directory};
use crate::ShardError;
use crate::raw::xattr;

/// A symbolic link on one brick.
#[derive(Debug)]
pub(crate) struct Symlink {
    /// Its device and inode.
    pub(crate) identity: (u64, u64),
    /// Where it leads to.
    pub(crate) target: Vec<u8>,
    /// Its gfid; `None` where it has none, as in a dump that was made without `getfattr -h`.
    pub(crate) gfid: Option<Uuid>,
}

impl BrickTree {
    /// The symbolic link `name`, a single component, in `dir`; `None` where it is none.
    pub(crate) fn symlink(&self, dir: &Directory, name: &Path) -> Result<Option<Symlink>, ShardError> {
        let path = dir.path.join(name);
        let fail = |doing, error: Errno| ShardError::io(doing, self.local.join(&path), error);
        let stat = match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(fail("look at", error)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(None);
        }
        let target = rustix::fs::readlinkat(&dir.fd, name, Vec::new())
            .map_err(|error| fail("read the link", error))?
            .into_bytes();
        let gfid = match self.dumped(&path) {
            Some(xattrs) => xattrs.and_then(|xattrs| xattr::uuid(xattrs.get(xattr::GFID)?)),
            // There is no other way to the xattrs of a link than by a path. The last part of it isn't followed.
            None => {
                let link = Path::new("/proc/self/fd").join(dir.fd.as_raw_fd().to_string()).join(name);
                let mut value = [0; 16];
                match rustix::fs::lgetxattr(&link, xattr::GFID, &mut value) {
                    Ok(len) => value.get(..len).and_then(xattr::uuid),
                    Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => None,
                    Err(error) => return Err(fail("read the xattrs of", error)),
                }
            }
        };
        Ok(Some(Symlink { identity: (stat.st_dev, stat.st_ino), target, gfid }))
    }
}
