//! Bitmaps.

use super::bytes::Out;
use super::layout::Layout;

/// An entry of the bitmap directory.
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
    /// Numbers of the bits that are set; the others are zero.
    pub bits: Vec<u64>,
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
            bits: Vec::new(),
            table_size: None,
            table_offset: None,
        }
    }

    /// Table entries that a disk of `size` bytes needs with clusters of `cluster_size` bytes.
    pub(super) fn needed_entries(&self, size: u64, cluster_size: u64) -> u32 {
        let bits = size.div_ceil(1 << u32::from(self.granularity_bits).min(62));
        u32::try_from(bits.div_ceil(8).div_ceil(cluster_size).max(1)).expect("test images are small")
    }

    /// Puts the bits into the file, and gives the table for them: clusters whose bits are all zero or all set, as
    /// far as a disk of `size` bytes has any, take no place.
    pub(super) fn place_bits(&self, layout: &mut Layout, size: u64, entries: u32) -> Vec<u8> {
        let granularity = 1_u64 << u32::from(self.granularity_bits).min(62);
        let per_cluster = layout.cluster_size * 8;
        let mut table = Out::default();
        for entry in 0..u64::from(entries) {
            let first = entry * per_cluster;
            let there = size.div_ceil(granularity).saturating_sub(first).min(per_cluster);
            let mut content = vec![0_u8; layout.cluster()];
            let mut set = 0;
            for bit in self.bits.iter().filter(|&&bit| bit >= first && bit - first < there) {
                let byte = &mut content[usize::try_from((bit - first) / 8).expect("it is in the cluster")];
                let mask = 1 << ((bit - first) % 8);
                set += u64::from(*byte & mask == 0);
                *byte |= mask;
            }
            table.u64(match set {
                0 => 0,
                set if set == there => 1,
                _ => layout.place(&content),
            });
        }
        table.0
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
