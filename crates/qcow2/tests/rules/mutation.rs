//! Damage: whatever is done to an image, reading it ends, without a panic, in facts or in an error.

use proptest::prelude::*;
use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, Format, Image, Source};
use stillpoint_storage::{Storage, extents};
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, LuksSpec, SnapshotSpec};

/// An image with something of everything.
fn everything(cluster_bits: u32) -> Vec<u8> {
    ImageBuilder::v3()
        .cluster_bits(cluster_bits)
        .backing(b"json:{\"file.filename\":\"base\"}", Some("qcow2"))
        .extension(0x0bad_cafe, b"unknown")
        .feature_name(0, 0, "dirty bit")
        .feature_name(0, 40, "later")
        .snapshot(SnapshotSpec::new("1", "one").extra(1 << 33, 1 << 20, 77))
        .snapshot(SnapshotSpec::new("2", "two"))
        .bitmap(BitmapSpec::new("b0"))
        .bitmap(BitmapSpec { flags: 1, ..BitmapSpec::new("b1") })
        .luks(LuksSpec::default())
        .build()
}

/// Reads all that there is to read, and prints it both ways.
fn read(bytes: Vec<u8>) {
    for format in [None, Some(Format::Qcow2)] {
        let options = InfoOptions::default().format(format);
        match ImageInfo::gather(&bytes, &"image".into(), &options) {
            Ok(info) => {
                let json = info.to_json();
                let again: ImageInfo = serde_json::from_str(&json).expect("our JSON reads back");
                assert_eq!(again.to_json(), json);
                assert!(!info.to_text().is_empty());
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(image) = Image::open(&bytes) {
        assert!(image.snapshots().len() * 40 <= bytes.len(), "no more than the file has room for");
    }
    let source = Source::new(std::sync::Arc::new(bytes), "image", None);
    let _ = Chain::open(source, None, &DenyAll, &ChainOptions::default());
}

/// An image with clusters of every kind, on a disk of 64 KiB.
fn with_clusters(zstd: bool) -> Vec<u8> {
    let bytes = |value: u8| (0..4096).map(|i| (i / 16) as u8 ^ value).collect::<Vec<u8>>();
    let compressed =
        |value| if zstd { ClusterSpec::zstd(&bytes(value)) } else { ClusterSpec::deflated(&bytes(value)) };
    ImageBuilder::v3()
        .cluster_bits(12)
        .size(65536)
        .compression(u8::from(zstd))
        .cluster(0, ClusterSpec::Data(bytes(1)))
        .cluster(2, compressed(2))
        .cluster(3, ClusterSpec::Zero)
        .cluster(7, ClusterSpec::ZeroAllocated(bytes(3)))
        .cluster(15, compressed(4))
        .build()
}

/// Reads the guest's disk as far as it goes.
fn read_disk(bytes: Vec<u8>) {
    let source = Source::new(std::sync::Arc::new(bytes), "image", None);
    let Ok(chain) = Chain::open(source, None, &DenyAll, &ChainOptions::default()) else { return };
    let Ok(disk) = Disk::open(&chain, &DenyAll) else { return };
    let mut buf = [0; 3000];
    for at in (0..disk.len().min(1 << 18)).step_by(3000) {
        let _ = disk.read_at(at, &mut buf);
    }
    let _ = extents(&disk).take(1000).take_while(Result::is_ok).count();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bits_anywhere_in_the_first_clusters_never_panic(
        cluster_bits in prop_oneof![Just(9_u32), Just(12)],
        flips in prop::collection::vec((0_usize..4096, 0_u8..8), 1..12),
    ) {
        // 512-byte clusters have no room for everything in the header's: then something less.
        let mut bytes = if cluster_bits == 9 {
            ImageBuilder::v3().cluster_bits(9).snapshot(SnapshotSpec::new("1", "one")).bitmap(BitmapSpec::new("b")).build()
        } else {
            everything(cluster_bits)
        };
        for (at, bit) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        read(bytes);
    }

    #[test]
    fn flipped_bits_in_the_tables_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut bytes = everything(12);
        let len = bytes.len();
        // The last clusters: directory, tables; key material in between says nothing.
        for (at, value) in flips {
            let at = at.index(0x6000);
            let at = if at < 0x3000 { at } else { len - 1 - (at - 0x3000) };
            bytes[at] = value;
        }
        read(bytes);
    }

    #[test]
    fn fields_set_to_extremes_never_panic(
        fields in prop::collection::vec((0_usize..40, prop::sample::select(vec![0_u64, 1, 0x200, 0x1000, 0xffff_ffff, 1 << 32, 1 << 61, 1 << 62, 1 << 63, u64::MAX, u64::MAX - 511, i64::MAX as u64])), 1..5),
    ) {
        let mut bytes = everything(12);
        for (word, value) in fields {
            bytes[word * 4..word * 4 + 8].copy_from_slice(&value.to_be_bytes());
        }
        bytes[..4].copy_from_slice(b"QFI\xfb");
        read(bytes);
    }

    #[test]
    fn damage_in_tables_and_compressed_streams_never_panics(
        zstd in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = with_clusters(zstd);
        let len = bytes.len();
        for (at, value) in damage {
            bytes[at.index(len)] = value;
        }
        // Most damage is to be in what is read: the header stays as it was.
        bytes[..112].copy_from_slice(&with_clusters(zstd)[..112]);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(len));
        }
        read_disk(bytes);
    }

    #[test]
    fn an_image_that_is_cut_anywhere_never_panics(length in 0_usize..0x8000) {
        let mut bytes = everything(12);
        bytes.truncate(length);
        read(bytes);
    }

    #[test]
    fn noise_behind_the_magic_never_panics(noise in prop::collection::vec(any::<u8>(), 0..2000), version in 2_u8..4) {
        let mut bytes = vec![b'Q', b'F', b'I', 0xfb, 0, 0, 0, version];
        bytes.extend(noise);
        read(bytes);
    }
}
