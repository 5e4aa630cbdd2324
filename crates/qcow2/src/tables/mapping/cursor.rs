//! Going through a disk in order.

use stillpoint_storage::Storage;

use super::{Mapping, Place, Run};
use crate::Error;
use crate::tables::GuestOffset;

/// Reads runs of a [`Mapping`] one after another: each L2 table is read once, with one read, and only the one at
/// hand is kept. Memory: one cluster.
#[derive(Debug)]
pub struct Cursor<'a, S: ?Sized> {
    mapping: &'a Mapping,
    storage: &'a S,
    /// Where in the file the table at hand was.
    offset: Option<u64>,
    table: Vec<u8>,
}

impl<'a, S: Storage + ?Sized> Cursor<'a, S> {
    /// A cursor over `mapping`, whose tables are in `storage`.
    #[must_use]
    pub const fn new(mapping: &'a Mapping, storage: &'a S) -> Self {
        Self { mapping, storage, offset: None, table: Vec::new() }
    }

    /// As [`Mapping::run_at`]. Any place may be asked for; those of one L2 table after each other are fast.
    ///
    /// # Errors
    /// As [`Mapping::run_at`].
    pub fn run_at(&mut self, at: GuestOffset, max: u64) -> Result<Run, Error> {
        match self.mapping.place(at, max)? {
            Place::NoTable(run) => Ok(run),
            Place::Table { offset, first, max } => {
                if self.offset != Some(offset) {
                    self.offset = None;
                    self.mapping.read_l2(self.storage, first, offset, &mut self.table)?;
                    self.offset = Some(offset);
                }
                Ok(self.mapping.rules.walk(&self.table, first, at, max)?)
            }
        }
    }
}
