//! Guest data: clusters and the tables that point to them.

use super::HeaderSpec;
use super::build::Layout;

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
}

impl ClusterSpec {
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

/// Puts clusters and their L2 tables into the file, and gives the L1 table for them.
pub(super) fn place(layout: &mut Layout, header: &HeaderSpec, clusters: &[(u64, ClusterSpec)]) -> Vec<u8> {
    let words = if header.incompatible & 16 == 0 { 1 } else { 2 };
    let per_table = layout.cluster_size / 8 / words;
    let entries = usize::try_from(header.l1_size).expect("32 bits fit");
    let mut l1 = vec![0; entries * 8];
    for index in 0..entries as u64 {
        let here: Vec<_> = clusters.iter().filter(|(cluster, _)| cluster / per_table == index).collect();
        if here.is_empty() {
            continue;
        }
        let mut table = vec![0; usize::try_from(layout.cluster_size).expect("a cluster fits into memory")];
        for (cluster, spec) in here {
            let at = usize::try_from((cluster % per_table) * words * 8).expect("it is in the table");
            let (entry, bits) = entry(layout, header, spec);
            table[at..at + 8].copy_from_slice(&entry.to_be_bytes());
            if words == 2 {
                table[at + 8..at + 16].copy_from_slice(&bits.to_be_bytes());
            }
        }
        let offset = layout.place(&table) | 1 << 63;
        let at = usize::try_from(index * 8).expect("it is in the table");
        l1[at..at + 8].copy_from_slice(&offset.to_be_bytes());
    }
    l1
}

/// An L2 entry, and the second half of an extended one.
fn entry(layout: &mut Layout, header: &HeaderSpec, spec: &ClusterSpec) -> (u64, u64) {
    const COPIED: u64 = 1 << 63;
    let all = |bit: u32| 0xFFFF_FFFF << bit;
    let extended = header.incompatible & 16 != 0;
    match spec {
        ClusterSpec::Data(bytes) => (layout.place(bytes) | COPIED, all(0)),
        ClusterSpec::Zero if extended => (0, all(32)),
        ClusterSpec::Zero => (1, 0),
        ClusterSpec::ZeroAllocated(bytes) if extended => (layout.place(bytes) | COPIED, all(32)),
        ClusterSpec::ZeroAllocated(bytes) => (layout.place(bytes) | COPIED | 1, 0),
        ClusterSpec::Subclusters { bytes, allocated, zero } => {
            let offset = if *allocated == 0 { 0 } else { layout.place(bytes) | COPIED };
            (offset, u64::from(*zero) << 32 | u64::from(*allocated))
        }
        ClusterSpec::Compressed(stream) => {
            let offset = layout.place(&[&[0xEE; ODD][..], stream].concat()) + ODD as u64;
            let sectors = (offset % 512 + stream.len() as u64).div_ceil(512) - 1;
            let shift = 62 - (header.cluster_bits - 8);
            (1 << 62 | sectors << shift | offset, 0)
        }
    }
}
