//! The bits of a bitmap.

use std::fmt;
use std::iter::FusedIterator;

use stillpoint_storage::Storage;

use super::Image;
use crate::Error;
use crate::raw::RawBitmapTableEntry;
use crate::tables::{Bitmap, BitmapError, BitmapFlags, GuestOffset, HostOffset, TableReader, read_exact};

/// A part of the guest's disk whose bits are set in a bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirtyRange {
    /// Where it begins: a multiple of the bitmap's granularity.
    pub guest: GuestOffset,
    /// How long it is, in bytes: a multiple of the granularity unless it goes up to the end of the disk.
    pub len: u64,
}

/// Iterator over what is set in a bitmap, in the disk's order, neighbours as one (specification, section "Bitmap
/// data"). See [`Image::dirty_ranges`].
///
/// Memory: one cluster of bits, 2 MiB at most, and 64 KiB of the bitmap's table. It ends after the first error.
pub struct DirtyRanges<'a, S: ?Sized> {
    storage: &'a S,
    bitmap: &'a Bitmap,
    table: TableReader<'a, S>,
    /// The size of the disk, and of a cluster, in bytes.
    size: u64,
    cluster: u64,
    /// Bits that stand for something of the disk.
    bits: u64,
    /// The next bit, and the one where the range began that it is in.
    at: u64,
    open: Option<u64>,
    part: Part,
    /// Entries of the table that were read.
    entries: u64,
}

/// The cluster of bits that was read last.
enum Part {
    Same(bool),
    Bits(Vec<u8>),
}

impl<S: ?Sized> fmt::Debug for DirtyRanges<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirtyRanges").field("bitmap", &self.bitmap.name).field("at", &self.at).finish()
    }
}

impl<S: Storage> Image<S> {
    /// What is set in `bitmap`, one of [`bitmaps`](Self::bitmaps).
    ///
    /// # Errors
    /// When the bitmap is in use, so that what is stored of it can't be believed, or its table goes past the end of
    /// the file. What is found further on, the iterator tells.
    pub fn dirty_ranges<'a>(&'a self, bitmap: &'a Bitmap) -> Result<DirtyRanges<'a, S>, Error> {
        if bitmap.flags.contains(BitmapFlags::IN_USE) {
            return Err(BitmapError::InUse(bitmap.name.clone()).into());
        }
        let storage = self.storage();
        let (offset, entries) = (bitmap.table.offset.0, bitmap.table.entries);
        let end = offset.checked_add(u64::from(entries) * 8).filter(|&end| end <= storage.len());
        let end = end.ok_or_else(|| BitmapError::TablePastTheEnd {
            name: bitmap.name.clone(),
            offset: bitmap.table.offset,
            entries,
        })?;
        let size = self.virtual_size();
        Ok(DirtyRanges {
            storage,
            bitmap,
            table: TableReader::new(storage, "a bitmap's table", offset, end),
            size,
            cluster: self.header().cluster_size().bytes(),
            bits: size.div_ceil(bitmap.granularity),
            at: 0,
            open: None,
            part: Part::Same(false),
            entries: 0,
        })
    }
}

impl<S: Storage + ?Sized> DirtyRanges<'_, S> {
    /// The first bit after those that were read.
    fn part_end(&self) -> u64 {
        // At most 2^27 entries of 2^24 bits.
        (self.entries * self.cluster * 8).min(self.bits)
    }

    /// Reads the next cluster of bits; `false` when there is none.
    fn read_part(&mut self) -> Result<bool, Error> {
        let Some(entry) = self.table.take(8)? else { return Ok(false) };
        let Ok((_, entry)) = RawBitmapTableEntry::parse(entry) else { return Ok(false) };
        let wrong = |problem| BitmapError::TableEntry {
            name: self.bitmap.name.clone(),
            index: self.entries,
            entry: entry.0,
            problem,
        };
        if entry.reserved() != 0 {
            return Err(wrong("has bits set that must be zero").into());
        }
        let offset = entry.offset();
        self.part = if offset == 0 {
            Part::Same(entry.is_all_ones())
        } else {
            if entry.is_all_ones() {
                return Err(wrong("has a place, but bit 0 is set too").into());
            }
            if offset % self.cluster != 0 {
                return Err(wrong("points to where no cluster begins").into());
            }
            // Offsets have 56 bits.
            if offset + self.cluster > self.storage.len() {
                return Err(wrong("points past the end of the file").into());
            }
            // Of the last cluster only what stands for something.
            let left = self.bits - self.entries * self.cluster * 8;
            let len = left.div_ceil(8).min(self.cluster);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            read_exact(self.storage, HostOffset(offset).0, &mut bytes, "a bitmap's bits")?;
            Part::Bits(bytes)
        };
        self.entries += 1;
        Ok(true)
    }

    /// The first bit from `at` on, within what was read, that is `set`; its end where none is.
    fn next_bit(&self, set: bool) -> u64 {
        let end = self.part_end();
        match &self.part {
            Part::Same(all) if *all == set => self.at,
            Part::Same(_) => end,
            Part::Bits(bytes) => {
                let first = (self.entries - 1) * self.cluster * 8;
                (first + find_bit(bytes, self.at - first, set)).min(end)
            }
        }
    }

    fn range(&self, from: u64, to: u64) -> DirtyRange {
        let guest = from * self.bitmap.granularity;
        let end = to.saturating_mul(self.bitmap.granularity).min(self.size);
        DirtyRange { guest: GuestOffset(guest), len: end - guest }
    }

    fn advance(&mut self) -> Result<Option<DirtyRange>, Error> {
        while self.at < self.bits {
            if self.at == self.part_end() && !self.read_part()? {
                // A table that is too short for the disk: the header's checks refuse it.
                break;
            }
            self.at = self.next_bit(self.open.is_none());
            if self.at == self.part_end() {
                continue;
            }
            match self.open.take() {
                None => self.open = Some(self.at),
                Some(from) => return Ok(Some(self.range(from, self.at))),
            }
        }
        let to = self.at;
        self.at = self.bits;
        Ok(self.open.take().map(|from| self.range(from, to)))
    }
}

impl<S: Storage + ?Sized> Iterator for DirtyRanges<'_, S> {
    type Item = Result<DirtyRange, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance();
        if found.is_err() {
            (self.at, self.open) = (self.bits, None);
        }
        found.transpose()
    }
}

impl<S: Storage + ?Sized> FusedIterator for DirtyRanges<'_, S> {}

/// The number of the first bit from `from` on that is `set`, the lowest of a byte being its first; the number of all
/// bits where none is.
fn find_bit(bytes: &[u8], from: u64, set: bool) -> u64 {
    let flip = if set { 0 } else { u8::MAX };
    let start = usize::try_from(from / 8).unwrap_or(usize::MAX);
    let mut rest = bytes.get(start..).unwrap_or_default();
    let mut at = from / 8 * 8;
    if let Some((first, after)) = rest.split_first() {
        let wanted = (first ^ flip) & u8::MAX << (from % 8);
        if wanted != 0 {
            return at + u64::from(wanted.trailing_zeros());
        }
        (rest, at) = (after, at + 8);
    }
    // Whole words at once: most of a bitmap is all the same.
    let words = rest.as_chunks::<8>().0.iter();
    let same = words.take_while(|word| **word == [flip; 8]).count();
    at += same as u64 * 64;
    for byte in rest.get(same * 8..).unwrap_or_default() {
        let wanted = byte ^ flip;
        if wanted != 0 {
            return at + u64::from(wanted.trailing_zeros());
        }
        at += 8;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_bit_is_the_one_that_a_plain_loop_finds(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(255), any::<u8>()], 0..40),
            from in 0_u64..330,
            set in any::<bool>(),
        ) {
            let all = bytes.len() as u64 * 8;
            let is = |bit: u64| bytes[usize::try_from(bit / 8).expect("short")] >> (bit % 8) & 1 == u8::from(set);
            let from = from.min(all);
            prop_assert_eq!(find_bit(&bytes, from, set), (from..all).find(|&bit| is(bit)).unwrap_or(all));
        }
    }
}
