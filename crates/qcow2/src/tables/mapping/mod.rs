//! From a place of the guest's disk to one of the file (specification, section "Cluster mapping").

use std::sync::Arc;

use stillpoint_storage::Storage;

use super::limits::MAX_L1_BYTES;
use super::read::read_exact;
use super::{ClusterSize, GuestOffset, Header, HostOffset, TablePlace, Version};
use crate::Error;
use crate::raw::{Incompatible, RawL1Entry, RawL2Entry, RawSubclusters};

mod cache;
mod error;

use cache::Cache;
pub use error::MappingError;

/// Subclusters of a cluster, where L2 entries are extended.
const SUBCLUSTERS: u64 = 32;

/// What a part of the guest's disk is in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// Not there: it is what the backing file has, or zeros where there is none.
    Unallocated,
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
    cluster_size: ClusterSize,
    extended: bool,
    zero_clusters: bool,
    data_file: bool,
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
        let cluster_size = header.cluster_size();
        let incompatible = header.incompatible();
        let extended = incompatible.contains(Incompatible::EXTENDED_L2);
        let covered = cluster_size.bytes() * (cluster_size.bytes() / if extended { 16 } else { 8 });
        let needed = size.div_ceil(covered);
        let TablePlace { offset, entries } = place;
        if u64::from(entries) < needed || needed * 8 > MAX_L1_BYTES {
            return Err(MappingError::L1Size { entries, needed }.into());
        }
        if !cluster_size.is_aligned(offset.0) {
            return Err(MappingError::L1Offset(offset).into());
        }
        // At most 32 MiB, by the test above.
        let bytes = needed * 8;
        if offset.0.checked_add(bytes).is_none_or(|end| end > storage.len()) {
            return Err(MappingError::L1PastTheEnd { offset, entries }.into());
        }
        Ok(Self {
            l1: read_words(storage, offset.0, bytes, "the L1 table")?,
            cache: Cache::new(cluster_size),
            size,
            cluster_size,
            extended,
            zero_clusters: header.version() == Version::V3,
            data_file: incompatible.contains(Incompatible::DATA_FILE),
        })
    }

    /// The size of the disk, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The run that begins at `at`, up to where it changes, and not longer than `max` bytes (at least 1).
    ///
    /// # Errors
    /// When `at` is past the end of the disk, or a table or an entry of it breaks a rule or can't be read.
    pub fn run_at<S: Storage + ?Sized>(&self, storage: &S, at: GuestOffset, max: u64) -> Result<Run, Error> {
        let max = max
            .max(1)
            .min(self.size.checked_sub(at.0).filter(|&left| left > 0).ok_or(MappingError::NoSuchPlace(at))?);
        let covered = self.covered();
        let index = at.0 / covered;
        let entry = self.l1_entry(index, at)?;
        if entry.offset() == 0 {
            return Ok(self.no_table(at, index, max));
        }
        let first = GuestOffset(index * covered);
        let table = self.l2_table(storage, first, entry)?;
        self.walk(&table, first, at, max)
    }

    /// Bytes of the disk that one L2 table is for: at most 2^39.
    const fn covered(&self) -> u64 {
        let cluster = self.cluster_size.bytes();
        cluster * (cluster / if self.extended { 16 } else { 8 })
    }

    fn l1_entry(&self, index: u64, at: GuestOffset) -> Result<RawL1Entry, MappingError> {
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index));
        entry.map(|&entry| RawL1Entry(entry)).ok_or(MappingError::NoSuchPlace(at))
    }

    /// The run of tables that aren't there, from the one of `index` on.
    fn no_table(&self, at: GuestOffset, index: u64, max: u64) -> Run {
        let covered = self.covered();
        let tables = self.l1.iter().skip(usize::try_from(index).unwrap_or(usize::MAX));
        let absent = tables.take_while(|&&entry| RawL1Entry(entry).offset() == 0);
        // No more than what `max` asks for.
        let wanted = usize::try_from(max / covered).unwrap_or(usize::MAX).saturating_add(2);
        let absent = absent.take(wanted).count() as u64;
        let end = (index + absent).saturating_mul(covered);
        Run { guest: at, len: max.min(end.saturating_sub(at.0)), allocation: Allocation::Unallocated }
    }

    /// The L2 table that `entry` points to, from the cache or the file.
    fn l2_table<S: Storage + ?Sized>(
        &self,
        storage: &S,
        guest: GuestOffset,
        entry: RawL1Entry,
    ) -> Result<Arc<[u64]>, Error> {
        let offset = entry.offset();
        if let Some(table) = self.cache.get(offset) {
            return Ok(table);
        }
        let len = self.cluster_size.bytes();
        // Offsets have 56 bits: no sum overflows.
        if !self.cluster_size.is_aligned(offset) || offset + len > storage.len() {
            return Err(MappingError::L2Offset { guest, offset: HostOffset(offset) }.into());
        }
        let table: Arc<[u64]> = read_words(storage, offset, len, "an L2 table")?.into();
        self.cache.put(offset, Arc::clone(&table));
        Ok(table)
    }

    /// The run that begins at `at`, within the table for `first` and on.
    fn walk(&self, table: &[u64], first: GuestOffset, at: GuestOffset, max: u64) -> Result<Run, Error> {
        let unit =
            if self.extended { self.cluster_size.bytes() / SUBCLUSTERS } else { self.cluster_size.bytes() };
        let wanted_end = (at.0 + max).min(first.0 + self.covered());
        let allocation = self.classify(table, first, at)?;
        let mut end = (at.0 / unit + 1) * unit;
        if let Allocation::Compressed { .. } = allocation {
            end = (at.0 / self.cluster_size.bytes() + 1) * self.cluster_size.bytes();
        } else {
            while end < wanted_end {
                // A fault further on is told when that place itself is asked for.
                match self.classify(table, first, GuestOffset(end)) {
                    Ok(next) if follows(allocation, end - at.0, next) => end += unit,
                    _ => break,
                }
            }
        }
        Ok(Run { guest: at, len: end.min(wanted_end) - at.0, allocation })
    }

    /// What the disk is at `at`.
    fn classify(
        &self,
        table: &[u64],
        first: GuestOffset,
        at: GuestOffset,
    ) -> Result<Allocation, MappingError> {
        let cluster = self.cluster_size.bytes();
        let guest = GuestOffset(at.0 / cluster * cluster);
        let inside = at.0 - guest.0;
        let index = usize::try_from((at.0 - first.0) / cluster).unwrap_or(usize::MAX);
        let word = |index: usize| table.get(index).copied().ok_or(MappingError::NoSuchPlace(at));
        let entry = RawL2Entry(word(if self.extended { index * 2 } else { index })?);
        if entry.is_compressed() {
            if self.data_file {
                return Err(MappingError::CompressedInDataFile(guest));
            }
            let place = entry.compressed(self.cluster_size.bits());
            return Ok(Allocation::Compressed { host: HostOffset(place.offset), len: place.len });
        }
        let offset = entry.offset();
        if !self.cluster_size.is_aligned(offset) {
            return Err(MappingError::ClusterOffset { guest, offset: HostOffset(offset) });
        }
        // In an external data file, 0 is a place like any other.
        let host =
            (offset != 0 || (self.data_file && entry.is_copied())).then(|| HostOffset(offset + inside));
        if self.extended {
            let bits = RawSubclusters(word(index * 2 + 1)?);
            return subcluster(bits, inside / (cluster / SUBCLUSTERS), host)
                .ok_or(MappingError::Subclusters { guest, bits: bits.0 });
        }
        match (entry.is_zero(), host) {
            (true, _) if !self.zero_clusters => Err(MappingError::ZeroInV2(guest)),
            (true, host) => Ok(Allocation::Zero { host }),
            (false, Some(host)) => Ok(Allocation::Data { host }),
            (false, None) => Ok(Allocation::Unallocated),
        }
    }
}

/// What subcluster `index` is; `None` when its bits contradict each other.
fn subcluster(bits: RawSubclusters, index: u64, host: Option<HostOffset>) -> Option<Allocation> {
    let index = u32::try_from(index).ok()?;
    match (bits.is_allocated(index), bits.is_zero(index), host) {
        (true, true, _) | (true, false, None) => None,
        (false, true, host) => Some(Allocation::Zero { host }),
        (true, false, Some(host)) => Some(Allocation::Data { host }),
        (false, false, _) => Some(Allocation::Unallocated),
    }
}

/// Whether `next` goes on what begins as `first` and is `len` bytes long so far.
fn follows(first: Allocation, len: u64, next: Allocation) -> bool {
    match (first, next) {
        (Allocation::Unallocated, Allocation::Unallocated)
        | (Allocation::Zero { host: None }, Allocation::Zero { host: None }) => true,
        (Allocation::Zero { host: Some(a) }, Allocation::Zero { host: Some(b) })
        | (Allocation::Data { host: a }, Allocation::Data { host: b }) => a.0 + len == b.0,
        _ => false,
    }
}

/// `len` bytes from `offset` on as numbers of 64 bits. The caller has bounded `len`.
fn read_words<S: Storage + ?Sized>(
    storage: &S,
    offset: u64,
    len: u64,
    what: &'static str,
) -> Result<Vec<u64>, Error> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    read_exact(storage, offset, &mut bytes, what)?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok(words.iter().map(|word| u64::from_be_bytes(*word)).collect())
}
