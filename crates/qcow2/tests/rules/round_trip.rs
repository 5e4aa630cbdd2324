//! What the independent writer writes, our reader reads.

use proptest::prelude::*;
use stillpoint_qcow2::tables::{BitmapFlags, Encryption};
use stillpoint_qcow2::{Image, Name};
use stillpoint_testkit::image::{BitmapSpec, ImageBuilder, LuksSpec, SnapshotSpec};

/// What an image is made of.
#[derive(Debug, Clone)]
struct Model {
    version: u32,
    cluster_bits: u32,
    size: u64,
    refcount_order: u32,
    /// Of the known incompatible bits, those that need nothing else.
    incompatible: u64,
    compatible: u64,
    zstd: bool,
    unknown_fields: usize,
    backing: Option<(Vec<u8>, Option<String>)>,
    data_file: Option<(Vec<u8>, bool)>,
    unknown_extensions: Vec<(u32, Vec<u8>)>,
    feature_names: Vec<(u8, u8, String)>,
    snapshots: Vec<SnapshotSpec>,
    bitmaps: Vec<(u8, bool)>,
    luks: bool,
}

fn snapshots() -> impl Strategy<Value = Vec<SnapshotSpec>> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let numbers = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u32>());
    let one =
        (bytes(40), bytes(300), numbers, bytes(60)).prop_map(|(id, name, numbers, extra)| SnapshotSpec {
            id,
            name,
            date_sec: numbers.0,
            date_nsec: numbers.1,
            vm_clock_nsec: numbers.2,
            vm_state_size: numbers.3,
            extra,
            ..SnapshotSpec::new("", "")
        });
    prop::collection::vec(one, 0..6)
}

fn models() -> impl Strategy<Value = Model> {
    let name = || prop::collection::vec(1_u8.., 1..60);
    let unknown = (0x1000_0000_u32..0x2000_0000, prop::collection::vec(any::<u8>(), 0..50));
    let shape = (2_u32..4, 12_u32..17, 0_u64..(1 << 32), 0_u32..7);
    let bits = (0_u64..4, any::<u64>(), any::<bool>(), 0_usize..5);
    let names = (
        prop::option::of((name(), prop::option::of("[a-z0-9]{1,15}"))),
        prop::option::of((name(), any::<bool>())),
        prop::collection::vec(unknown, 0..4),
        prop::collection::vec((0_u8..4, 0_u8..64, "[a-z ]{0,46}"), 0..4),
    );
    let rest = (snapshots(), prop::collection::vec((9_u8..32, any::<bool>()), 0..4), any::<bool>());
    (shape, bits, names, rest).prop_map(|(shape, bits, names, rest)| Model {
        version: shape.0,
        cluster_bits: shape.1,
        size: shape.2,
        refcount_order: shape.3,
        incompatible: bits.0,
        compatible: bits.1,
        zstd: bits.2,
        unknown_fields: bits.3 * 8,
        backing: names.0,
        data_file: names.1,
        unknown_extensions: names.2,
        feature_names: names.3,
        snapshots: rest.0,
        bitmaps: rest.1,
        luks: rest.2,
    })
}

impl Model {
    fn v3(&self) -> bool {
        self.version == 3
    }

    fn build(&self) -> Vec<u8> {
        let mut image = if self.v3() { ImageBuilder::v3() } else { ImageBuilder::v2() };
        image = image.cluster_bits(self.cluster_bits).size(self.size);
        for (magic, data) in &self.unknown_extensions {
            image = image.extension(*magic, data);
        }
        for snapshot in &self.snapshots {
            image = image.snapshot(snapshot.clone());
        }
        if self.luks {
            image = image.luks(LuksSpec::default());
        }
        if self.v3() {
            image = image.refcount_order(self.refcount_order).incompatible(self.incompatible);
            image = image.compatible(self.compatible).compression(u8::from(self.zstd));
            image = image.unknown_fields(&vec![0xa5; self.unknown_fields]);
            for (kind, bit, name) in &self.feature_names {
                image = image.feature_name(*kind, *bit, name);
            }
            if let Some((name, raw)) = &self.data_file {
                image = image.data_file(name, *raw);
            }
            for (i, (bits, auto)) in self.bitmaps.iter().enumerate() {
                let mut bitmap = BitmapSpec::new(&format!("bitmap {i}"));
                bitmap.granularity_bits = *bits;
                bitmap.flags = if *auto { 2 } else { 0 };
                image = image.bitmap(bitmap);
            }
        }
        if let Some((name, format)) = &self.backing {
            image = image.backing(name, format.as_deref());
        }
        image.build()
    }
}

/// The number in the extra data's eight bytes from `at` on, if they are all there.
fn extra(snapshot: &SnapshotSpec, at: usize) -> Option<u64> {
    let bytes = snapshot.extra.get(at..at + 8)?;
    Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_back(model in models()) {
        // A disk whose bitmaps would have no bits at all is refused by QEMU and by us.
        prop_assume!(model.size >= 512 || model.bitmaps.is_empty());
        let bytes = model.build();
        let image = Image::open(&bytes).expect("it keeps the rules");
        let header = image.header();
        prop_assert_eq!(header.raw().version, model.version);
        prop_assert_eq!(header.cluster_size().bits(), model.cluster_bits);
        prop_assert_eq!(header.virtual_size(), model.size);
        prop_assert_eq!(header.encryption() == Encryption::Luks, model.luks);
        prop_assert_eq!(image.luks().map(|luks| luks.cipher), model.luks.then_some("aes-256"));

        let backing = header.backing().map(|backing| backing.stored.clone());
        prop_assert_eq!(backing, model.backing.as_ref().map(|(name, _)| Name::new(name.clone())));
        let format = image.extensions().backing_format().map(Name::to_text);
        prop_assert_eq!(format, model.backing.as_ref().and_then(|(_, format)| format.clone()));
        let unknown: Vec<_> =
            image.extensions().unknown().iter().map(|unknown| (unknown.magic, unknown.data.clone())).collect();
        prop_assert_eq!(&unknown, &model.unknown_extensions);

        prop_assert_eq!(image.snapshots().len(), model.snapshots.len());
        for (read, written) in image.snapshots().iter().zip(&model.snapshots) {
            prop_assert_eq!(read.id.as_bytes(), &written.id);
            prop_assert_eq!(read.name.as_bytes(), &written.name);
            prop_assert_eq!((read.date_sec, read.date_nsec), (written.date_sec, written.date_nsec));
            prop_assert_eq!(read.vm_clock.as_nanos(), u128::from(written.vm_clock_nsec));
            prop_assert_eq!(read.vm_state_size, extra(written, 0).unwrap_or(u64::from(written.vm_state_size)));
            prop_assert_eq!(read.disk_size, extra(written, 8));
            prop_assert_eq!(read.icount, extra(written, 16).filter(|&count| count != u64::MAX));
            let known = [24, 16, 8, 0].into_iter().find(|&known| written.extra.len() >= known).unwrap_or(0);
            prop_assert_eq!(&read.unknown_extra, &written.extra[known..]);
        }

        let bitmaps = image.bitmaps().expect("they keep the rules");
        if model.v3() {
            prop_assert_eq!(header.refcount_bits(), 1 << model.refcount_order);
            prop_assert_eq!(header.compatible().bits(), model.compatible);
            prop_assert_eq!(image.is_dirty(), model.incompatible & 1 == 1);
            prop_assert_eq!(image.is_corrupt(), model.incompatible & 2 == 2);
            prop_assert_eq!(header.compression().to_string(), if model.zstd { "zstd" } else { "zlib" });
            prop_assert_eq!(header.unknown_fields(), vec![0xa5; model.unknown_fields]);
            let data_file = image.extensions().data_file().map(|name| name.as_bytes().to_vec());
            prop_assert_eq!(data_file, model.data_file.as_ref().map(|(name, _)| name.clone()));
            let names: Vec<_> = image.extensions().feature_names().unwrap_or_default().iter()
                .map(|feature| (feature.bit, feature.name.to_text())).collect();
            let written: Vec<_> = model.feature_names.iter().map(|(_, bit, name)| (*bit, name.clone())).collect();
            prop_assert_eq!(names, written);
            prop_assert_eq!(bitmaps.len(), model.bitmaps.len());
            for (read, (bits, auto)) in bitmaps.iter().zip(&model.bitmaps) {
                prop_assert_eq!(read.granularity, 1_u64 << bits);
                prop_assert_eq!(read.flags.contains(BitmapFlags::AUTO), *auto);
            }
        } else {
            prop_assert_eq!(header.refcount_bits(), 16);
            prop_assert!(bitmaps.is_empty() && header.incompatible().is_empty());
        }
    }
}

#[test]
fn an_id_wins_over_a_name() {
    let image = ImageBuilder::v3()
        .snapshot(SnapshotSpec::new("1", "2"))
        .snapshot(SnapshotSpec::new("2", "1"))
        .snapshot(SnapshotSpec::new("3", "named"))
        .build();
    let image = Image::open(&image).expect("it keeps the rules");
    assert_eq!(image.snapshot("2").map(|found| found.name.to_text()).as_deref(), Some("1"));
    assert_eq!(image.snapshot("named").map(|found| found.id.to_text()).as_deref(), Some("3"));
    assert!(image.snapshot("none").is_none());
}
