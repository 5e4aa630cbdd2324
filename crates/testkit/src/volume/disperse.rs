//! Dispersed subvolumes: each brick holds a fragment of every file, and counts the changes that it has.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::encode::fragment;
use super::sparse;
use super::trees::{BrickTrees, Change};

const CHUNK: usize = 512;

impl BrickTrees {
    /// Whether bricks hold fragments.
    #[must_use]
    pub fn is_dispersed(&self) -> bool {
        self.shape.redundancy > 0
    }

    /// How many bricks of a subvolume it takes to read a file.
    #[must_use]
    pub fn needed(&self) -> usize {
        if self.is_dispersed() { self.shape.replicas - self.shape.redundancy } else { 1 }
    }

    /// What `trusted.ec.version` of a path is on one brick: changes of data or names, and of xattrs.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn version(&self, number: usize, path: &str) -> io::Result<[u64; 2]> {
        let value = self.xattr(number, path, "trusted.ec.version")?.unwrap_or_default();
        let word = |at: usize| {
            let bytes = value.get(at..at + 8).unwrap_or_default();
            bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Ok([word(0), word(8)])
    }

    /// Sets that.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_version(&mut self, number: usize, path: &str, version: [u64; 2]) -> io::Result<()> {
        self.set_xattr(number, path, "trusted.ec.version", &version.map(u64::to_be_bytes).concat())
    }

    /// The bricks that are up and missed no change of a path; of one that is not there yet, none of its directory's.
    pub(super) fn current(&self, subvolume: usize, path: &str, parent: &str) -> Vec<usize> {
        let latest = |path: &str| self.versions.get(&(subvolume, path.to_owned())).copied();
        let path = if latest(path).is_some() { path } else { parent };
        let latest = latest(path).unwrap_or_default();
        // A brick that missed a deletion may have another file of that name.
        let same_gfid = |number| match self.contents.get(path) {
            Some((gfid, _)) => self
                .xattr(number, path, "trusted.gfid")
                .is_ok_and(|have| have.as_deref() == Some(&gfid.as_bytes()[..])),
            None => true,
        };
        let is_current = |&number: &usize| {
            let there = self.brick(number).join(path).exists();
            self.bricks[number].up
                && there
                && same_gfid(number)
                && self.version(number, path).is_ok_and(|have| have == latest)
        };
        self.members(subvolume).filter(is_current).collect()
    }

    /// Refuses what EC refuses: a change that too few bricks would have.
    pub(super) fn need_fragments(&self, have: usize) -> io::Result<()> {
        if have < self.needed() {
            return Err(io::Error::other("too few bricks are up"));
        }
        Ok(())
    }

    /// Counts a change on the bricks that have it, and marks them where others miss it.
    pub(super) fn count_change(
        &mut self,
        subvolume: usize,
        path: &str,
        parent: &str,
        change: Change,
    ) -> io::Result<()> {
        let have = self.current(subvolume, path, parent);
        let key = (subvolume, path.to_owned());
        let mut version = self.versions.get(&key).copied().unwrap_or_default();
        version[usize::from(change == Change::Metadata)] += 1;
        let dirty = u64::from(have.len() < self.members(subvolume).len());
        for number in have {
            self.set_version(number, path, version)?;
            self.set_xattr(number, path, "trusted.ec.dirty", &[dirty.to_be_bytes(); 2].concat())?;
        }
        self.versions.insert(key, version);
        Ok(())
    }

    /// A directory that was just made, on all bricks.
    pub(super) fn begin_directory(&mut self, path: &str) -> io::Result<()> {
        if !self.is_dispersed() {
            return Ok(());
        }
        for number in 0..self.bricks.len() {
            self.set_version(number, path, [0; 2])?;
        }
        for subvolume in 0..self.shape.subvolumes {
            self.versions.insert((subvolume, path.to_owned()), [0; 2]);
        }
        Ok(())
    }

    /// The xattrs of a file that was just made on a brick.
    pub(super) fn begin_fragment(&mut self, number: usize, path: &str) -> io::Result<()> {
        if !self.is_dispersed() {
            return Ok(());
        }
        let (bricks, redundancy) = (self.shape.replicas as u8, self.shape.redundancy as u8);
        self.set_xattr(number, path, "trusted.ec.config", &[0, 0, 8, bricks, redundancy, 0, 2, 0])?;
        self.set_xattr(number, path, "trusted.ec.size", &[0; 8])?;
        self.set_version(number, path, [0; 2])
    }

    /// What is known of a file that is gone.
    pub(super) fn forget(&mut self, path: &str) {
        self.contents.remove(path);
        self.versions.retain(|(_, of), _| of != path);
    }

    /// Changes the content as `change` would change a file of it, and the fragments on these bricks.
    pub(super) fn change_fragments(
        &mut self,
        bricks: &[usize],
        path: &str,
        change: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut whole = tempfile::tempfile()?;
        let (gfid, content) = self.contents.get(path).cloned().unwrap_or_default();
        whole.write_all(&content)?;
        change(&whole)?;
        let mut content = Vec::new();
        whole.rewind()?;
        whole.read_to_end(&mut content)?;
        self.write_fragments(bricks, path, &content)?;
        self.contents.insert(path.to_owned(), (gfid, content));
        Ok(())
    }

    /// Writes the fragments of `content` to these bricks, and its size; the counters stay as they are.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write_fragments(&mut self, bricks: &[usize], path: &str, content: &[u8]) -> io::Result<()> {
        for &number in bricks {
            let place = number % self.shape.replicas;
            let bytes = fragment(self.needed(), place, content);
            sparse::write(&File::create(self.brick(number).join(path))?, &bytes, CHUNK)?;
            self.set_xattr(number, path, "trusted.ec.size", &(content.len() as u64).to_be_bytes())?;
        }
        Ok(())
    }
}
