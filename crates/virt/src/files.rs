//! The few things done to files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{Error, IntendedDisk, Tag};

/// The name of a stale overlay on its way out. No definition names it, so a domain that someone points at the old name
/// fails to start instead of running on stale data.
pub(crate) fn quarantine(disk: &IntendedDisk) -> PathBuf {
    let mut name = disk.overlay.as_os_str().to_owned();
    name.push(".stale");
    name.into()
}

pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// The bytes allocated to a file, or its length where the file system tells no blocks; 0 where it can't be seen.
pub(crate) fn allocated(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| match metadata.blocks() {
        0 => metadata.len(),
        blocks => blocks.saturating_mul(512),
    })
}

/// Whether one file was written to later than the other.
pub(crate) fn is_newer(path: &Path, other: &Path) -> Result<bool, Error> {
    let modified = |path| {
        let metadata = fs::metadata(path).map_err(failed("look at", path))?;
        Ok::<_, Error>((metadata.mtime(), metadata.mtime_nsec()))
    };
    Ok(modified(path)? > modified(other)?)
}

/// Brings what the hypervisor wrote to a file to stable storage, through the same mount.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("bring to stable storage", path))
}

/// Renames, durably, to a name that is free.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    if exists(to)? {
        return Err(failed("rename another file to", to)(io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(from, to).map_err(failed("rename", from))?;
    sync_directory_of(to)
}

/// Removes a stale overlay, durably. It must carry the tag; anything else is not ours.
pub(crate) fn remove(path: &Path, overlay: &Path, tag: &Tag) -> Result<(), Error> {
    if !tag.marks(overlay) {
        let error = io::Error::new(io::ErrorKind::InvalidInput, format!("it doesn't carry the tag {tag}"));
        return Err(failed("remove", overlay)(error));
    }
    fs::remove_file(path).map_err(failed("remove", path))?;
    sync_directory_of(path)
}

fn sync_directory_of(path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(failed("bring to stable storage", directory))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::File { what, path: path.to_owned(), source }
}
