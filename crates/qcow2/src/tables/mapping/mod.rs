//! From a place of the guest's disk to one of the file (specification, section "Cluster mapping").

use std::sync::Arc;

use stillpoint_storage::Storage;

use super::limits::MAX_L1_BYTES;
use super::read::read_exact;
use super::{GuestOffset, Header, HostOffset, TablePlace, Version};
use crate::Error;
use crate::raw::{Incompatible, RawL1Entry};

mod cache;
mod cursor;
mod error;
mod slice;
mod walk;

use cache::Cache;
pub use cursor::Cursor;
pub use error::MappingError;
use walk::Rules;

/// What a part of the guest's disk is in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// Not there: it is what the backing file has, or zeros where there is none.
    Unallocated {
        /// The place that is kept for it, if one is: subclusters have one in a cluster of which others are there.
        host: Option<HostOffset>,
    },
    /// Zeros.
    Zero {
        /// The place that is kept for it, if one is.
        host: Option<HostOffset>,
    },
    /// Stored as it is. With an external data file the place is one of that file.
    Data {
        /// Where it begins.
        host: HostOffset,
    },
    /// The whole cluster is stored compressed.
    Compressed {
        /// Where the compressed bytes begin.
        host: HostOffset,
        /// How many there are, up to the end of a sector. The stream may end sooner.
        len: u64,
    },
}

/// A part of the guest's disk that is one thing in one layer, and in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Where it begins.
    pub guest: GuestOffset,
    /// How long it is, in bytes; at least 1.
    pub len: u64,
    /// What it is. The place, if there is one, is that of `guest`, but for [`Allocation::Compressed`].
    pub allocation: Allocation,
}

/// The L1 table of a layer, active or a snapshot's, and the L2 tables below it.
///
/// Memory: the L1 table, 32 MiB at most and never more than the file, and
/// [`L2_CACHE_BYTES`](super::limits::L2_CACHE_BYTES) of L2 tables.
#[derive(Debug)]
pub struct Mapping {
    l1: Vec<u64>,
    cache: Cache,
    size: u64,
    rules: Rules,
}

impl Mapping {
    /// Reads the L1 table at `place` for a disk of `size` bytes.
    ///
    /// # Errors
    /// When the table can't be where it is told to be, is too short for the disk, or can't be read.
    pub fn read<S: Storage + ?Sized>(
        storage: &S,
        header: &Header,
        place: TablePlace,
        size: u64,
    ) -> Result<Self, Error> {
        let incompatible = header.incompatible();
        let rules = Rules {
            cluster_size: header.cluster_size(),
            extended: incompatible.contains(Incompatible::EXTENDED_L2),
            zero_clusters: header.version() == Version::V3,
            data_file: incompatible.contains(Incompatible::DATA_FILE),
        };
        let needed = size.div_ceil(rules.covered());
        let TablePlace { offset, entries } = place;
        if u64::from(entries) < needed || u64::from(entries) * 8 > MAX_L1_BYTES {
            return Err(MappingError::L1Size { entries, needed }.into());
        }
        if !rules.cluster_size.is_aligned(offset.0) {
            return Err(MappingError::L1Offset(offset).into());
        }
        // At most 32 MiB, by the test above.
        let bytes = needed * 8;
        if offset.0.checked_add(bytes).is_none_or(|end| end > storage.len()) {
            return Err(MappingError::L1PastTheEnd { offset, entries }.into());
        }
        let mut table = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        read_exact(storage, offset.0, &mut table, "the L1 table")?;
        let (words, _) = table.as_chunks::<8>();
        let l1 = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
        Ok(Self { l1, cache: Cache::new(rules.cluster_size), size, rules })
    }

    /// The size of the disk, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The run that begins at `at`, up to where it changes, and not longer than `max` bytes (at least 1).
    ///
    /// Threads can share it, and the L2 tables read last are kept. Who goes through the disk in order is faster
    /// with a [`Cursor`].
    ///
    /// # Errors
    /// When `at` is past the end of the disk, or a table or an entry of it breaks a rule or can't be read.
    pub fn run_at<S: Storage + ?Sized>(&self, storage: &S, at: GuestOffset, max: u64) -> Result<Run, Error> {
        match self.place(at, max)? {
            Place::NoTable(run) => Ok(run),
            Place::Table { offset, first, max } => {
                let table = self.l2_table(storage, first, offset)?;
                Ok(self.rules.walk(&table, first, at, max)?)
            }
        }
    }

    /// What stands in the L1 table for `at`.
    fn place(&self, at: GuestOffset, max: u64) -> Result<Place, MappingError> {
        let left =
            self.size.checked_sub(at.0).filter(|&left| left > 0).ok_or(MappingError::NoSuchPlace(at))?;
        let max = max.max(1).min(left);
        let covered = self.rules.covered();
        let index = at.0 / covered;
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index));
        let offset = RawL1Entry(*entry.ok_or(MappingError::NoSuchPlace(at))?).offset();
        if offset == 0 {
            return Ok(Place::NoTable(self.no_table(at, index, max)));
        }
        Ok(Place::Table { offset, first: GuestOffset(index * covered), max })
    }

    /// The run of tables that aren't there, from the one of `index` on.
    fn no_table(&self, at: GuestOffset, index: u64, max: u64) -> Run {
        let covered = self.rules.covered();
        let tables = self.l1.iter().skip(usize::try_from(index).unwrap_or(usize::MAX));
        let absent = tables.take_while(|&&entry| RawL1Entry(entry).offset() == 0);
        // No more than what `max` asks for.
        let wanted = usize::try_from(max / covered).unwrap_or(usize::MAX).saturating_add(2);
        let absent = absent.take(wanted).count() as u64;
        let end = (index + absent).saturating_mul(covered);
        let allocation = Allocation::Unallocated { host: None };
        Run { guest: at, len: max.min(end.saturating_sub(at.0)), allocation }
    }

    /// The L2 table at `offset`, from the cache or the file.
    fn l2_table<S: Storage + ?Sized>(
        &self,
        storage: &S,
        first: GuestOffset,
        offset: u64,
    ) -> Result<Arc<[u8]>, Error> {
        if let Some(table) = self.cache.get(offset) {
            return Ok(table);
        }
        let mut table = Vec::new();
        self.read_l2(storage, first, offset, &mut table)?;
        let table: Arc<[u8]> = table.into();
        self.cache.put(offset, Arc::clone(&table));
        Ok(table)
    }

    /// Reads the L2 table for `first` from `offset` into `table`, which becomes one cluster long.
    fn read_l2<S: Storage + ?Sized>(
        &self,
        storage: &S,
        first: GuestOffset,
        offset: u64,
        table: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let len = self.rules.cluster_size.bytes();
        // Offsets have 56 bits: no sum overflows.
        if !self.rules.cluster_size.is_aligned(offset) || offset + len > storage.len() {
            return Err(MappingError::L2Offset { guest: first, offset: HostOffset(offset) }.into());
        }
        table.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        read_exact(storage, offset, table, "an L2 table")
    }
}

/// What the L1 table has for a place.
enum Place {
    /// No L2 table, up to the end of the run.
    NoTable(Run),
    /// An L2 table.
    Table {
        /// Where it begins in the file.
        offset: u64,
        /// The first place that it is for.
        first: GuestOffset,
        /// How much was asked for, within the disk.
        max: u64,
    },
}
