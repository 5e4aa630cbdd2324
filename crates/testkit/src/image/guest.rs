//! Guest data: clusters and the tables that point to them.

use super::HeaderSpec;
use super::layout::Layout;

/// What a cluster of the guest's disk is. One that isn't mentioned is not allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterSpec {
    /// Stored as it is.
    Data(Vec<u8>),
    /// Zeros, without a place in the file.
    Zero,
    /// Zeros, with a place in the file that holds these bytes.
    ZeroAllocated(Vec<u8>),
    /// Compressed: a stream that decompresses to a cluster.
    Compressed(Vec<u8>),
    /// With extended L2 entries: the cluster's bytes, and bits of the subclusters that are allocated and zero.
    Subclusters {
        /// The cluster's bytes.
        bytes: Vec<u8>,
        /// Subclusters that are in the cluster, the first being bit 0.
        allocated: u32,
        /// Subclusters that read as zeros.
        zero: u32,
    },
    /// One that others of the same label share, in the active disk and in snapshots: it is in the file once, as
    /// what the first of them says, and its refcount is how many they are.
    Shared {
        /// Which one it is.
        label: u64,
        /// What it is.
        cluster: Box<ClusterSpec>,
    },
}

impl ClusterSpec {
    /// The cluster that is shared under `label`.
    #[must_use]
    pub fn shared(label: u64, cluster: Self) -> Self {
        Self::Shared { label, cluster: Box::new(cluster) }
    }

    /// The bytes as a deflate stream that compresses nothing: stored blocks only.
    #[must_use]
    pub fn deflated(bytes: &[u8]) -> Self {
        let mut stream = Vec::new();
        let mut chunks = bytes.chunks(65535).peekable();
        while let Some(chunk) = chunks.next() {
            let len = u16::try_from(chunk.len()).expect("a chunk is shorter than that");
            stream.push(u8::from(chunks.peek().is_none()));
            stream.extend(len.to_le_bytes());
            stream.extend((!len).to_le_bytes());
            stream.extend(chunk);
        }
        Self::Compressed(stream)
    }

    /// The bytes as a zstd frame: each run of one byte as such, the rest as it is.
    #[must_use]
    pub fn zstd(bytes: &[u8]) -> Self {
        let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0xA0];
        frame.extend(u32::try_from(bytes.len()).expect("a cluster is shorter than that").to_le_bytes());
        let mut chunks = bytes.chunks(4096).peekable();
        while let Some(chunk) = chunks.next() {
            let same = chunk.iter().all(|byte| *byte == chunk[0]);
            let last = u32::from(chunks.peek().is_none());
            let len = u32::try_from(chunk.len()).expect("a chunk is shorter than that");
            let header = last | u32::from(same) << 1 | len << 3;
            frame.extend(&header.to_le_bytes()[..3]);
            frame.extend(if same { &chunk[..1] } else { chunk });
        }
        Self::Compressed(frame)
    }
}

/// Where in its cluster a compressed stream begins: not aligned to anything, as QEMU packs them.
const ODD: usize = 37;

/// How guest data is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Order {
    /// Compressed streams lie one behind the other instead of each in clusters of its own.
    pub(super) packed: bool,
    /// L2 tables that are the same are one.
    pub(super) share_tables: bool,
    /// In which order the clusters of a table are in the file: by their number, if it is 0.
    pub(super) shuffle: u64,
}

/// Puts clusters and their L2 tables into the file, and gives an L1 table of `entries` entries for them, in which
/// no entry has its `copied` bit yet.
pub(super) fn place(
    layout: &mut Layout,
    header: &HeaderSpec,
    order: Order,
    entries: u64,
    clusters: &[(u64, ClusterSpec)],
) -> Vec<u64> {
    let words = if header.incompatible & 16 == 0 { 1 } else { 2 };
    let per_table = layout.cluster_size / 8 / words;
    let mut l1 = vec![0; usize::try_from(entries).expect("test images are small")];
    for (number, l1_entry) in (0..entries).zip(&mut l1) {
        let mut here: Vec<_> = clusters.iter().filter(|(cluster, _)| cluster / per_table == number).collect();
        if here.is_empty() {
            continue;
        }
        if order.shuffle != 0 {
            here.sort_by_key(|(cluster, _)| (cluster + 1).wrapping_mul(order.shuffle | 1).rotate_left(29));
        }
        let mut table = vec![0; layout.cluster() / 8];
        let mut pointers = Vec::new();
        for (cluster, spec) in here {
            let at = usize::try_from((cluster % per_table) * words).expect("it is in the table");
            let (entry, bits) = entry(layout, header, order, *cluster, spec);
            table[at] = entry;
            if words == 2 {
                table[at + 1] = bits;
            }
            let offset = entry & 0x00FF_FFFF_FFFF_FE00;
            if layout.data.is_none() && entry >> 62 == 0 && offset != 0 {
                pointers.push((at as u64 * 8, offset));
            }
        }
        *l1_entry = match layout.tables.get(&table).copied().filter(|_| order.share_tables) {
            Some(same) => {
                layout.use_again(same, layout.cluster_size);
                same
            }
            None => {
                let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
                let offset = layout.place(&bytes);
                for (at, cluster) in pointers {
                    layout.points(offset + at, cluster);
                }
                layout.tables.insert(table, offset);
                offset
            }
        };
    }
    l1
}

/// Puts an L1 table into the file, and says where.
pub(super) fn place_l1(layout: &mut Layout, l1: &[u64]) -> u64 {
    let bytes: Vec<u8> = l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
    let offset = layout.place(&bytes);
    for (at, &table) in (0..).step_by(8).zip(l1).filter(|(_, table)| **table != 0) {
        layout.points(offset + at, table);
    }
    offset
}

/// An L2 entry, and the second half of an extended one.
fn entry(
    layout: &mut Layout,
    header: &HeaderSpec,
    order: Order,
    index: u64,
    spec: &ClusterSpec,
) -> (u64, u64) {
    let all = |bit: u32| 0xFFFF_FFFF << bit;
    let extended = header.incompatible & 16 != 0;
    // In a data file nothing is counted, and every place is used once; 0 is a place like any other.
    let copied = if layout.data.is_some() { 1 << 63 } else { 0 };
    let place = |layout: &mut Layout, bytes: &[u8]| layout.place_guest(index, bytes) | copied;
    match spec {
        ClusterSpec::Data(bytes) => (place(layout, bytes), all(0)),
        ClusterSpec::Zero if extended => (0, all(32)),
        ClusterSpec::Zero => (1, 0),
        ClusterSpec::ZeroAllocated(bytes) if extended => (place(layout, bytes), all(32)),
        ClusterSpec::ZeroAllocated(bytes) => (place(layout, bytes) | 1, 0),
        ClusterSpec::Subclusters { bytes, allocated, zero } => {
            let offset = if *allocated == 0 { 0 } else { place(layout, bytes) };
            (offset, u64::from(*zero) << 32 | u64::from(*allocated))
        }
        ClusterSpec::Compressed(stream) => (compressed(layout, header, order, stream), 0),
        ClusterSpec::Shared { label, cluster } => match layout.shared.get(label).copied() {
            Some((entry, bits)) => {
                if let Some((at, len)) = used(header, entry).filter(|_| layout.data.is_none()) {
                    layout.use_again(at, len);
                }
                (entry, bits)
            }
            None => {
                let placed = self::entry(layout, header, order, index, cluster);
                layout.shared.insert(*label, placed);
                placed
            }
        },
    }
}

fn compressed(layout: &mut Layout, header: &HeaderSpec, order: Order, stream: &[u8]) -> u64 {
    let offset = if order.packed {
        layout.pack(stream, 1 << (header.cluster_bits - 8))
    } else {
        layout.place(&[&[0xEE; ODD][..], stream].concat()) + ODD as u64
    };
    let sectors = (offset % 512 + stream.len() as u64).div_ceil(512) - 1;
    let shift = 62 - (header.cluster_bits - 8);
    1 << 62 | sectors << shift | offset
}

/// The part of the file that an entry uses.
fn used(header: &HeaderSpec, entry: u64) -> Option<(u64, u64)> {
    if entry >> 62 & 1 == 1 {
        let shift = 62 - (header.cluster_bits - 8);
        let offset = entry & ((1 << shift) - 1) & !511;
        let sectors = (entry >> shift & ((1 << (62 - shift)) - 1)) + 1;
        return Some((offset, sectors * 512));
    }
    let offset = entry & 0x00FF_FFFF_FFFF_FE00;
    (offset != 0).then_some((offset, 1))
}
