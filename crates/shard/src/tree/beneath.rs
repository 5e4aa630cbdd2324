//! Opening what lies beneath a directory, following no link on the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How often a rename that races with us is put up with.
const RACES: usize = 16;

/// Opens the directory at `path` beneath `root`; an empty path is the root anew. Symbolic links on the way are
/// `ELOOP` or `ENOTDIR`.
pub(crate) fn open_dir(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut flags = DIR | OFlags::NOATIME;
    for _ in 0..RACES {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            // Only the owner and root may leave the access time alone.
            Err(Errno::PERM) if flags.contains(OFlags::NOATIME) => flags = DIR,
            // Kernels before 5.6, and sandboxes that don't know the call.
            Err(Errno::NOSYS | Errno::PERM) => return walk_to_dir(root, path),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The same, a component at a time, each followed by no link.
fn walk_to_dir(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let open = |dir: BorrowedFd<'_>, name: &Path| match rustix::fs::openat(
        dir,
        name,
        DIR | OFlags::NOATIME,
        Mode::empty(),
    ) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, DIR, Mode::empty()),
        other => other,
    };
    let mut dir = open(root, Path::new("."))?;
    for component in path.components() {
        match component {
            Component::Normal(name) => dir = open(dir.as_fd(), Path::new(name))?,
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        }
    }
    Ok(dir)
}

/// Opens the file `name`, which is a single component, in `dir` for reading. Neither a named pipe nor a device
/// makes it wait; its times stay as they are where that is permitted.
pub(crate) fn open_file(dir: impl AsFd, name: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::openat(dir.as_fd(), name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner and root may leave the access time alone.
        Err(Errno::PERM) => rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn neither_way_leaves_the_root_nor_follows_a_link() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(outside.path().join("secret")).unwrap();
        symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink("b", root.join("a/inside")).unwrap();
        let fd = rustix::fs::open(&root, DIR, Mode::empty()).unwrap();
        for open in [open_dir, walk_to_dir] {
            assert!(open(fd.as_fd(), Path::new("a/b")).is_ok());
            assert!(open(fd.as_fd(), Path::new("")).is_ok());
            for bad in ["absolute", "up", "a/inside", "..", "a/../../secret", "/etc", "a/b/c"] {
                assert!(open(fd.as_fd(), Path::new(bad)).is_err(), "{bad}");
            }
        }
    }
}
