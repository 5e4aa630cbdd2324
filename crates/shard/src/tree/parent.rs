//! Where a directory is, by its handle: a symbolic link `../../aa/bb/PARENT-GFID/NAME`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use uuid::Uuid;

use super::{BrickTree, Directory, FoundDirectory};
use crate::ShardError;

impl BrickTree {
    /// The gfid of the directory that the directory `gfid` is in, and its name there; `None` where the brick has no handle
    /// of a directory for it. The link is read, and not followed.
    pub(crate) fn parent(&self, gfid: Uuid) -> Result<Option<(Uuid, OsString)>, ShardError> {
        let name = gfid.to_string();
        let path = Path::new(".glusterfs").join(&name[..2]).join(&name[2..4]);
        let FoundDirectory::Directory(dir) = self.directory(&self.root()?, &path)? else { return Ok(None) };
        self.parent_by(&dir, Path::new(&name))
    }

    fn parent_by(&self, dir: &Directory, name: &Path) -> Result<Option<(Uuid, OsString)>, ShardError> {
        let fail =
            |error: Errno| ShardError::io("read the link", self.local.join(&dir.path).join(name), error);
        match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(fail(error)),
        }
        match rustix::fs::readlinkat(&dir.fd, name, Vec::new()) {
            Ok(target) => Ok(parse(target.as_bytes())),
            // No symbolic link: the handle of a file.
            Err(Errno::INVAL) => Ok(None),
            Err(error) => Err(fail(error)),
        }
    }
}

/// Reads `../../aa/bb/GFID/NAME`. The root's own handle is another link, which has no name in it.
fn parse(target: &[u8]) -> Option<(Uuid, OsString)> {
    let mut parts = target.strip_prefix(b"../../")?.split(|&byte| byte == b'/');
    let (first, second, gfid, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || name.is_empty() || name == b"." || name == b".." {
        return None;
    }
    let fits = gfid.len() == 36 && gfid.starts_with(first) && gfid.get(2..4) == Some(second);
    let gfid = Uuid::try_parse_ascii(gfid).ok().filter(|_| fits && first.len() == 2)?;
    Some((gfid, OsString::from_vec(OsStr::from_bytes(name).as_bytes().to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_as_gluster_makes_them_lead_to_a_directory() {
        let root = "00000000-0000-0000-0000-000000000001";
        let (gfid, name) = parse(format!("../../00/00/{root}/vm 1").as_bytes()).unwrap();
        assert_eq!((gfid.as_u128(), name.to_str()), (1, Some("vm 1")));
        for bad in [
            "../../..",
            "/etc/passwd",
            "../../00/00/x/vm",
            &format!("../../00/01/{root}/vm"),
            &format!("../../00/00/{root}/.."),
            &format!("../../00/00/{root}/"),
            &format!("../../00/00/{root}/a/b"),
            &format!("../../00/00/{root}"),
            &format!("../00/00/{root}/vm"),
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
