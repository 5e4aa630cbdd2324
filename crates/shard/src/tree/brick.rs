//! One brick.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use uuid::Uuid;

use super::{Xattrs, beneath};
use crate::ShardError;
use crate::raw::{dump, xattr};
use crate::topology::BrickName;

/// No dump of xattrs that is read here is longer than this many bytes.
const DUMP_LIMIT: u64 = 4 << 30;

/// The mode of a link file: the sticky bit alone.
pub(crate) const LINKTO_MODE: u32 = 0o1000;

/// A brick that is here.
#[derive(Debug)]
pub(crate) struct BrickTree {
    pub(crate) name: BrickName,
    pub(crate) local: PathBuf,
    root: OwnedFd,
    /// Xattrs by path beneath the root, where they come from a dump.
    dump: Option<HashMap<Vec<u8>, dump::Xattrs>>,
    /// Device and inode of the root.
    pub(crate) identity: (u64, u64),
    /// The id of the volume that the brick belongs to.
    pub(crate) volume_id: Uuid,
}

/// A directory of a brick.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) fd: OwnedFd,
    /// Beneath the brick's root; empty for the root.
    pub(crate) path: PathBuf,
}

/// What a path that ought to lead to a directory leads to.
#[derive(Debug)]
pub(crate) enum FoundDirectory {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory(Directory),
    /// Something else, or by way of something else.
    Other,
}

/// A regular file of a brick.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) len: u64,
    /// Bytes allocated on the brick's file system.
    pub(crate) allocated: u64,
    /// Permission bits with set-uid, set-gid and sticky.
    pub(crate) mode: u32,
    /// When its content last changed: seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, i64),
}

/// What a name is; where bricks differ, the greater one is looked at more closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing, or nothing that can be looked at.
    Nothing,
    /// What looks like one of DHT's link files. Symbolic links, pipes and devices have them, too, after a rename.
    LinkFile,
    /// A device, socket or named pipe.
    Special,
    /// A symbolic link.
    Symlink,
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// What a name leads to.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A regular file.
    File(OpenFile),
    /// Something else: what, in words.
    Other(&'static str),
}

impl BrickTree {
    /// Opens the brick in the directory `local`. Its xattrs are those in `xattr_dump`, where one is given;
    /// else those of the file system; else, where these can't be seen, those in the dump `LOCAL.getfattr`.
    ///
    /// The error is a sentence on why the directory can't be used.
    pub(crate) fn open(name: BrickName, local: &Path, xattr_dump: Option<&Path>) -> Result<Self, String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(local, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => "there is no such directory".to_owned(),
            error => format!("it can't be opened: {error}"),
        })?;
        let stat = rustix::fs::fstat(&root).map_err(|error| format!("it can't be looked at: {error}"))?;
        let mut tree = Self {
            name,
            local: local.to_owned(),
            root,
            dump: None,
            identity: (stat.st_dev, stat.st_ino),
            volume_id: Uuid::nil(),
        };
        if let Some(path) = xattr_dump {
            tree.dump = Some(load_dump(path)?);
        } else if tree.root_xattr(xattr::GFID)?.is_none() {
            let mut beside = local.as_os_str().to_owned();
            beside.push(".getfattr");
            if !Path::new(&beside).is_file() {
                return Err(if rustix::process::geteuid().is_root() {
                    "its root has no trusted.gfid, so it is no brick, or was copied without its xattrs"
                        .to_owned()
                } else {
                    "its root shows no trusted.gfid; trusted.* xattrs can be seen by root only".to_owned()
                });
            }
            tree.dump = Some(load_dump(Path::new(&beside))?);
        }
        match tree.root_xattr(xattr::GFID)?.as_deref().map(xattr::uuid) {
            Some(Some(xattr::ROOT_GFID)) => {}
            _ => return Err("its trusted.gfid is not that of a volume's root".to_owned()),
        }
        let id = tree.root_xattr(xattr::VOLUME_ID)?;
        tree.volume_id = id
            .as_deref()
            .and_then(xattr::uuid)
            .ok_or("its root has no trusted.glusterfs.volume-id of 16 bytes, so it is no brick's root")?;
        Ok(tree)
    }

    fn root_xattr(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.xattrs(&self.root, Path::new(""))
            .and_then(|xattrs| xattrs.get(&self.root, name))
            .map_err(|error| format!("its xattrs can't be read: {error}"))
    }

    /// The xattrs of the open `fd`, which lies at `path` beneath the root.
    pub(crate) fn xattrs(&self, fd: impl AsFd, path: &Path) -> Result<Xattrs<'_>, Errno> {
        match &self.dump {
            Some(files) => Ok(Xattrs::Dump(files.get(path.as_os_str().as_bytes()))),
            None => Xattrs::of_fd(fd),
        }
    }

    /// The xattrs of what lies at `path` beneath the root, where a dump has the brick's.
    pub(super) fn dumped(&self, path: &Path) -> Option<Option<&dump::Xattrs>> {
        self.dump.as_ref().map(|files| files.get(path.as_os_str().as_bytes()))
    }

    /// The root.
    pub(crate) fn root(&self) -> Result<Directory, ShardError> {
        match beneath::open_dir(self.root.as_fd(), Path::new("")) {
            Ok(fd) => Ok(Directory { fd, path: PathBuf::new() }),
            Err(error) => Err(ShardError::io("open", &self.local, error)),
        }
    }

    /// A descriptor of `dir` of its own, to list it by.
    pub(crate) fn reopen(&self, dir: &Directory) -> Result<OwnedFd, ShardError> {
        beneath::open_dir(dir.fd.as_fd(), Path::new(""))
            .map_err(|error| ShardError::io("open", self.local.join(&dir.path), error))
    }

    /// When a name in `dir` was last added or taken away, by the file system's clock; the future where that can't be told.
    pub(crate) fn names_changed(&self, dir: &Directory) -> Result<SystemTime, ShardError> {
        let stat = rustix::fs::fstat(&dir.fd)
            .map_err(|error| ShardError::io("look at", self.local.join(&dir.path), error))?;
        let since = u64::try_from(stat.st_mtime)
            .ok()
            .and_then(|seconds| Some(Duration::new(seconds, u32::try_from(stat.st_mtime_nsec).ok()?)));
        let changed = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        Ok(changed.unwrap_or_else(|| SystemTime::now() + Duration::from_secs(3600)))
    }

    /// The directory at `path` beneath `dir`.
    pub(crate) fn directory(&self, dir: &Directory, path: &Path) -> Result<FoundDirectory, ShardError> {
        let whole = dir.path.join(path);
        match beneath::open_dir(dir.fd.as_fd(), path) {
            Ok(fd) => Ok(FoundDirectory::Directory(Directory { fd, path: whole })),
            Err(Errno::NOENT) => Ok(FoundDirectory::Nothing),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(FoundDirectory::Other),
            Err(error) => Err(ShardError::io("open", self.local.join(whole), error)),
        }
    }

    /// What `name`, a single component, is in `dir`.
    pub(crate) fn kind(&self, dir: &Directory, name: &Path) -> Kind {
        let stat = rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map_or(Kind::Nothing, |stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_mode & 0o7777 == LINKTO_MODE && stat.st_size == 0 => {
                Kind::LinkFile
            }
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Special,
        })
    }

    /// Whether `name` in `dir` is a regular file that is not empty.
    pub(crate) fn has_bytes(&self, dir: &Directory, name: &[u8]) -> bool {
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size > 0
        })
    }

    /// Bytes of the regular file `name` in `dir`; 0 where there is none.
    pub(crate) fn len_of(&self, dir: &Directory, name: &[u8]) -> u64 {
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        let stat = rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let file = stat.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        file.and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0)
    }

    /// What `name`, a single component, leads to in `dir`. A file is open for reading afterwards.
    pub(crate) fn find(&self, dir: &Directory, name: &Path) -> Result<Found, ShardError> {
        let fail = |doing, error: Errno| ShardError::io(doing, self.local.join(&dir.path).join(name), error);
        let stat = match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(fail("look at", error)),
        };
        // Looked at before it is opened: opening a device can have effects.
        if let Some(what) = not_a_file(FileType::from_raw_mode(stat.st_mode)) {
            return Ok(Found::Other(what));
        }
        let file = match beneath::open_file(&dir.fd, name) {
            Ok(fd) => File::from(fd),
            // A link file's mode lets nobody read it. With its xattrs in a dump nothing of it has to be read.
            Err(Errno::ACCESS) if self.dump.is_some() && stat.st_mode & 0o7777 == LINKTO_MODE => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&dir.fd, name, flags, Mode::empty())
                    .map_err(|error| fail("open", error))?
                    .into()
            }
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(Errno::LOOP) => return Ok(Found::Other("a symbolic link")),
            Err(error) => return Err(fail("open", error)),
        };
        let meta = file
            .metadata()
            .map_err(|error| ShardError::io("look at", self.local.join(&dir.path).join(name), error))?;
        if !meta.is_file() || (meta.dev(), meta.ino()) != (stat.st_dev, stat.st_ino) {
            return Err(ShardError::Changed {
                what: dir.path.join(name).display().to_string(),
                brick: self.name.clone(),
            });
        }
        Ok(Found::File(OpenFile {
            len: meta.len(),
            allocated: meta.blocks().saturating_mul(512),
            mode: meta.mode() & 0o7777,
            mtime: (meta.mtime(), meta.mtime_nsec()),
            file,
        }))
    }
}

const fn not_a_file(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a named pipe"),
        FileType::Socket => Some("a socket"),
        FileType::BlockDevice | FileType::CharacterDevice => Some("a device"),
        FileType::Unknown => Some("something unknown"),
    }
}

/// Reads a dump, and makes its paths relative to the brick's root: the shortest path with the root's gfid.
fn load_dump(path: &Path) -> Result<HashMap<Vec<u8>, dump::Xattrs>, String> {
    let fail = |problem: String| format!("its dump of xattrs {}: {problem}", path.display());
    let file = beneath::open_file(rustix::fs::CWD, path).map_err(|error| fail(error.to_string()))?;
    let file = File::from(file);
    let meta = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !meta.is_file() || meta.len() > DUMP_LIMIT {
        return Err(fail("it is no regular file of at most 4 GiB".to_owned()));
    }
    let mut text = Vec::new();
    file.take(DUMP_LIMIT).read_to_end(&mut text).map_err(|error| fail(error.to_string()))?;
    let files = dump::parse(&text).map_err(&fail)?;
    let is_root = |xattrs: &dump::Xattrs| {
        xattrs.get(xattr::GFID).and_then(|value| xattr::uuid(value)) == Some(xattr::ROOT_GFID)
            && xattrs.contains_key(xattr::VOLUME_ID)
    };
    let mut roots: Vec<&[u8]> =
        files.iter().filter(|(_, xattrs)| is_root(xattrs)).map(|(path, _)| path.as_slice()).collect();
    roots.sort_unstable_by_key(|path| path.len());
    // getfattr tells of the root again where the root's handle leads to it.
    let handle = format!(".glusterfs/00/00/{}", xattr::ROOT_GFID);
    let (root, others) = match roots.split_first() {
        Some((root, others)) => (root.to_vec(), others),
        None => return Err(fail("it does not hold a brick's root (trusted.gfid and volume-id)".to_owned())),
    };
    if others.iter().any(|other| beneath_root(&root, other).as_deref() != Some(handle.as_bytes())) {
        return Err(fail("it holds the roots of several bricks (trusted.gfid and volume-id)".to_owned()));
    }
    Ok(files.into_iter().filter_map(|(path, xattrs)| Some((beneath_root(&root, &path)?, xattrs))).collect())
}

fn beneath_root(root: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    if root == b"." {
        // `getfattr -R .` may write `./a` or `a`, and `.` for the root itself.
        let path = path.strip_prefix(b"./").unwrap_or(path);
        return Some(if path == b"." { Vec::new() } else { path.to_vec() });
    }
    let root = root.strip_suffix(b"/").unwrap_or(root);
    match path.strip_prefix(root)? {
        [] | [b'/'] => Some(Vec::new()),
        [b'/', rest @ ..] => Some(rest.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_dump_become_relative_to_the_bricks_root() {
        for (root, path, expected) in [
            ("bricks/b0", "bricks/b0", Some("")),
            ("bricks/b0", "bricks/b0/.shard/x", Some(".shard/x")),
            ("bricks/b0", "bricks/b01/x", None),
            (".", ".", Some("")),
            (".", "./a", Some("a")),
            (".", "a", Some("a")),
        ] {
            let got = beneath_root(root.as_bytes(), path.as_bytes());
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{root} {path}");
        }
    }
}
