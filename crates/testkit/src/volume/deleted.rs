//! Files that were deleted, as Gluster leaves them until their shards are deleted in the background.

use std::io;

use uuid::Uuid;

use super::trees::{BrickTrees, SHARDS};

const REMOVE_ME: Uuid = Uuid::from_u128(0x77dd_5a45_dbf5_4592_b31b_b440_3823_02e9);

impl BrickTrees {
    /// Deletes a sharded file as a client does at first: a marker with its sizes is made in `/.shard/.remove_me`, then the
    /// base goes. The other shards stay. Gives the file's gfid.
    ///
    /// # Errors
    /// When too few bricks are up, or they can't be written.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn delete_base(&mut self, path: &str) -> io::Result<Uuid> {
        let gfid = self.files[path];
        let parent = format!("{SHARDS}/.remove_me");
        if !self.brick(0).join(&parent).exists() {
            for number in 0..self.brick_count() {
                std::fs::create_dir(self.brick(number).join(&parent))?;
                self.set_xattr(number, &parent, "trusted.gfid", REMOVE_ME.as_bytes())?;
            }
            self.begin_directory(&parent)?;
            self.lay_out(&parent, 0)?;
        }
        let size = self.size(path)?.to_be_bytes();
        let marker = self.base(&format!("{parent}/{gfid}"))?;
        let own = self.new_gfid();
        self.make(&marker, own)?;
        for number in self.up(&marker) {
            let block_size = self.shape.shard_size.to_be_bytes();
            self.set_xattr(number, &marker.path, "trusted.glusterfs.shard.block-size", &block_size)?;
            let value = [size, [0; 8], [0; 8], [0; 8]].concat();
            self.set_xattr(number, &marker.path, "trusted.glusterfs.shard.file-size", &value)?;
        }
        let base = self.base(path)?;
        self.unlink(&base)?;
        Ok(gfid)
    }

    /// Removes the marker of a deleted file: what is left of it is orphaned.
    ///
    /// # Errors
    /// When too few bricks are up, or they can't be written.
    pub fn remove_marker(&mut self, gfid: Uuid) -> io::Result<()> {
        let marker = self.base(&format!("{SHARDS}/.remove_me/{gfid}"))?;
        self.unlink(&marker)
    }
}
