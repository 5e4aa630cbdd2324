//! Bitmaps.

use super::bytes::Out;

/// An entry of the bitmap directory. All of its bits are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitmapSpec {
    /// Name.
    pub name: Vec<u8>,
    /// Flags: 1 in use, 2 auto, 4 extra data may be ignored.
    pub flags: u32,
    /// Type: 1 for a dirty tracking bitmap.
    pub kind: u8,
    /// log2 of the granularity in bytes.
    pub granularity_bits: u8,
    /// Extra data.
    pub extra: Vec<u8>,
    /// Entries of its table, in place of as many as the disk needs.
    pub table_size: Option<u32>,
    /// Offset of its table in bytes, in place of where it is.
    pub table_offset: Option<u64>,
}

impl BitmapSpec {
    /// A bitmap that records writes, a bit for 64 KiB.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            flags: 2,
            kind: 1,
            granularity_bits: 16,
            extra: Vec::new(),
            table_size: None,
            table_offset: None,
        }
    }

    /// Table entries that a disk of `size` bytes needs with clusters of `cluster_size` bytes.
    pub(super) fn needed_entries(&self, size: u64, cluster_size: u64) -> u32 {
        let bits = size.div_ceil(1 << u32::from(self.granularity_bits).min(62));
        u32::try_from(bits.div_ceil(8).div_ceil(cluster_size).max(1)).expect("test images are small")
    }

    /// The entry's bytes with padding.
    pub(super) fn bytes(&self, table_offset: u64, table_size: u32) -> Vec<u8> {
        let mut out = Out::default();
        out.u64(self.table_offset.unwrap_or(table_offset)).u32(self.table_size.unwrap_or(table_size));
        out.u32(self.flags).u8(self.kind).u8(self.granularity_bits);
        out.u16(u16::try_from(self.name.len()).expect("the format has 16 bits for this length"));
        out.u32(u32::try_from(self.extra.len()).expect("the format has 32 bits for this length"));
        out.bytes(&self.extra).bytes(&self.name).pad8();
        out.0
    }
}
