//! A fresh qcow2 image, written from its beginning to its end.

use super::ExtractError;
use super::part::Part;
use crate::raw::MAGIC;
use crate::tables::Compression;
use crate::tables::limits::MAX_L1_BYTES;

/// Streams are gathered to as many bytes before they are written.
const GATHER: usize = 1 << 20;
/// L1 and L2 entries whose table or cluster is used once.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Bytes of the header, without extensions.
const HEADER_LENGTH: u32 = 112;

/// The image: its clusters are allocated one after the other, and the tables written behind those that they are for.
///
/// Memory: the L1 table (8 bytes for what an L2 table covers), one L2 table, and 2 bytes for each cluster of the file.
#[derive(Debug)]
pub(super) struct FreshImage<'a> {
    part: &'a Part<'a>,
    bits: u32,
    size: u64,
    /// How often each cluster of the file is used.
    counts: Vec<u16>,
    /// Where the last compressed stream ended.
    packed_end: u64,
    l1: Vec<u64>,
    /// The L2 table that is being filled, and which one it is.
    l2: Option<(usize, Vec<u64>)>,
    /// Bytes that are to be written, and where.
    gathered: (u64, Vec<u8>),
    /// Bytes that were written.
    written: u64,
}

impl<'a> FreshImage<'a> {
    /// An image with clusters of `1 << bits` bytes, 9 to 21, for a disk of `size` bytes.
    pub(super) fn new(part: &'a Part<'a>, bits: u32, size: u64) -> Result<Self, ExtractError> {
        let tables = size.div_ceil(1 << (bits * 2 - 3)).max(1);
        if tables * 8 > MAX_L1_BYTES {
            return Err(ExtractError::TooLarge { size, cluster_size: 1 << bits });
        }
        let l1 = vec![0; usize::try_from(tables).unwrap_or(usize::MAX)];
        let counts = vec![1];
        let gathered = (0, Vec::new());
        Ok(Self { part, bits, size, counts, packed_end: 0, l1, l2: None, gathered, written: 0 })
    }

    pub(super) const fn cluster_size(&self) -> u64 {
        1 << self.bits
    }

    /// The length of the file so far.
    pub(super) fn end(&self) -> u64 {
        (self.counts.len() as u64) << self.bits
    }

    /// Allocates `count` clusters for the guest's clusters from `guest` on, one after the other, and gives where the
    /// first is. All are behind those that were given before.
    pub(super) fn allocate(&mut self, guest: u64, count: u64) -> Result<u64, ExtractError> {
        let offset = self.append(count, 1);
        for number in 0..count {
            self.set(guest + number, (offset + (number << self.bits)) | COPIED)?;
        }
        Ok(offset)
    }

    /// Stores a cluster as it is.
    pub(super) fn plain(&mut self, guest: u64, bytes: &[u8]) -> Result<(), ExtractError> {
        let offset = self.allocate(guest, 1)?;
        self.gather(offset, bytes)
    }

    /// Stores a cluster that is compressed, behind the last one if that is possible. The stream is shorter than a
    /// cluster.
    pub(super) fn compressed(&mut self, guest: u64, stream: &[u8]) -> Result<(), ExtractError> {
        let len = stream.len() as u64;
        let last = self.counts.last().copied().unwrap_or(u16::MAX);
        let goes_on = self.packed_end > self.end() - self.cluster_size() && last < u16::MAX;
        let goes_on = goes_on && self.packed_end < self.end();
        let start = if goes_on { self.packed_end } else { self.append(1, 0) };
        if start + len > self.end() {
            self.append(1, 0);
        }
        for cluster in start >> self.bits..=(start + len - 1) >> self.bits {
            let index = usize::try_from(cluster).unwrap_or(usize::MAX);
            if let Some(count) = self.counts.get_mut(index) {
                *count += 1;
            }
        }
        self.packed_end = start + len;
        let sectors = (start % 512 + len).div_ceil(512) - 1;
        let shift = 62 - (self.bits - 8);
        self.set(guest, COMPRESSED | sectors << shift | start)?;
        self.gather(start, stream)
    }

    /// Adds clusters to the file's end, each used `count` times.
    fn append(&mut self, clusters: u64, count: u16) -> u64 {
        let offset = self.end();
        let clusters = usize::try_from(clusters).unwrap_or(usize::MAX);
        self.counts.extend(std::iter::repeat_n(count, clusters));
        offset
    }

    /// Sets the L2 entry of the guest's cluster `guest`. They come in order.
    fn set(&mut self, guest: u64, entry: u64) -> Result<(), ExtractError> {
        let per_table = 1_u64 << (self.bits - 3);
        let number = usize::try_from(guest / per_table).unwrap_or(usize::MAX);
        if self.l2.as_ref().is_none_or(|(current, _)| *current != number) {
            self.end_table()?;
            self.l2 = Some((number, vec![0; usize::try_from(per_table).unwrap_or(usize::MAX)]));
        }
        let index = usize::try_from(guest % per_table).unwrap_or(usize::MAX);
        if let Some(place) = self.l2.as_mut().and_then(|(_, table)| table.get_mut(index)) {
            *place = entry;
        }
        Ok(())
    }

    fn end_table(&mut self) -> Result<(), ExtractError> {
        let Some((number, table)) = self.l2.take() else { return Ok(()) };
        let offset = self.append(1, 1);
        self.gather(offset, &bytes_of(&table))?;
        if let Some(place) = self.l1.get_mut(number) {
            *place = offset | COPIED;
        }
        Ok(())
    }

    /// Writes bytes behind those that were written last, sooner or later.
    fn gather(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExtractError> {
        let (start, gathered) = &self.gathered;
        if *start + gathered.len() as u64 != at || gathered.len() >= GATHER {
            self.write_gathered()?;
            self.gathered.0 = at;
        }
        self.gathered.1.extend_from_slice(bytes);
        Ok(())
    }

    /// Blocks of zeros stay holes: of a cluster of 64 KiB that a disk has 4 KiB in, so much is stored.
    fn write_gathered(&mut self) -> Result<(), ExtractError> {
        let (start, bytes) = &mut self.gathered;
        self.written += self.part.write_sparse(*start, bytes)?;
        bytes.clear();
        Ok(())
    }

    /// Writes the tables that are left, and the header. Tells the length of the file, and how many bytes of it were
    /// written here.
    pub(super) fn finish(mut self, compression: Compression) -> Result<(u64, u64), ExtractError> {
        self.end_table()?;
        let l1 = bytes_of(&self.l1);
        let l1_offset = self.append((l1.len() as u64).div_ceil(self.cluster_size()), 1);
        self.gather(l1_offset, &l1)?;

        let per_block = self.cluster_size() / 2;
        let others = self.counts.len() as u64;
        let (mut blocks, mut table) = (1, 1);
        loop {
            let needed = (others + blocks + table).div_ceil(per_block);
            let needed_table = (needed * 8).div_ceil(self.cluster_size());
            if (needed, needed_table) == (blocks, table) {
                break;
            }
            (blocks, table) = (needed, needed_table);
        }
        let table_offset = self.append(table, 1);
        let block_offset = self.append(blocks, 1);
        let pointers: Vec<u64> = (0..blocks).map(|number| block_offset + (number << self.bits)).collect();
        self.gather(table_offset, &bytes_of(&pointers))?;
        let counts: Vec<u8> = self.counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        self.gather(block_offset, &counts)?;
        self.write_gathered()?;

        let refcounts = (table_offset, u32::try_from(table).unwrap_or(u32::MAX));
        let header = self.header(compression, l1_offset, refcounts);
        self.part.write_all(0, &header)?;
        self.part.set_len(self.end())?;
        Ok((self.end(), self.written + header.len() as u64))
    }

    /// The header of version 3, with no extension.
    fn header(&self, compression: Compression, l1: u64, refcounts: (u64, u32)) -> Vec<u8> {
        let zstd = compression == Compression::Zstd;
        let mut bytes = Vec::new();
        let mut u32s = |numbers: &[u32]| numbers.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        u32s(&[u32::from_be_bytes(MAGIC), 3]);
        // No backing file.
        u32s(&[0, 0, 0, self.bits]);
        u32s(&halves(self.size));
        // Not encrypted.
        u32s(&[0, u32::try_from(self.l1.len()).unwrap_or(u32::MAX)]);
        u32s(&halves(l1));
        u32s(&halves(refcounts.0));
        // No snapshots.
        u32s(&[refcounts.1, 0, 0, 0]);
        // Features: incompatible, compatible, autoclear.
        u32s(&[0, if zstd { 8 } else { 0 }, 0, 0, 0, 0]);
        // Refcounts of 16 bits.
        u32s(&[4, HEADER_LENGTH, u32::from(zstd) << 24, 0]);
        // The end of the extensions.
        u32s(&[0, 0]);
        bytes
    }
}

fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

fn bytes_of(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_be_bytes()).collect()
}
