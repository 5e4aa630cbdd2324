//! Laying an image out.

use super::bytes::Out;
use super::header::HeaderSpec;
use super::{ImageBuilder, extension, guest};

/// Clusters one after the other, the first being the header's.
pub(super) struct Layout {
    pub(super) cluster_size: u64,
    bytes: Vec<u8>,
}

impl Layout {
    fn cluster(&self) -> usize {
        usize::try_from(self.cluster_size).expect("a cluster fits into memory")
    }

    /// Puts `content` into clusters of its own, at least one, and says where the first is.
    pub(super) fn place(&mut self, content: &[u8]) -> u64 {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(content);
        let end = self.bytes.len().max(at + 1).next_multiple_of(self.cluster());
        self.bytes.resize(end, 0);
        at as u64
    }

    fn clusters(&self) -> u64 {
        self.bytes.len() as u64 / self.cluster_size
    }
}

impl ImageBuilder {
    /// The image's bytes. Refcounts are right, so that `qemu-img check` finds nothing unless a patch makes it.
    ///
    /// # Panics
    /// When header, extensions and backing name don't fit into the first cluster.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let cluster_size = 1_u64 << self.header.cluster_bits;
        let mut layout = Layout { cluster_size, bytes: Vec::new() };
        layout.place(&[]);
        let mut header = self.header.clone();
        let mut extensions = self.extensions.clone();

        let l2_entry = if header.incompatible & 16 == 0 { 8 } else { 16 };
        let l1_size = header.size.div_ceil(cluster_size * (cluster_size / l2_entry)).max(1);
        header.l1_size = u32::try_from(l1_size).expect("test images are small");
        let l1 = guest::place(&mut layout, &header, &self.clusters);
        header.l1_offset = layout.place(&l1);
        self.place_snapshots(&mut layout, &mut header);
        self.place_luks(&mut layout, &mut extensions);
        self.place_bitmaps(&mut layout, &mut extensions);
        if !self.feature_names.is_empty() {
            extensions.push((extension::FEATURE_NAMES, self.feature_table()));
        }
        place_refcounts(&mut layout, &mut header);

        self.write_header(&mut layout, header, &extensions);
        let mut bytes = layout.bytes;
        for (at, patch) in &self.patches {
            let at = usize::try_from(*at).expect("patches are within memory");
            bytes.resize(bytes.len().max(at + patch.len()), 0);
            bytes[at..at + patch.len()].copy_from_slice(patch);
        }
        if let Some(length) = self.length {
            bytes.resize(usize::try_from(length).expect("test images are small"), 0);
        }
        bytes
    }

    fn place_snapshots(&self, layout: &mut Layout, header: &mut HeaderSpec) {
        if self.snapshots.is_empty() {
            return;
        }
        let mut table = Vec::new();
        for snapshot in &self.snapshots {
            let l1 = guest::place(layout, header, &snapshot.clusters);
            let l1_offset = layout.place(&l1);
            table.extend(snapshot.bytes(l1_offset, header.l1_size));
        }
        header.snapshots = u32::try_from(self.snapshots.len()).expect("test images are small");
        header.snapshots_offset = layout.place(&table);
    }

    fn place_luks(&self, layout: &mut Layout, extensions: &mut Vec<(u32, Vec<u8>)>) {
        let Some(luks) = &self.luks else { return };
        let mut content = luks.bytes();
        let len = luks.total_len().clamp(592, 4 << 20);
        content.resize(usize::try_from(len).expect("it is at most 4 MiB"), 0);
        let at = layout.place(&content);
        let mut pointer = Out::default();
        pointer.u64(at).u64(len);
        extensions.push((extension::CRYPTO, pointer.0));
    }

    fn place_bitmaps(&self, layout: &mut Layout, extensions: &mut Vec<(u32, Vec<u8>)>) {
        if self.bitmaps.is_empty() {
            return;
        }
        let mut directory = Vec::new();
        for bitmap in &self.bitmaps {
            let entries = bitmap.needed_entries(self.header.size, layout.cluster_size);
            // All entries zero: bits that are zero and take no cluster.
            let table = vec![0; usize::try_from(entries).expect("test images are small") * 8];
            let at = layout.place(&table);
            directory.extend(bitmap.bytes(at, entries));
        }
        let at = layout.place(&directory);
        let mut pointer = Out::default();
        pointer.u32(u32::try_from(self.bitmaps.len()).expect("test images are small")).u32(0);
        pointer.u64(directory.len() as u64).u64(at);
        extensions.push((extension::BITMAPS, pointer.0));
    }

    fn feature_table(&self) -> Vec<u8> {
        let mut table = Out::default();
        for (kind, bit, name) in &self.feature_names {
            table.u8(*kind).u8(*bit).field(name, 46);
        }
        table.0
    }

    fn write_header(&self, layout: &mut Layout, mut header: HeaderSpec, extensions: &[(u32, Vec<u8>)]) {
        if header.version >= 3 && !self.unknown_fields.is_empty() {
            header.header_length = 112 + u32::try_from(self.unknown_fields.len()).expect("it is short");
        }
        let mut tail = Out::default();
        if header.version >= 3 {
            tail.bytes(&self.unknown_fields);
        }
        for (magic, data) in extensions {
            tail.u32(*magic).u32(u32::try_from(data.len()).expect("it is short")).bytes(data);
            let padding = data.len().next_multiple_of(8) - data.len();
            tail.bytes(&[0; 8][..padding]);
        }
        let header_len = header.bytes().len();
        if let Some(name) = &self.backing {
            tail.u32(0).u32(0);
            header.backing_offset = (header_len + tail.0.len()) as u64;
            header.backing_len = u32::try_from(name.len()).expect("it is short");
            tail.bytes(name);
        }
        let mut first = header.bytes();
        first.extend(tail.0);
        let cluster = layout.cluster();
        assert!(first.len() <= cluster, "header and extensions take {} of {cluster} bytes", first.len());
        layout.bytes[..first.len()].copy_from_slice(&first);
    }
}

/// A refcount table and its blocks, which count every cluster there is as used once, themselves too.
fn place_refcounts(layout: &mut Layout, header: &mut HeaderSpec) {
    let cluster_size = layout.cluster_size;
    let bits = if header.version >= 3 { 1_u64 << header.refcount_order } else { 16 };
    let per_block = cluster_size * 8 / bits;
    let others = layout.clusters();
    let (mut blocks, mut table) = (1, 1);
    loop {
        let needed = (others + table + blocks).div_ceil(per_block);
        let needed_table = (needed * 8).div_ceil(cluster_size);
        if (needed, needed_table) == (blocks, table) {
            break;
        }
        (blocks, table) = (needed, needed_table);
    }
    let first_block = others + table;
    let pointers: Vec<u8> =
        (0..blocks).flat_map(|i| ((first_block + i) * cluster_size).to_be_bytes()).collect();
    header.refcount_offset = layout.place(&pointers);
    header.refcount_clusters = u32::try_from(table).expect("test images are small");
    let counted = others + table + blocks;
    let mut counts = vec![0_u8; usize::try_from(blocks * cluster_size).expect("test images are small")];
    for cluster in 0..counted {
        let bit = cluster * bits;
        let byte = usize::try_from(bit / 8).expect("test images are small");
        if bits < 8 {
            counts[byte] |= 1 << (bit % 8);
        } else {
            // Big-endian: the last byte of the count holds the one.
            counts[byte + usize::try_from(bits / 8).expect("at most 8") - 1] = 1;
        }
    }
    layout.place(&counts);
}
