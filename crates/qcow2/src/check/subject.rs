//! The image under check, and reading as QEMU reads: past the end of the file there are zeros.

use stillpoint_storage::Storage;

use crate::raw::Incompatible;
use crate::tables::{Extensions, Header, Version, read_exact};
use crate::views::whole_sectors;
use crate::{Error, Name};

/// An image whose header is believed, with the numbers that every part of the check needs.
pub(super) struct Subject<'a, S: ?Sized> {
    pub(super) storage: &'a S,
    pub(super) header: Header,
    pub(super) extensions: Extensions,
    /// Length of the file in bytes, in whole sectors of 512 as QEMU counts it.
    pub(super) file_len: u64,
    pub(super) cluster_bits: u32,
    /// Whether L2 entries have 128 bits.
    pub(super) extended: bool,
    /// Whether guest data is in a file of its own.
    pub(super) data_file: bool,
    pub(super) v2: bool,
}

impl<'a, S: Storage + ?Sized> Subject<'a, S> {
    /// Reads the header; the snapshot table is judged later.
    pub(super) fn open(storage: &'a S) -> Result<Self, Error> {
        let (header, extensions) = Header::read_but_snapshots(storage)?;
        let incompatible = header.incompatible();
        Ok(Self {
            storage,
            file_len: whole_sectors(storage.len()),
            cluster_bits: header.cluster_size().bits(),
            extended: incompatible.contains(Incompatible::EXTENDED_L2),
            data_file: incompatible.contains(Incompatible::DATA_FILE),
            v2: header.version() == Version::V2,
            header,
            extensions,
        })
    }

    /// Bytes of a cluster.
    pub(super) const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Clusters of the file, the last one perhaps only in part.
    pub(super) const fn clusters(&self) -> u64 {
        self.file_len.div_ceil(self.cluster_size())
    }

    /// Bytes of an L2 entry.
    pub(super) const fn l2_entry_len(&self) -> u64 {
        if self.extended { 16 } else { 8 }
    }

    /// Bytes of the guest's disk that an L2 table is for: at most 2^39.
    pub(super) const fn covered(&self) -> u64 {
        self.cluster_size() * (self.cluster_size() / self.l2_entry_len())
    }

    pub(super) const fn is_aligned(&self, offset: u64) -> bool {
        offset & (self.cluster_size() - 1) == 0
    }

    /// Whether QEMU counts the references of a region: it may go past the end of the file by less than a cluster.
    pub(super) const fn is_countable(&self, offset: u64, size: u64) -> bool {
        match offset.checked_add(size) {
            Some(end) => end < self.file_len.saturating_add(self.cluster_size()),
            None => false,
        }
    }

    /// Fills `buf` from `offset` on, with zeros past the end.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8], what: &'static str) -> Result<(), Error> {
        let left = self.storage.len().saturating_sub(offset);
        let there = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let (bytes, zeros) = buf.split_at_mut(there);
        zeros.fill(0);
        read_exact(self.storage, offset, bytes, what)
    }
}

/// A name as QEMU keeps it in a C string of at most `len` bytes.
pub(super) fn c_name(bytes: &[u8], len: usize) -> Name {
    Name::from_c(bytes.get(..len).unwrap_or(bytes))
}
