//! The bitmaps extension and the bitmap directory (specification, sections "Bitmaps extension" and "Bitmap
//! directory").

use nom::Parser;
use nom::combinator::all_consuming;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};

use super::Parsed;

/// Data of the extension [`magic::BITMAPS`](super::magic::BITMAPS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBitmapsExtension {
    /// Bytes 0 to 3: how many bitmaps there are.
    pub nb_bitmaps: u32,
    /// Bytes 4 to 7: must be zero.
    pub reserved: u32,
    /// Bytes 8 to 15: length of the directory in bytes.
    pub directory_size: u64,
    /// Bytes 16 to 23: where it begins, in bytes.
    pub directory_offset: u64,
}

impl RawBitmapsExtension {
    /// Parses the whole data: exactly 24 bytes.
    ///
    /// # Errors
    /// When it is of another length.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (nb_bitmaps, reserved, directory_size, directory_offset)) =
            all_consuming((be_u32, be_u32, be_u64, be_u64)).parse(input)?;
        Ok((rest, Self { nb_bitmaps, reserved, directory_size, directory_offset }))
    }
}

/// Length of a directory entry before its extra data, in bytes.
pub const BITMAP_ENTRY_LEN: usize = 24;

/// The fixed part of a directory entry. Extra data and name follow it, in this order, and padding to a
/// multiple of eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBitmapEntry {
    /// Bytes 0 to 7: where the bitmap's table begins, in bytes.
    pub table_offset: u64,
    /// Bytes 8 to 11: its entries.
    pub table_size: u32,
    /// Bytes 12 to 15: bit 0 in use, bit 1 auto, bit 2 extra data may be ignored.
    pub flags: u32,
    /// Byte 16: 1, a dirty tracking bitmap.
    pub kind: u8,
    /// Byte 17: a bit stands for `1 << granularity_bits` bytes of the guest's disk.
    pub granularity_bits: u8,
    /// Bytes 18 and 19: length of the name in bytes.
    pub name_len: u16,
    /// Bytes 20 to 23: length of the extra data in bytes.
    pub extra_len: u32,
}

impl RawBitmapEntry {
    /// Parses the 24 bytes.
    ///
    /// # Errors
    /// When the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (table_offset, table_size, flags)) = (be_u64, be_u32, be_u32).parse(input)?;
        let (rest, (kind, granularity_bits, name_len, extra_len)) =
            (be_u8, be_u8, be_u16, be_u32).parse(rest)?;
        let entry = Self { table_offset, table_size, flags, kind, granularity_bits, name_len, extra_len };
        Ok((rest, entry))
    }

    /// Length of the entry with extra data, name and padding, in bytes.
    #[must_use]
    pub fn padded_len(&self) -> u64 {
        (BITMAP_ENTRY_LEN as u64 + u64::from(self.extra_len) + u64::from(self.name_len)).next_multiple_of(8)
    }
}

/// An entry of a bitmap's table (section "Bitmap table").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBitmapTableEntry(pub u64);

impl RawBitmapTableEntry {
    /// Parses the eight bytes.
    ///
    /// # Errors
    /// When the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, entry) = be_u64(input)?;
        Ok((rest, Self(entry)))
    }

    /// Bits 9 to 55: where the cluster of bits begins, in bytes; 0 when there is none.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 & 0x00ff_ffff_ffff_fe00
    }

    /// Bit 0: where there is no cluster, all of its bits are set. They are clear otherwise.
    #[must_use]
    pub const fn is_all_ones(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bits that must be zero.
    #[must_use]
    pub const fn reserved(self) -> u64 {
        self.0 & 0xff00_0000_0000_01fe
    }
}
