//! Clusters one after the other, and how often each is used.

use std::collections::HashMap;

use super::header::HeaderSpec;

/// Clusters one after the other, the first being the header's.
pub(super) struct Layout {
    pub(super) cluster_size: u64,
    pub(super) bytes: Vec<u8>,
    /// The external data file, where guest data goes if there is one.
    pub(super) data: Option<Vec<u8>>,
    /// How often each cluster of the image is used.
    counts: Vec<u64>,
    /// The most that a refcount of this image can tell.
    most: u64,
    /// Where the next compressed stream may begin, where they are packed.
    packed_end: Option<u64>,
    /// Entries by the label under which a cluster is shared.
    pub(super) shared: HashMap<u64, (u64, u64)>,
    /// L2 tables by what is in them.
    pub(super) tables: HashMap<Vec<u64>, u64>,
    /// Where entries are whose `copied` bit says that a cluster is used once, and which cluster that is.
    entries: Vec<(u64, u64)>,
}

impl Layout {
    pub(super) fn new(header: &HeaderSpec) -> Self {
        let bits = refcount_bits(header);
        let mut layout = Self {
            cluster_size: 1 << header.cluster_bits,
            bytes: Vec::new(),
            data: (header.incompatible & 4 != 0).then(Vec::new),
            counts: Vec::new(),
            most: if bits == 64 { u64::MAX } else { (1 << bits) - 1 },
            packed_end: None,
            shared: HashMap::new(),
            tables: HashMap::new(),
            entries: Vec::new(),
        };
        layout.place(&[]);
        layout
    }

    pub(super) fn cluster(&self) -> usize {
        usize::try_from(self.cluster_size).expect("a cluster fits into memory")
    }

    /// Puts `content` into clusters of its own, at least one, and says where the first is.
    pub(super) fn place(&mut self, content: &[u8]) -> u64 {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(content);
        let end = self.bytes.len().max(at + 1).next_multiple_of(self.cluster());
        self.bytes.resize(end, 0);
        self.counts.resize(end / self.cluster(), 1);
        at as u64
    }

    /// Puts a compressed stream of at most `most_sectors` sectors behind the last one, where that leaves room in
    /// its cluster, and says where it begins. A stream goes on into the next cluster if that is the next one.
    pub(super) fn pack(&mut self, stream: &[u8], most_sectors: u64) -> u64 {
        let len = stream.len() as u64;
        let after_last = self.packed_end.filter(|&end| {
            let fits = end % 512 + len <= most_sectors * 512;
            // A cluster is used once by each stream in it, and a refcount may have one bit.
            fits && end % self.cluster_size != 0
                && self.counts[self.index(end)] < self.most
                && (end.next_multiple_of(self.cluster_size) >= end + len
                    || end.next_multiple_of(self.cluster_size) == self.bytes.len() as u64)
        });
        let at = match after_last {
            None => self.place(stream),
            Some(end) => {
                let start = usize::try_from(end).expect("it is in memory");
                let needed = (start + stream.len()).next_multiple_of(self.cluster()).max(self.bytes.len());
                self.bytes.resize(needed, 0);
                self.counts.resize(needed / self.cluster(), 0);
                self.bytes[start..start + stream.len()].copy_from_slice(stream);
                // The sectors that the descriptor tells, and with them the clusters that it uses.
                self.use_again(end / 512 * 512, (end + len).next_multiple_of(512) - end / 512 * 512);
                end
            }
        };
        self.packed_end = Some(at + len);
        at
    }

    /// Counts one more use of each cluster that has one of `len` bytes from `at` on.
    pub(super) fn use_again(&mut self, at: u64, len: u64) {
        for cluster in self.index(at)..=self.index(at + len.max(1) - 1) {
            self.counts[cluster] += 1;
        }
    }

    fn index(&self, at: u64) -> usize {
        usize::try_from(at / self.cluster_size).expect("it is in memory")
    }

    /// Puts guest data of the disk's cluster `index` where guest data goes, and says where that is: in a data file,
    /// raw or not, it is where the guest has it.
    pub(super) fn place_guest(&mut self, index: u64, content: &[u8]) -> u64 {
        let cluster = self.cluster();
        let Some(data) = &mut self.data else { return self.place(content) };
        let at = usize::try_from(index).expect("it is small") * cluster;
        data.resize(data.len().max(at + cluster), 0);
        data[at..at + content.len()].copy_from_slice(content);
        at as u64
    }

    /// Says that the entry at `at` points to the cluster at `cluster`.
    pub(super) fn points(&mut self, at: u64, cluster: u64) {
        self.entries.push((at, cluster));
    }

    /// Sets the `copied` bit of entries whose cluster is used once.
    pub(super) fn mark_copied(&mut self) {
        for (at, cluster) in std::mem::take(&mut self.entries) {
            if self.counts[self.index(cluster)] == 1 {
                let at = usize::try_from(at).expect("it is in memory");
                self.bytes[at] |= 0x80;
            }
        }
    }

    /// A refcount table and its blocks, which count themselves too.
    ///
    /// # Panics
    /// When a cluster is used more often than a refcount can tell.
    pub(super) fn place_refcounts(&mut self, header: &mut HeaderSpec) {
        let bits = refcount_bits(header);
        let per_block = self.cluster_size * 8 / bits;
        let others = self.counts.len() as u64;
        let (mut blocks, mut table) = (1, 1);
        loop {
            let needed = (others + table + blocks).div_ceil(per_block);
            let needed_table = (needed * 8).div_ceil(self.cluster_size);
            if (needed, needed_table) == (blocks, table) {
                break;
            }
            (blocks, table) = (needed, needed_table);
        }
        let first_block = others + table;
        let pointers: Vec<u8> =
            (0..blocks).flat_map(|i| ((first_block + i) * self.cluster_size).to_be_bytes()).collect();
        header.refcount_offset = self.place(&pointers);
        header.refcount_clusters = u32::try_from(table).expect("test images are small");
        let first = self.bytes.len();
        let len = usize::try_from(blocks).expect("test images are small") * self.cluster();
        self.place(&vec![0; len]);
        for (cluster, &count) in self.counts.iter().enumerate() {
            assert!(count <= self.most, "a cluster is used {count} times, a refcount has {bits} bits");
            let bit = cluster * usize::try_from(bits).expect("at most 64");
            let at = first + bit / 8;
            if bits < 8 {
                self.bytes[at] |= u8::try_from(count).expect("it has less than 8 bits") << (bit % 8);
            } else {
                let width = usize::try_from(bits / 8).expect("at most 8");
                self.bytes[at..at + width].copy_from_slice(&count.to_be_bytes()[8 - width..]);
            }
        }
    }
}

fn refcount_bits(header: &HeaderSpec) -> u64 {
    if header.version >= 3 { 1 << header.refcount_order } else { 16 }
}
