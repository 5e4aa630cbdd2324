//! Holes in the file that holds the data.

use std::fmt;

use stillpoint_storage::{Extent, ExtentKind, Storage};

use crate::Error;
use crate::views::whole_sectors;

/// Tells data from holes in a file. The answer before is kept: clusters that lie side by side are asked for one
/// after another.
pub(super) struct HostHoles<'a> {
    storage: &'a dyn Storage,
    last: Option<Extent>,
}

impl fmt::Debug for HostHoles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHoles").field("last", &self.last).finish_non_exhaustive()
    }
}

impl<'a> HostHoles<'a> {
    pub(super) const fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, last: None }
    }

    /// How many of the `max` bytes from `offset` on are of one kind, and whether they are zeros.
    pub(super) fn at(&mut self, offset: u64, max: u64) -> Result<(u64, bool), Error> {
        let len = self.storage.len();
        if offset >= len {
            // Past its end a file is zeros, in the last sector as well as after it.
            return Ok((max, true));
        }
        let extent = match self.last.filter(|last| last.offset <= offset && offset < last.end()) {
            Some(last) => last,
            None => {
                let what = "the holes of the file";
                let found = self.storage.next_extent(offset);
                let found = found.map_err(|source| Error::Io { what, offset, source })?;
                self.last = Some(found);
                found
            }
        };
        let zero = extent.kind == ExtentKind::Hole;
        let left = extent.end().saturating_sub(offset).max(1);
        if zero && extent.end() >= len && offset < whole_sectors(len) {
            // A hole at the end goes on behind it.
            return Ok((max, true));
        }
        Ok((left.min(max), zero))
    }
}
