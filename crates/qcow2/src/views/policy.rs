//! Who may open what an image names.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use stillpoint_storage::{FileStorage, Storage};

use super::reference::{Reference, ReferenceError, Target};
use crate::Name;

/// What tells one file from another, so that a chain that comes back to a file is found out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileId {
    /// Device and inode of a local file.
    Inode {
        /// `st_dev`.
        dev: u64,
        /// `st_ino`.
        ino: u64,
    },
    /// Whatever else is unique among the files that one resolver opens, such as a Gluster file's gfid.
    Other(Vec<u8>),
}

/// An open file with the name by which it is known.
#[derive(Clone)]
pub struct Source {
    /// What holds its bytes.
    pub storage: Arc<dyn Storage>,
    /// Its name: what `info` shows, and what relative names in it are relative to.
    pub name: Name,
    /// What tells it from other files, where that is known.
    pub id: Option<FileId>,
}

impl Source {
    /// A source that is no local file.
    pub fn new(storage: Arc<dyn Storage>, name: impl Into<Name>, id: Option<FileId>) -> Self {
        Self { storage, name: name.into(), id }
    }

    /// Opens the local file at `path`, which is also its name.
    ///
    /// # Errors
    /// When it can't be opened, or is neither a regular file nor a block device.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::from_storage(FileStorage::open(path)?, path.into())
    }

    /// What QEMU says of a file `name` that [`open`](Self::open) failed to open with `error`.
    #[must_use]
    pub fn qemu_text(name: &str, error: &io::Error) -> String {
        if name.is_empty() {
            return "The 'file' block driver requires a file name".to_owned();
        }
        if error.kind() == io::ErrorKind::IsADirectory {
            return format!("'file' driver requires '{name}' to be a regular file");
        }
        // As C's `strerror` words it.
        let text = error.to_string();
        format!("Could not open '{name}': {}", text.split(" (os error").next().unwrap_or(&text))
    }

    fn from_storage(storage: FileStorage, name: Name) -> io::Result<Self> {
        let id = Self::file_id(storage.file())?;
        Ok(Self { storage: Arc::new(storage), name, id: Some(id) })
    }

    /// What tells an open local file from others.
    pub(super) fn file_id(file: &File) -> io::Result<FileId> {
        let meta = file.metadata()?;
        Ok(FileId::Inode { dev: meta.dev(), ino: meta.ino() })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Opens what an image names, or refuses to.
///
/// An image is input from outside: it may name `/etc/shadow` as its backing file, and who reads the chain would
/// then show it (CVE-2015-5163, CVE-2024-32498). So nothing that an image names is opened but through this
/// trait. [`DenyAll`] is the default, [`Below`] what most callers want.
pub trait Resolver: Send + Sync {
    /// Opens what `reference` names.
    ///
    /// # Errors
    /// When it isn't allowed, isn't a file, or can't be opened.
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError>;
}

/// Opens nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct DenyAll;

impl Resolver for DenyAll {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        Err(ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() })
    }
}

/// Opens any local file. Only for images that are trusted.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyFile;

impl Resolver for AnyFile {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let path = path_of(reference)?;
        Source::open(path.as_path()).map_err(|source| ReferenceError::Open { path: path.clone(), source })
    }
}

/// Opens files below one directory.
///
/// The directory is opened once, and the kernel walks down from there (`openat2`, `RESOLVE_BENEATH`), so that
/// neither `..` nor a symbolic link leads out of it, not even one that is put there meanwhile. A path that
/// leaves the directory and comes back is refused too.
#[derive(Debug)]
pub struct Below {
    root: OwnedFd,
    /// The directory's absolute path as given, and without symbolic links.
    names: [PathBuf; 2],
}

impl Below {
    /// Allows files below `root`.
    ///
    /// # Errors
    /// When `root` can't be opened, or is no directory.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = root.as_ref();
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty())?;
        Ok(Self { root: fd, names: [std::path::absolute(root)?, root.canonicalize()?] })
    }

    /// Allows files below the directory that `image` is in.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn directory_of(image: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(image.as_ref().parent().unwrap_or(Path::new("/")))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.names[0]
    }

    /// The path from the directory on, if it is below it by its name.
    fn relative(&self, path: &Name) -> io::Result<Option<PathBuf>> {
        let absolute = std::path::absolute(path.as_path())?;
        Ok(self.names.iter().find_map(|root| absolute.strip_prefix(root).ok()).map(Path::to_path_buf))
    }

    fn outside(&self, reference: &Reference) -> ReferenceError {
        ReferenceError::Outside {
            kind: reference.kind,
            name: reference.stored.clone(),
            root: self.root().to_path_buf(),
        }
    }

    fn open(&self, reference: &Reference, allowed: impl Fn(&Path) -> bool) -> Result<Source, ReferenceError> {
        let path = path_of(reference)?;
        let failed = |source| ReferenceError::Open { path: path.clone(), source };
        let relative = self.relative(path).map_err(failed)?;
        let relative =
            relative.filter(|relative| allowed(relative)).ok_or_else(|| self.outside(reference))?;
        match open_beneath(&self.root, &relative) {
            Ok(file) => FileStorage::from_file(file)
                .and_then(|storage| Source::from_storage(storage, path.clone()))
                .map_err(failed),
            Err(Errno::XDEV) => Err(self.outside(reference)),
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl Resolver for Below {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        self.open(reference, |_| true)
    }
}

/// Opens files that are in one directory itself, not in those below it. No symbolic link leads out of it.
#[derive(Debug)]
pub struct SameDirectory(Below);

impl SameDirectory {
    /// Allows files in the directory that `image` is in.
    ///
    /// # Errors
    /// When that can't be opened.
    pub fn of(image: impl AsRef<Path>) -> io::Result<Self> {
        Below::directory_of(image).map(Self)
    }
}

impl Resolver for SameDirectory {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let one_name = |path: &Path| {
            let mut components = path.components();
            matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
        };
        self.0.open(reference, one_name)
    }
}

fn path_of(reference: &Reference) -> Result<&Name, ReferenceError> {
    match &reference.target {
        Target::File { path, .. } => Ok(path),
        Target::Protocol { scheme } => {
            Err(ReferenceError::Protocol { name: reference.stored.clone(), scheme: scheme.clone() })
        }
    }
}

/// How a file is opened that an image names: without waiting for the other end of a pipe, or taking a terminal.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens `path` with no step that leads out of `root`; `XDEV` when one does.
fn open_beneath(root: &OwnedFd, path: &Path) -> rustix::io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks to try again when something was renamed under its feet.
    for _ in 0..16 {
        match rustix::fs::openat2(root, path, READ, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS) => return open_stepwise(root, path),
            other => return other.map(File::from),
        }
    }
    Err(Errno::AGAIN)
}

/// The same on a kernel without `openat2` (before 5.6): no symbolic link is followed, and no `..`, at all.
fn open_stepwise(root: &OwnedFd, path: &Path) -> rustix::io::Result<File> {
    let mut at = rustix::io::dup(root)?;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => return Err(Errno::XDEV),
        };
        let last = components.peek().is_none();
        let flags = if last { READ } else { OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC };
        at = rustix::fs::openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| if error == Errno::LOOP { Errno::XDEV } else { error })?;
        if last {
            return Ok(File::from(at));
        }
    }
    Err(Errno::ISDIR)
}

#[cfg(test)]
mod tests;
