//! Silent damage to shards on bricks, as tests of the proof need it: what a copy holds is wrong, and neither its
//! size nor its modification time tells.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{IoContext, LabError, Result};
use crate::site::Site;

/// Gluster's name for a file, on every brick that holds it: 16 bytes.
const GFID: &str = "trusted.gfid";

impl Site {
    /// The gfid of a file of the site's volume, from the first brick that holds it. `path` is relative to the
    /// volume's root.
    ///
    /// # Errors
    /// No brick holds the file.
    pub fn gfid(&self, path: &Path) -> Result<uuid::Uuid> {
        for brick in self.brick_dirs() {
            let file = brick.join(path);
            if let Ok(Some(value)) = xattr::get(&file, GFID)
                && let Ok(gfid) = uuid::Uuid::from_slice(&value)
            {
                return Ok(gfid);
            }
        }
        Err(LabError::Invalid(format!("no brick of {} holds {}", self.name(), path.display())))
    }

    /// Every copy of a shard with data on the site's bricks: block 0 is the file itself, the others lie in `.shard`.
    ///
    /// # Errors
    /// No brick holds the file or the shard.
    pub fn shard_copies(&self, path: &Path, index: u64) -> Result<Vec<PathBuf>> {
        let name = match index {
            0 => path.to_owned(),
            _ => Path::new(".shard").join(format!("{}.{index}", self.gfid(path)?)),
        };
        let copies: Vec<PathBuf> = self
            .brick_dirs()
            .into_iter()
            .map(|brick| brick.join(&name))
            // DHT's pointer to another brick is empty.
            .filter(|file| fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0))
            .collect();
        if copies.is_empty() {
            return Err(LabError::Invalid(format!("no brick of {} holds {}", self.name(), name.display())));
        }
        Ok(copies)
    }

    /// The indices of the shards above 0 that some brick of the site holds with data, in ascending order.
    ///
    /// # Errors
    /// No brick holds the file, or a brick cannot be listed.
    pub fn shard_indices(&self, path: &Path) -> Result<Vec<u64>> {
        let prefix = format!("{}.", self.gfid(path)?);
        let mut found = std::collections::BTreeSet::new();
        for brick in self.brick_dirs() {
            let directory = brick.join(".shard");
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).io("list", directory),
            };
            for entry in entries {
                let entry = entry.io("list", &directory)?;
                let index =
                    entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
                if let Some(index) = index
                    && entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
                {
                    found.insert(index);
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// A file open for damage, whose times are put back when done.
struct Unnoticed {
    file: File,
    path: PathBuf,
    modified: SystemTime,
    accessed: SystemTime,
}

impl Unnoticed {
    fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path).io("open", path)?;
        let metadata = file.metadata().io("look at", path)?;
        let modified = metadata.modified().io("read the time of", path)?;
        let accessed = metadata.accessed().io("read the time of", path)?;
        Ok(Self { file, path: path.to_owned(), modified, accessed })
    }

    fn close(self) -> Result<()> {
        let times = FileTimes::new().set_modified(self.modified).set_accessed(self.accessed);
        self.file.set_times(times).io("set the times of", &self.path)?;
        self.file.sync_all().io("sync", &self.path)
    }
}

/// Inverts the bits of one byte and puts the file's times back.
///
/// # Errors
/// The file is shorter, or cannot be written.
pub fn flip_byte(file: &Path, offset: u64) -> Result<()> {
    let open = Unnoticed::open(file)?;
    let mut byte = [0];
    open.file.read_exact_at(&mut byte, offset).io("read", file)?;
    open.file.write_all_at(&[!byte[0]], offset).io("write", file)?;
    open.close()
}

/// Exchanges the contents of two files; each keeps its times, its inode and its attributes.
///
/// # Errors
/// A file cannot be read or written.
pub fn swap_contents(one: &Path, other: &Path) -> Result<()> {
    let (first, second) = (Kept::of(one)?, Kept::of(other)?);
    first.write_into(other, second.modified)?;
    second.write_into(one, first.modified)
}

/// The content of a file, kept in memory (a shard: its size), to be put back later.
#[derive(Debug, Clone)]
pub struct Kept {
    path: PathBuf,
    content: Vec<u8>,
    modified: SystemTime,
}

impl Kept {
    /// Keeps a file's content and modification time.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).io("look at", path)?;
        Ok(Self { path: path.to_owned(), content: fs::read(path).io("read", path)?, modified })
    }

    /// Puts the older content into the file as it is now, under the *newer* modification time: nothing but the
    /// content tells.
    ///
    /// # Errors
    /// The file is gone or cannot be written.
    pub fn put_back(&self) -> Result<()> {
        let now =
            fs::metadata(&self.path).and_then(|metadata| metadata.modified()).io("look at", &self.path)?;
        self.write_into(&self.path, now)
    }

    /// Whether the file now holds something else than when it was kept.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn differs(&self) -> Result<bool> {
        Ok(fs::read(&self.path).io("read", &self.path)? != self.content)
    }

    fn write_into(&self, path: &Path, modified: SystemTime) -> Result<()> {
        let mut open = Unnoticed::open(path)?;
        open.modified = modified;
        open.file.set_len(self.content.len() as u64).io("size", path)?;
        open.file.write_all_at(&self.content, 0).io("write", path)?;
        open.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(path: &Path) -> SystemTime {
        fs::metadata(path).unwrap().modified().unwrap()
    }

    #[test]
    fn a_flipped_byte_shows_in_the_content_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        fs::write(&path, [1, 2, 3]).unwrap();
        let before = modified(&path);
        flip_byte(&path, 1).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [1, !2, 3]);
        assert_eq!(modified(&path), before);
        assert!(flip_byte(&path, 3).is_err());
    }

    #[test]
    fn swapped_contents_keep_their_files_times() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("1"), dir.path().join("2"));
        fs::write(&one, "first").unwrap();
        fs::write(&other, "the second").unwrap();
        let times = (modified(&one), modified(&other));
        swap_contents(&one, &other).unwrap();
        assert_eq!(fs::read(&one).unwrap(), b"the second");
        assert_eq!(fs::read(&other).unwrap(), b"first");
        assert_eq!((modified(&one), modified(&other)), times);
    }

    #[test]
    fn an_older_state_comes_back_under_the_newer_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        fs::write(&path, "old").unwrap();
        let kept = Kept::of(&path).unwrap();
        fs::write(&path, "newer").unwrap();
        let newer = modified(&path);
        assert!(kept.differs().unwrap());
        kept.put_back().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(modified(&path), newer);
    }
}
