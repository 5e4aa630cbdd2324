//! What one brick has under a name.

use std::path::Path;

use rustix::io::Errno;
use uuid::Uuid;

use super::{Blame, Set, fragments};
use crate::ShardError;
use crate::raw::xattr;
use crate::tree::{Directory, Found, LINKTO_MODE, OpenFile};

/// One brick's copy of a file.
#[derive(Debug)]
pub(crate) struct Copy {
    /// The brick's number in its set.
    pub(crate) member: usize,
    pub(crate) open: OpenFile,
    pub(crate) gfid: Uuid,
    pub(crate) blame: Blame,
    /// Where the data is, if this is a link file.
    pub(crate) linkto: Option<String>,
    /// [`xattr::SHARD_BLOCK_SIZE`] and [`xattr::SHARD_FILE_SIZE`], where they were asked for and are there.
    pub(crate) shard_size: Option<u64>,
    pub(crate) file_size: Option<xattr::FileSize>,
    /// What is wrong with one of these two, where it is of no use.
    pub(crate) bad_base: Option<&'static str>,
    /// When its content last changed, as Gluster keeps it, where that was asked for and is there.
    pub(crate) mtime: Option<(i64, i64)>,
    /// The size in bytes of the file that this is a fragment of; 0 for what is no fragment.
    pub(crate) coded_size: u64,
}

/// What looking for a name on one brick brought.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The brick is not here.
    NotLooked,
    /// The name is not there.
    Absent,
    /// A file.
    Copy(Box<Copy>),
    /// Something that can't be used: what and why.
    Bad(String),
}

impl Set {
    /// Looks for `name` in `dir` on brick `i`. `base` asks for the xattrs of a sharded file, too.
    pub(crate) fn look(
        &self,
        i: usize,
        dir: &Directory,
        name: &Path,
        base: bool,
    ) -> Result<Seen, ShardError> {
        let Some(tree) = self.tree(i) else { return Ok(Seen::NotLooked) };
        let open = match tree.find(dir, name) {
            Ok(Found::Nothing) => return Ok(Seen::Absent),
            Ok(Found::Other(what)) => return Ok(Seen::Bad(format!("is {what}, not a regular file"))),
            Ok(Found::File(open)) => open,
            // Trying again can help; another brick's copy would hide that.
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => return Ok(Seen::Bad(format!("can't be used: {error}"))),
        };
        match self.examine(i, dir, name, open, base) {
            Ok(copy) => Ok(Seen::Copy(Box::new(copy))),
            Err(why) => Ok(Seen::Bad(why)),
        }
    }

    fn examine(
        &self,
        i: usize,
        dir: &Directory,
        name: &Path,
        open: OpenFile,
        base: bool,
    ) -> Result<Copy, String> {
        let tree = self.tree(i).ok_or("is on a brick that is not here")?;
        let unreadable = |error: Errno| format!("has xattrs that can't be read: {error}");
        let xattrs = tree.xattrs(&open.file, &dir.path.join(name)).map_err(unreadable)?;
        let get = |name: &str| xattrs.get(&open.file, name).map_err(unreadable);
        let gfid = get(xattr::GFID)?.ok_or("has no trusted.gfid")?;
        let gfid = xattr::uuid(&gfid).ok_or("has a trusted.gfid that is not of 16 bytes")?;
        let linkto = match (open.mode == LINKTO_MODE).then(|| get(xattr::LINKTO)).transpose()?.flatten() {
            Some(value) => {
                Some(xattr::linkto(&value).ok_or("has a linkto xattr that names no subvolume")?.to_owned())
            }
            None => None,
        };
        let (mut shard_size, mut file_size, mut bad_base) = (None, None, None);
        if base {
            if let Some(value) = get(xattr::SHARD_BLOCK_SIZE)? {
                let size = xattr::shard_block_size(&value).filter(|size| *size > 0 && size % 512 == 0);
                shard_size = size;
                if size.is_none() {
                    bad_base = Some("has a shard block size that is no multiple of 512");
                }
            }
            if let Some(value) = get(xattr::SHARD_FILE_SIZE)? {
                let size = xattr::file_size(&value).filter(|size| i64::try_from(size.size).is_ok());
                file_size = size;
                if size.is_none() {
                    bad_base = Some("has a shard file size that is not four words, the first below 2^63");
                }
            }
        }
        let mtime = match self.wants_times().then(|| get(xattr::MDATA)).transpose()?.flatten() {
            Some(value) => xattr::mdata(&value).and_then(|mdata| {
                Some((i64::try_from(mdata.mtime.sec).ok()?, i64::try_from(mdata.mtime.nsec).ok()?))
            }),
            None => None,
        };
        let blame = self.blame(&open.file, &xattrs)?;
        let coded_size = match self.code {
            Some(code) if linkto.is_none() => fragments::coded_size(code, &open.file, &xattrs)?,
            _ => 0,
        };
        Ok(Copy { member: i, open, gfid, blame, linkto, shard_size, file_size, bad_base, mtime, coded_size })
    }
}
