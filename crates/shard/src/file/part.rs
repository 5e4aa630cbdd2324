//! Which part of which brick's file holds the bytes at an offset.

use std::io;
use std::sync::Arc;

use stillpoint_storage::{FilePart, Storage as _};

use super::ShardedFile;
use crate::ShardError;
use crate::cache::OpenShard;

impl ShardedFile {
    /// The part of the chosen copy of a shard that holds the bytes from `offset` on, up to the end of what it stores;
    /// `None` past that, for a shard that is in fragments, absent or not known, and past the end.
    pub(super) fn part_at(&self, offset: u64) -> io::Result<Option<FilePart<'static>>> {
        let index = offset / self.span();
        if offset >= self.size || !self.is_listed(index) {
            return Ok(None);
        }
        let open = match self.open_shard(index) {
            Ok(Some(open)) => open,
            Err(error @ (ShardError::Io { .. } | ShardError::Changed { .. })) => return Err(error.into()),
            Ok(None) | Err(_) => return Ok(None),
        };
        // No file has the bytes of what is decoded.
        let OpenShard::Copy { storage, .. } = &*open else { return Ok(None) };
        let within = offset % self.span();
        let len = storage.len().saturating_sub(within).min(self.end_of_shard(index) - offset);
        Ok((len > 0).then(|| FilePart::shared(Arc::clone(storage), within, len)))
    }
}
