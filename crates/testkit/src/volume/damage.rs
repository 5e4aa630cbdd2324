//! Xattrs set by hand, and states that a rebalance, a crash or a bug leaves behind.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use uuid::Uuid;

use super::trees::{BrickTrees, Change, SHARDS};

impl Change {
    const fn at(self) -> usize {
        match self {
            Self::Data => 0,
            Self::Metadata => 4,
            Self::Entry => 8,
        }
    }
}

impl BrickTrees {
    /// Sets an xattr on one brick; `path` is beneath its root, empty for the root itself.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_xattr(&mut self, number: usize, path: &str, name: &str, value: &[u8]) -> io::Result<()> {
        self.bricks[number].attributes.set(Path::new(path), name, value)
    }

    /// Removes an xattr on one brick.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_xattr(&mut self, number: usize, path: &str, name: &str) -> io::Result<()> {
        self.bricks[number].attributes.remove(Path::new(path), name)
    }

    /// The value of an xattr on one brick.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn xattr(&self, number: usize, path: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.bricks[number].attributes.get(Path::new(path), name)
    }

    /// How many changes of a kind brick `by` saw that brick `about` did not.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn blame(&self, by: usize, about: usize, path: &str, change: Change) -> io::Result<u32> {
        let value = self.xattr(by, path, &format!("trusted.afr.{}", self.client(about)))?.unwrap_or_default();
        let bytes = value.get(change.at()..change.at() + 4).unwrap_or_default();
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    /// Sets that number.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_blame(
        &mut self,
        by: usize,
        about: usize,
        path: &str,
        change: Change,
        count: u32,
    ) -> io::Result<()> {
        let name = format!("trusted.afr.{}", self.client(about));
        let mut value = self.xattr(by, path, &name)?.unwrap_or_default();
        value.resize(12, 0);
        value[change.at()..change.at() + 4].copy_from_slice(&count.to_be_bytes());
        self.set_xattr(by, path, &name, &value)
    }

    /// Copies a file with its xattrs to the same path on another brick.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn copy_to(&mut self, from: usize, to: usize, path: &str) -> io::Result<()> {
        let target = self.brick(to).join(path);
        std::fs::copy(self.brick(from).join(path), &target)?;
        for (name, value) in self.bricks[from].attributes.all(Path::new(path))? {
            self.set_xattr(to, path, &name, &value)?;
            if name == "trusted.gfid"
                && let Ok(gfid) = Uuid::from_slice(&value)
            {
                let handle = self.handle(to, gfid)?;
                if !handle.exists() {
                    std::fs::hard_link(&target, handle)?;
                }
            }
        }
        Ok(())
    }

    /// Makes a file on one brick a link file to another subvolume: empty, mode 01000.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn make_linkto(&mut self, number: usize, path: &str, target: &str) -> io::Result<()> {
        let file = self.brick(number).join(path);
        std::fs::write(&file, b"")?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o1000))?;
        let mut value = target.as_bytes().to_vec();
        value.push(0);
        self.set_xattr(number, path, "trusted.glusterfs.dht.linkto", &value)
    }

    /// Moves a shard to another subvolume and leaves link files where it hashes, as a rebalance does.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn move_shard(&mut self, path: &str, index: u64, to: usize) -> io::Result<()> {
        let shard = self.shard_path(path, index);
        let (parent, name) = shard.rsplit_once('/').unwrap_or(("", &shard));
        let hashed = self.hashed_subvolume(parent, name)?;
        let target = self.subvolume(to);
        for (from, to) in self.members(hashed).zip(self.members(to)) {
            self.copy_to(from, to, &shard)?;
            self.make_linkto(from, &shard, &target)?;
        }
        Ok(())
    }

    /// Makes a regular file in `.shard` of a brick, outside of what the volume knows of.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn stray_shard(&mut self, number: usize, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = format!("{SHARDS}/{name}");
        std::fs::write(self.brick(number).join(&path), bytes)?;
        let gfid = self.new_gfid();
        self.set_xattr(number, &path, "trusted.gfid", gfid.as_bytes())
    }
}
