//! Images that the independent writer builds, then damaged: deeper than what random bytes reach.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::Image;
use stillpoint_qcow2::info::ImageInfo;
use stillpoint_testkit::image::{BitmapSpec, ImageBuilder, LuksSpec, SnapshotSpec};

#[derive(Debug, Arbitrary)]
struct Plan {
    v2: bool,
    cluster_bits: u8,
    size: u32,
    incompatible: u8,
    compatible: u64,
    autoclear: u64,
    compression: u8,
    refcount_order: u8,
    backing: Option<(Vec<u8>, bool)>,
    data_file: Option<(Vec<u8>, bool)>,
    extensions: Vec<(u32, Vec<u8>)>,
    snapshots: Vec<Snapshot>,
    bitmaps: Vec<(Vec<u8>, u32, u8, u8)>,
    luks: Option<Luks>,
    /// Put over the image: where (folded into its length), and what.
    patches: Vec<(u32, u64)>,
    cut: Option<u32>,
}

#[derive(Debug, Arbitrary)]
struct Snapshot {
    id: Vec<u8>,
    name: Vec<u8>,
    extra: Vec<u8>,
    numbers: (u32, u32, u64, u32),
}

#[derive(Debug, Arbitrary)]
struct Luks {
    cipher: Vec<u8>,
    mode: Vec<u8>,
    hash: Vec<u8>,
    key_bytes: u32,
    slot: (u8, u32, u32, u32),
}

fn short(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().take(len).collect()
}

impl Plan {
    fn build(&self) -> Vec<u8> {
        let mut image = if self.v2 { ImageBuilder::v2() } else { ImageBuilder::v3() };
        image = image.cluster_bits(12 + u32::from(self.cluster_bits % 3)).size(u64::from(self.size));
        if !self.v2 {
            image = image.incompatible(u64::from(self.incompatible & 0x13)).compatible(self.compatible);
            image = image.autoclear(self.autoclear).compression(self.compression % 2);
            image = image.refcount_order(u32::from(self.refcount_order % 7));
        }
        for (magic, data) in self.extensions.iter().take(4) {
            image = image.extension(*magic, &short(data, 200));
        }
        if let Some((name, raw)) = &self.data_file {
            image = image.data_file(&short(name, 200), *raw);
        }
        for snapshot in self.snapshots.iter().take(4) {
            image = image.snapshot(SnapshotSpec {
                id: short(&snapshot.id, 200),
                name: short(&snapshot.name, 300),
                date_sec: snapshot.numbers.0,
                date_nsec: snapshot.numbers.1,
                vm_clock_nsec: snapshot.numbers.2,
                vm_state_size: snapshot.numbers.3,
                extra: short(&snapshot.extra, 1100),
                ..SnapshotSpec::new("", "")
            });
        }
        for (name, flags, kind, granularity) in self.bitmaps.iter().take(4) {
            image = image.bitmap(BitmapSpec {
                name: short(name, 1100),
                flags: *flags,
                kind: *kind,
                granularity_bits: 9 + granularity % 30,
                ..BitmapSpec::new("")
            });
        }
        if let Some(luks) = &self.luks {
            let mut spec = LuksSpec {
                cipher_name: short(&luks.cipher, 32),
                cipher_mode: short(&luks.mode, 32),
                hash_spec: short(&luks.hash, 32),
                key_bytes: luks.key_bytes,
                ..LuksSpec::default()
            };
            let slot = &mut spec.slots[usize::from(luks.slot.0 % 8)];
            (slot.active, slot.iterations, slot.key_offset) = (luks.slot.1, luks.slot.2, luks.slot.3);
            image = image.luks(spec);
        }
        if let Some((name, format)) = &self.backing {
            image = image.backing(&short(name, 1000), format.then_some("qcow2"));
        }
        let mut bytes = image.build();
        for (at, value) in &self.patches {
            let at = *at as usize % bytes.len().saturating_sub(8).max(1);
            bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        }
        if let Some(length) = self.cut {
            bytes.truncate(length as usize);
        }
        bytes
    }
}

fuzz_target!(|plan: Plan| {
    let bytes = plan.build();
    let Ok(image) = Image::open(&bytes) else { return };
    if let Ok(info) = ImageInfo::of_image(&image, &"dir/image".into()) {
        let json = info.to_json();
        let again: ImageInfo = serde_json::from_str(&json).expect("our JSON reads back");
        assert_eq!(again.to_json(), json);
        assert!(!info.to_text().is_empty());
    }
});
