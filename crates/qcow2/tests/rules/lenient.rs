//! Going on past damage: what can be read is what a strict reader reads, and all else is on the list.

use std::sync::Arc;

use proptest::prelude::*;
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, DiskOptions, Format, Image, LenientDisk, Source};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::plan::Plan;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, LuksSpec, SnapshotSpec, offset};

use super::plans::{Files, plans};

const CLUSTER: usize = 4096;

fn fill(byte: u8) -> ClusterSpec {
    ClusterSpec::Data(vec![byte; CLUSTER])
}

fn lenient(bytes: Vec<u8>) -> (LenientDisk, usize) {
    let bytes: Arc<dyn Storage> = Arc::new(bytes);
    let source = Source::new(bytes, "image", None);
    let opened = Chain::open_lenient(source, Some(Format::Qcow2), &DenyAll, &ChainOptions::default());
    let (chain, damage) = opened.expect("the header is sound");
    let disk = Disk::open(&chain, &DenyAll).expect("the L1 table is there");
    (LenientDisk::new(&chain, disk), damage.len())
}

fn read_all(disk: &impl Storage) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
    disk.read_exact_at(0, &mut bytes).expect("it always can be read");
    bytes
}

/// Places and lengths of what was skipped.
fn skipped(disk: &LenientDisk) -> Vec<(u64, u64)> {
    disk.skipped().parts.iter().map(|part| (part.guest.0, part.len)).collect()
}

#[test]
fn damaged_entries_cost_their_clusters_and_no_more() {
    let mut image = ImageBuilder::v3().cluster_bits(12).size(8 * 4096);
    for index in 0..8 {
        image = image.cluster(
            index,
            if index == 6 { ClusterSpec::Compressed(vec![0xff; 40]) } else { fill(index as u8 + 1) },
        );
    }
    let bytes = image.clone().build();
    let word = |at: u64| {
        let at = usize::try_from(at).expect("short");
        u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    };
    let l2 = word(word(40)) & 0x00ff_ffff_ffff_fe00;
    // One past the end of the file, one where no cluster begins; the compressed one is no stream.
    let image = image.patch_u64(l2 + 8, 1 << 63 | 1 << 40).patch_u64(l2 + 3 * 8, 1 << 63 | 0x1200);
    let (disk, damage) = lenient(image.build());
    let expected: Vec<u8> = [1, 0, 3, 0, 5, 6, 0, 8].iter().flat_map(|&byte| [byte; CLUSTER]).collect();
    assert!(read_all(&disk) == expected);
    assert_eq!(skipped(&disk), [(4096, 4096), (3 * 4096, 4096), (6 * 4096, 4096)]);
    assert_eq!((damage, disk.skipped().bytes()), (0, 3 * 4096));
    let report = disk.skipped();
    let reasons: Vec<&str> = report.parts.iter().map(|part| part.reason.as_str()).collect();
    for (reason, text) in reasons.iter().zip(["past the end", "no cluster begins", "damaged"]) {
        assert!(reason.contains(text), "{reason}");
    }
    // Reading it again changes nothing, nor does a part of a cluster.
    disk.read_exact_at(4000, &mut [0; 500]).expect("it always can be read");
    assert_eq!(disk.skipped(), report);
}

#[test]
fn a_missing_backing_file_costs_what_would_be_read_from_it() {
    let image = ImageBuilder::v3().cluster_bits(12).size(4 * 4096).backing(b"gone.raw", Some("raw"));
    let (disk, damage) = lenient(image.cluster(1, fill(7)).cluster(2, ClusterSpec::Zero).build());
    let expected = [vec![0; CLUSTER], vec![7; CLUSTER], vec![0; 2 * CLUSTER]].concat();
    assert!(read_all(&disk) == expected);
    assert_eq!((skipped(&disk), damage), (vec![(0, 4096), (3 * 4096, 4096)], 1));
    assert!(disk.skipped().parts[0].reason.contains("gone.raw"), "{:?}", disk.skipped());
}

#[test]
fn snapshots_before_the_damage_of_their_table_are_kept() {
    let image = ImageBuilder::v3()
        .snapshot(SnapshotSpec::new("1", "first"))
        .snapshot(SnapshotSpec::new("2", "second"));
    let bytes = image.clone().build();
    // The second entry follows the first's 40 bytes and its id and name, at the next multiple of eight; its extra
    // data's length is at 36.
    let table = u64::from_be_bytes(bytes[64..72].try_into().expect("eight bytes"));
    let bytes = image.patch_u32(table + 48 + 36, 1025).build();
    assert!(Image::open(&bytes).is_err());
    let (image, damage) = Image::open_readable(&bytes).expect("the header is sound");
    assert_eq!(
        image.snapshots().iter().map(|snapshot| snapshot.name.to_text()).collect::<Vec<_>>(),
        ["first"]
    );
    assert!(damage.expect("there is damage").to_string().contains("entry 1"));
}

/// Damage to what no guest data needs, one at a time, and what is told of it.
#[test]
fn damage_that_leads_to_no_guest_data_is_told_and_gone_past() {
    let image = || ImageBuilder::v3().cluster_bits(12).size(4 * 4096).cluster(1, fill(7));
    let expected = [vec![0; CLUSTER], vec![7; CLUSTER], vec![0; 2 * CLUSTER]].concat();
    let with_snapshot = || image().snapshot(SnapshotSpec::new("1", "first"));
    for (damaged, told) in [
        // An extension that goes on past the header's cluster, and one whose data is of another length.
        (image().patch_u32(112, 0x1234).patch_u32(116, 1 << 20), "extension"),
        (image().extension(0x2385_2875, b"short"), "bitmaps"),
        (with_snapshot().patch_u64(offset::SNAPSHOTS_OFFSET, 513), "napshot"),
        (with_snapshot().patch_u32(offset::SNAPSHOTS, 65537), "napshot"),
        (image().patch_u64(offset::REFCOUNT_OFFSET, 513), "efcount"),
        (image().patch_u32(offset::REFCOUNT_CLUSTERS, 0), "efcount"),
        (image().patch_u32(offset::REFCOUNT_CLUSTERS, 1 << 20), "efcount"),
        (image().patch_u32(offset::REFCOUNT_ORDER, 7), "efcount"),
        (image().patch_u32(offset::REFCOUNT_ORDER, u32::MAX), "efcount"),
    ] {
        let bytes = damaged.build();
        assert!(Image::open(&bytes).is_err(), "{told}");
        let (_, damage) = Image::open_lenient(&bytes).expect("the L1 table is where it says");
        assert!(damage.len() == 1 && damage[0].to_string().contains(told), "{told}: {damage:?}");
        let (disk, _) = lenient(bytes);
        assert!(read_all(&disk) == expected, "{told}");
        assert_eq!(skipped(&disk), []);
    }
    // Both at once; the snapshots are there where it was the refcounts alone.
    let refcounts = with_snapshot().patch_u64(offset::REFCOUNT_OFFSET, 513);
    let bytes = refcounts.clone().build();
    assert_eq!(Image::open_lenient(&bytes).expect("it can be opened").0.snapshots().len(), 1);
    let bytes = refcounts.patch_u64(offset::SNAPSHOTS_OFFSET, 513).build();
    let (image, damage) = Image::open_lenient(&bytes).expect("it can be opened");
    assert_eq!((image.snapshots().len(), damage.len()), (0, 2), "{damage:?}");
}

/// Without these nothing can be told of the disk, or what is told would be wrong.
#[test]
fn damage_that_hides_guest_data_is_refused_all_the_same() {
    let image = || ImageBuilder::v3().cluster_bits(12).size(4 * 4096).cluster(1, fill(7));
    for damaged in [
        image().patch_u64(offset::L1_OFFSET, 513),
        image().patch_u32(offset::L1_SIZE, 0),
        image().incompatible(1 << 40),
        image().backing(b"base", Some("raw")).patch_u32(offset::BACKING_LEN, 1024),
        // The LUKS header's place is lost.
        image().luks(LuksSpec::default()).patch_u32(116, 15),
    ] {
        let bytes = damaged.build();
        assert!(Image::open_lenient(&bytes).is_err());
    }
    // The data file's name is lost.
    let image = image().data_file(b"elsewhere", false).patch_u32(116, 1 << 20).build();
    let (image, damage) =
        Image::open_lenient(Arc::new(image) as Arc<dyn Storage>).expect("the L1 table is there");
    assert_eq!(damage.len(), 1);
    let source = Source::new(Arc::clone(image.storage()), "image", None);
    let opened = Chain::open_lenient(source, Some(Format::Qcow2), &DenyAll, &ChainOptions::default());
    assert!(Disk::open(&opened.expect("the L1 table is there").0, &DenyAll).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_not_on_the_list_is_what_a_strict_reader_reads(
        plan in plans(),
        which in any::<prop::sample::Index>(),
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0_u32..64), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut made = Plan::of(&plan).make();
        // Any layer's image, or a data file.
        let which = which.index(made.files.len());
        let damaged = &mut made.files[which];
        // The header stays.
        for (at, value, shift) in patches {
            let at = 512 + at.index(damaged.bytes.len().saturating_sub(520).max(1));
            if let Some(bytes) = damaged.bytes.get_mut(at / 8 * 8..at / 8 * 8 + 8) {
                bytes.copy_from_slice(&(value >> shift).to_be_bytes());
            }
        }
        if let Some(cut) = cut {
            let half = damaged.bytes.len() / 2;
            damaged.bytes.truncate(half + cut.index(half.max(1)));
        }
        let files = Files(made);
        let top = files.source("0").expect("it is the first");
        let opened = Chain::open_lenient(top, Some(Format::Qcow2), &files, &ChainOptions::default());
        let Ok((chain, _)) = opened else { return Ok(()) };
        let opened = Disk::open_lenient(&chain, None, &files, &DiskOptions::default());
        let Ok((lenient, damage)) = opened else { return Ok(()) };
        // What a strict reader has of the same layers: those that it can't open are left unknown in both.
        let strict = if damage.is_empty() { Disk::open(&chain, &files).expect("nothing is damaged") } else {
            Disk::open_lenient(&chain, None, &files, &DiskOptions::default()).expect("it was opened before").0
        };
        let disk = LenientDisk::new(&chain, lenient);
        if disk.len() > 1 << 24 {
            return Ok(());
        }
        let bytes = read_all(&disk);
        let report = disk.skipped();
        prop_assert!(report.parts.windows(2).all(|two| two[0].guest.0 + two[0].len < two[1].guest.0));
        let is_skipped = |at: u64| {
            let part = report.parts.partition_point(|part| part.guest.0 <= at).checked_sub(1);
            part.is_some_and(|part| at - report.parts[part].guest.0 < report.parts[part].len)
        };
        let mut sector = [0; 512];
        for at in (0..disk.len()).step_by(512) {
            let read = &bytes[usize::try_from(at).expect("short")..][..512];
            match strict.read_exact_at(at, &mut sector) {
                Err(_) => prop_assert!(is_skipped(at), "{at:#x} can't be read"),
                Ok(()) if !is_skipped(at) => prop_assert!(read == sector, "{at:#x} is other data"),
                Ok(()) => {}
            }
            prop_assert!(!is_skipped(at) || read == [0; 512], "{at:#x} is skipped, but not zeros");
        }
    }
}
