//! What a mount would do to files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use super::sparse::punch;
use super::trees::{BrickTrees, Change, SHARDS};

/// Where a file or shard is on the bricks.
pub(super) struct Spot {
    pub(super) subvolume: usize,
    pub(super) parent: String,
    pub(super) path: String,
}

impl BrickTrees {
    /// Makes an empty sharded file; its directory has to exist. Gives its gfid.
    ///
    /// # Errors
    /// When too few bricks of its subvolume are up, or it can't be written.
    pub fn create_file(&mut self, path: &str) -> io::Result<Uuid> {
        let gfid = self.create_plain_file(path)?;
        let spot = self.base(path)?;
        let size = self.shape.shard_size.to_be_bytes();
        for number in self.up(&spot) {
            self.set_xattr(number, path, "trusted.glusterfs.shard.block-size", &size)?;
            self.set_xattr(number, path, "trusted.glusterfs.shard.file-size", &[0; 32])?;
        }
        Ok(gfid)
    }

    /// Makes an empty file that is not sharded. Gives its gfid.
    ///
    /// # Errors
    /// As [`create_file`](Self::create_file).
    pub fn create_plain_file(&mut self, path: &str) -> io::Result<Uuid> {
        let gfid = self.new_gfid();
        self.files.insert(path.to_owned(), gfid);
        let spot = self.base(path)?;
        self.make(&spot, gfid)?;
        Ok(gfid)
    }

    /// Writes `bytes` at `offset`. The file grows as needed; shards in between stay away.
    ///
    /// # Errors
    /// When too few bricks are up, or they can't be written.
    pub fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (spot, within, room) = self.at(path, at)?;
            let n = room.min((bytes.len() - done) as u64) as usize;
            self.need(&spot)?;
            if !self.exists(&spot)? {
                let gfid = self.new_gfid();
                self.make(&spot, gfid)?;
            }
            let piece = bytes[done..done + n].to_vec();
            self.change(&spot, |file| file.write_all_at(&piece, within))?;
            done += n;
        }
        if offset + bytes.len() as u64 > self.size(path)? {
            self.set_size(path, offset + bytes.len() as u64)?;
        }
        Ok(())
    }

    /// Cuts the file, or makes it longer without storing anything.
    ///
    /// # Errors
    /// When too few bricks are up, or they can't be written.
    pub fn truncate(&mut self, path: &str, size: u64) -> io::Result<()> {
        let old = self.size(path)?;
        if size < old && self.is_sharded(path)? {
            let shard_size = self.shape.shard_size;
            let keep = size.div_ceil(shard_size).max(1);
            for index in keep..old.div_ceil(shard_size) {
                let spot = self.shard(path, index)?;
                if self.has_to_change(&spot)? {
                    self.unlink(&spot)?;
                }
            }
            let last = self.shard(path, keep - 1)?;
            if self.has_to_change(&last)? {
                let len = size - (keep - 1) * shard_size;
                self.change(
                    &last,
                    |file| {
                        if file.metadata()?.len() > len { file.set_len(len) } else { Ok(()) }
                    },
                )?;
            }
        }
        if !self.is_sharded(path)? {
            let spot = self.base(path)?;
            return self.change(&spot, |file| file.set_len(size));
        }
        self.set_size(path, size)
    }

    /// Makes `len` bytes from `offset` zeros by punching a hole. The size stays.
    ///
    /// # Errors
    /// When too few bricks are up, or they can't be written.
    pub fn punch(&mut self, path: &str, offset: u64, len: u64) -> io::Result<()> {
        let end = (offset + len).min(self.size(path)?);
        let mut at = offset;
        while at < end {
            let (spot, within, room) = self.at(path, at)?;
            let n = room.min(end - at);
            if self.has_to_change(&spot)? {
                self.change(&spot, |file| punch(file, within, n))?;
            }
            at += n;
        }
        Ok(())
    }

    /// The size that the base's xattr has on the first brick that is up; the length of a file that is not sharded.
    ///
    /// # Errors
    /// When no brick of its subvolume is up, a brick that is down knows a later size (Gluster would go by the
    /// older one, and what follows would not be defined), or it can't be read.
    pub fn size(&self, path: &str) -> io::Result<u64> {
        let spot = self.base(path)?;
        let number = self.believed(&spot, Change::Metadata)?;
        for by in self.members(spot.subvolume).filter(|&by| !self.bricks[by].up) {
            if self.brick(by).join(path).exists() && self.blame(by, number, path, Change::Metadata)? > 0 {
                return Err(io::Error::other("a brick that is down knows a later size"));
            }
        }
        match self.xattr(number, path, "trusted.glusterfs.shard.file-size")? {
            Some(value) => Ok(value.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
            None => match self.contents.get(path) {
                Some((_, content)) => Ok(content.len() as u64),
                None => Ok(self.brick(number).join(path).metadata()?.len()),
            },
        }
    }

    /// The path of a shard beneath a brick's root; shard 0 is the base.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn shard_path(&self, path: &str, index: u64) -> String {
        if index == 0 { path.to_owned() } else { format!("{SHARDS}/{}.{index}", self.files[path]) }
    }

    /// The subvolume where DHT places a shard.
    ///
    /// # Errors
    /// When the layouts can't be read.
    pub fn shard_subvolume(&self, path: &str, index: u64) -> io::Result<usize> {
        self.shard(path, index).map(|spot| spot.subvolume)
    }

    fn is_sharded(&self, path: &str) -> io::Result<bool> {
        let spot = self.base(path)?;
        let number = self.believed(&spot, Change::Metadata)?;
        Ok(self.xattr(number, path, "trusted.glusterfs.shard.block-size")?.is_some())
    }

    pub(super) fn base(&self, path: &str) -> io::Result<Spot> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let subvolume = self.hashed_subvolume(parent, name)?;
        Ok(Spot { subvolume, parent: parent.to_owned(), path: path.to_owned() })
    }

    fn shard(&self, path: &str, index: u64) -> io::Result<Spot> {
        if index == 0 {
            return self.base(path);
        }
        let path = self.shard_path(path, index);
        let name = path.rsplit('/').next().unwrap_or_default();
        Ok(Spot { subvolume: self.hashed_subvolume(SHARDS, name)?, parent: SHARDS.to_owned(), path })
    }

    /// The shard of an offset, the offset in it, and how much of it is left.
    fn at(&self, path: &str, offset: u64) -> io::Result<(Spot, u64, u64)> {
        if !self.is_sharded(path)? {
            return Ok((self.base(path)?, offset, u64::MAX));
        }
        let size = self.shape.shard_size;
        Ok((self.shard(path, offset / size)?, offset % size, size - offset % size))
    }

    pub(super) fn up(&self, spot: &Spot) -> Vec<usize> {
        if self.is_dispersed() {
            return self.current(spot.subvolume, &spot.path, &spot.parent);
        }
        self.members(spot.subvolume).filter(|&number| self.bricks[number].up).collect()
    }

    /// The first brick that is up and not blamed by another that is up.
    fn believed(&self, spot: &Spot, change: Change) -> io::Result<usize> {
        let up = self.up(spot);
        if self.is_dispersed() {
            return up.first().copied().ok_or_else(|| io::Error::other("too few bricks are up"));
        }
        let mut good = up.iter().copied().filter(|&about| {
            up.iter().all(|&by| self.blame(by, about, &spot.path, change).unwrap_or(0) == 0)
        });
        good.next().ok_or_else(|| io::Error::other("no brick that is up can be believed"))
    }

    /// Refuses what AFR's quorum refuses: with three bricks, two have to be up, and one that is up, with
    /// data, has to be good.
    fn need(&self, spot: &Spot) -> io::Result<()> {
        let up = self.up(spot).len();
        if self.is_dispersed() {
            return self.need_fragments(up);
        }
        let quorum = if self.shape.replicas > 2 { self.shape.replicas / 2 + 1 } else { 1 };
        if up < quorum {
            return Err(io::Error::other("too few bricks are up"));
        }
        if self.shape.replicas > 2 && self.exists(spot)? {
            let number = self.believed(spot, Change::Data)?;
            if self.is_arbiter(number) {
                return Err(io::Error::other("only the arbiter is good"));
            }
        }
        Ok(())
    }

    /// Whether the bricks that are up have the file. With none up nobody can say: a lookup there fails.
    fn exists(&self, spot: &Spot) -> io::Result<bool> {
        if self.is_dispersed() {
            self.need(spot)?;
            return Ok(self.contents.contains_key(&spot.path));
        }
        let counts = |&number: &usize| {
            let up = self.up(spot);
            !up.iter().any(|&by| self.blame(by, number, &spot.parent, Change::Entry).unwrap_or(0) > 0)
        };
        let up = self.up(spot);
        if up.is_empty() {
            return Err(io::Error::other("no brick of the subvolume is up"));
        }
        let mut witnesses: Vec<usize> = up.iter().copied().filter(counts).collect();
        if witnesses.is_empty() {
            witnesses = up;
        }
        Ok(witnesses.iter().any(|&number| self.brick(number).join(&spot.path).exists()))
    }

    /// Whether a file has to be changed, for a change that leaves an absent one alone.
    ///
    /// Bricks that were away when it was made take it for absent, and Gluster with them; nothing then records
    /// that it was to change, and what is read after the others come back is not defined. Refused here.
    fn has_to_change(&self, spot: &Spot) -> io::Result<bool> {
        let exists = self.exists(spot)?;
        if self.is_dispersed() {
            return Ok(exists);
        }
        // Bricks that blame it saw the file go.
        let blamed = |about| {
            let blames = |by| self.blame(by, about, &spot.parent, Change::Entry).unwrap_or(0) > 0;
            self.up(spot).into_iter().any(blames)
        };
        // Where it blames them, too, nobody knows whether the file went or was made while they were away.
        let blames = |number| {
            let misses = |about| self.blame(number, about, &spot.parent, Change::Entry).unwrap_or(0) > 0;
            self.up(spot).into_iter().any(misses)
        };
        let has_it =
            |number| self.brick(number).join(&spot.path).exists() && (!blamed(number) || blames(number));
        if !exists && self.members(spot.subvolume).any(has_it) {
            return Err(io::Error::other("only bricks that are down have the file"));
        }
        Ok(exists)
    }

    /// Counts a change against the bricks that miss it.
    pub(super) fn blame_missing(&mut self, spot: &Spot, path: &str, change: Change) -> io::Result<()> {
        if self.is_dispersed() {
            return self.count_change(spot.subvolume, path, &spot.parent, change);
        }
        let down: Vec<_> = self.members(spot.subvolume).filter(|&number| !self.bricks[number].up).collect();
        for by in self.up(spot) {
            for &about in &down {
                if self.brick(by).join(path).exists() {
                    let count = self.blame(by, about, path, change)?;
                    self.set_blame(by, about, path, change, count + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses a change of a directory's names that a brick which is down and saw others go does not see: the
    /// directory would be split-brained, and a merge of both sides brings those back.
    fn refuse_to_bring_back(&self, spot: &Spot) -> io::Result<()> {
        let up = self.up(spot);
        for by in self.members(spot.subvolume).filter(|&by| !self.bricks[by].up) {
            for &about in &up {
                if self.blame(by, about, &spot.parent, Change::Entry).unwrap_or(0) == 0 {
                    continue;
                }
                for entry in std::fs::read_dir(self.brick(about).join(&spot.parent))? {
                    if !self.brick(by).join(&spot.parent).join(entry?.file_name()).exists() {
                        return Err(io::Error::other("a brick that is down saw files go that are here"));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn make(&mut self, spot: &Spot, gfid: Uuid) -> io::Result<()> {
        self.need(spot)?;
        self.refuse_to_bring_back(spot)?;
        for number in self.up(spot) {
            let file = self.brick(number).join(&spot.path);
            if file.exists() {
                // It missed the deletion of the one before.
                self.remove(number, &spot.path)?;
            }
            File::create_new(&file)?;
            std::fs::hard_link(&file, self.handle(number, gfid)?)?;
            self.set_xattr(number, &spot.path, "trusted.gfid", gfid.as_bytes())?;
            self.begin_fragment(number, &spot.path)?;
        }
        if self.is_dispersed() {
            self.contents.insert(spot.path.clone(), (gfid, Vec::new()));
        }
        let parent = spot.parent.clone();
        self.blame_missing(spot, &parent, Change::Entry)?;
        for change in [Change::Data, Change::Metadata] {
            self.blame_missing(spot, &spot.path, change)?;
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, spot: &Spot) -> io::Result<()> {
        self.need(spot)?;
        if self.is_dispersed() {
            let good = self.current(spot.subvolume, &spot.parent, "");
            self.need_fragments(good.len())?;
            for number in good {
                self.remove(number, &spot.path)?;
            }
            self.forget(&spot.path);
            let parent = spot.parent.clone();
            return self.blame_missing(spot, &parent, Change::Entry);
        }
        // The directory would be split-brained, and a merge of both sides brings the file back.
        for by in self.members(spot.subvolume).filter(|&by| !self.bricks[by].up) {
            let blames = |about| self.blame(by, about, &spot.parent, Change::Entry).unwrap_or(0) > 0;
            if self.brick(by).join(&spot.path).exists() && self.up(spot).into_iter().any(blames) {
                return Err(io::Error::other("a brick that is down made the file while these were away"));
            }
        }
        for number in self.up(spot) {
            if self.brick(number).join(&spot.path).exists() {
                self.remove(number, &spot.path)?;
            }
        }
        let parent = spot.parent.clone();
        self.blame_missing(spot, &parent, Change::Entry)
    }

    /// Removes a file with its handle from one brick.
    fn remove(&mut self, number: usize, path: &str) -> io::Result<()> {
        if let Some(gfid) =
            self.xattr(number, path, "trusted.gfid")?.and_then(|id| Uuid::from_slice(&id).ok())
        {
            let handle = self.handle(number, gfid)?;
            if handle.exists() {
                std::fs::remove_file(handle)?;
            }
        }
        std::fs::remove_file(self.brick(number).join(path))?;
        self.bricks[number].attributes.forget(Path::new(path));
        Ok(())
    }

    /// Changes the content on the bricks that are up and hold data.
    fn change(&mut self, spot: &Spot, change: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        self.need(spot)?;
        if self.is_dispersed() {
            self.change_fragments(&self.up(spot), &spot.path, change)?;
            return self.blame_missing(spot, &spot.path, Change::Data);
        }
        for number in self.up(spot) {
            let path = self.brick(number).join(&spot.path);
            if path.exists() && !self.is_arbiter(number) {
                change(&OpenOptions::new().read(true).write(true).open(path)?)?;
            }
        }
        self.blame_missing(spot, &spot.path, Change::Data)
    }

    /// Blocks of 512 bytes that are allocated for a sharded file: on one brick for each shard, or on as many as are
    /// needed.
    fn blocks(&self, path: &str) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let prefix = format!("{}.", self.files[path]);
        let mut sum = 0;
        for subvolume in 0..self.shape.subvolumes {
            let with_data = self.members(subvolume).filter(|&number| !self.is_arbiter(number));
            let up: Vec<usize> = with_data.filter(|&number| self.bricks[number].up).collect();
            for &number in up.iter().take(self.needed()) {
                let base = self.brick(number).join(path).metadata();
                sum += base.map_or(0, |base| base.blocks());
                for entry in std::fs::read_dir(self.brick(number).join(SHARDS))? {
                    let entry = entry?;
                    if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                        sum += entry.metadata()?.blocks();
                    }
                }
            }
        }
        Ok(sum)
    }

    fn set_size(&mut self, path: &str, size: u64) -> io::Result<()> {
        let spot = self.base(path)?;
        if !self.is_sharded(path)? {
            return Ok(());
        }
        if self.is_dispersed() {
            self.need(&spot)?;
        }
        let mut value = [0; 32];
        value[..8].copy_from_slice(&size.to_be_bytes());
        value[16..24].copy_from_slice(&self.blocks(path)?.to_be_bytes());
        for number in self.up(&spot) {
            if self.brick(number).join(path).exists() {
                self.set_xattr(number, path, "trusted.glusterfs.shard.file-size", &value)?;
            }
        }
        self.blame_missing(&spot, path, Change::Metadata)
    }
}
