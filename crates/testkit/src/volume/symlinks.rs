//! Symbolic links.

use std::io;

use uuid::Uuid;

use super::trees::{BrickTrees, Change};

impl BrickTrees {
    /// Makes a symbolic link, with its handle, on the bricks that are up of the subvolume where its name hashes to.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn create_symlink(&mut self, path: &str, target: &str) -> io::Result<Uuid> {
        let gfid = self.new_gfid();
        let spot = self.base(path)?;
        for number in self.up(&spot) {
            let link = self.brick(number).join(path);
            std::os::unix::fs::symlink(target, &link)?;
            std::fs::hard_link(&link, self.handle(number, gfid)?)?;
            self.set_xattr(number, path, "trusted.gfid", gfid.as_bytes())?;
        }
        let parent = spot.parent.clone();
        self.blame_missing(&spot, &parent, Change::Entry)?;
        Ok(gfid)
    }
}
