//! Laying an image out.

use super::bytes::Out;
use super::header::HeaderSpec;
use super::layout::Layout;
use super::{ImageBuilder, SnapshotSpec, extension, guest};

impl ImageBuilder {
    /// The image's bytes. Refcounts are right, so that `qemu-img check` finds nothing unless a patch makes it.
    ///
    /// # Panics
    /// When header, extensions and backing name don't fit into the first cluster, or a cluster is shared more
    /// often than a refcount can tell.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.lay_out().0
    }

    /// The image's bytes, and those of its external data file if it has one.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    #[must_use]
    pub fn build_files(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let (image, mut data) = self.lay_out();
        if let Some(data) = data.as_mut().filter(|_| self.header.autoclear & 2 != 0) {
            // A raw one is as long as the disk.
            data.resize(usize::try_from(self.header.size).expect("test images are small"), 0);
        }
        (image, data)
    }

    fn lay_out(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut header = self.header.clone();
        let mut layout = Layout::new(&header);
        let mut extensions = self.extensions.clone();

        let l1_size = l1_entries(&header, header.size).max(1);
        header.l1_size = u32::try_from(l1_size).expect("test images are small");
        let l1 = guest::place(&mut layout, &header, self.order, l1_size, &self.clusters);
        header.l1_offset = guest::place_l1(&mut layout, &l1);
        self.place_snapshots(&mut layout, &mut header);
        self.place_luks(&mut layout, &mut extensions);
        self.place_bitmaps(&mut layout, &mut extensions);
        if !self.feature_names.is_empty() {
            extensions.push((extension::FEATURE_NAMES, self.feature_table()));
        }
        layout.mark_copied();
        layout.place_refcounts(&mut header);

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
        (bytes, layout.data)
    }

    fn place_snapshots(&self, layout: &mut Layout, header: &mut HeaderSpec) {
        if self.snapshots.is_empty() {
            return;
        }
        let mut table = Vec::new();
        for snapshot in &self.snapshots {
            let l1 = self.snapshot_l1(layout, header, snapshot);
            let entries = u32::try_from(l1.len()).expect("test images are small");
            let l1_offset = guest::place_l1(layout, &l1);
            table.extend(snapshot.bytes(l1_offset, entries));
        }
        header.snapshots = u32::try_from(self.snapshots.len()).expect("test images are small");
        header.snapshots_offset = layout.place(&table);
    }

    /// A snapshot's L1 table: that of its disk and, from the first entry on that the disk doesn't need, that of the
    /// VM state.
    fn snapshot_l1(&self, layout: &mut Layout, header: &HeaderSpec, snapshot: &SnapshotSpec) -> Vec<u64> {
        // A size that no test image has is told, but no room is made for it.
        let told = snapshot.disk_size().filter(|size| *size <= 1 << 32);
        let needed = l1_entries(header, told.unwrap_or(header.size));
        let mut clusters = snapshot.clusters.clone();
        let mut entries = u64::from(header.l1_size).max(needed);
        if !snapshot.vm_state.is_empty() {
            let first = needed * clusters_of_table(header);
            let pieces = snapshot.vm_state.chunks(layout.cluster());
            clusters.extend((first..).zip(pieces.map(|piece| super::ClusterSpec::Data(piece.to_vec()))));
            let end = (first << header.cluster_bits) + snapshot.vm_state.len() as u64;
            entries = entries.max(l1_entries(header, end));
        }
        guest::place(layout, header, self.order, entries, &clusters)
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
            let table = bitmap.place_bits(layout, self.header.size, entries);
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

/// Clusters that one L2 table is for.
fn clusters_of_table(header: &HeaderSpec) -> u64 {
    (1 << header.cluster_bits) / if header.incompatible & 16 == 0 { 8 } else { 16 }
}

/// L1 entries that a disk of `size` bytes needs.
fn l1_entries(header: &HeaderSpec, size: u64) -> u64 {
    size.div_ceil(clusters_of_table(header) << header.cluster_bits)
}
