//! What qemu-img's check doesn't tell: overlaps, consequences, one snapshot by itself, an image without its key or
//! its backing file.

use stillpoint_qcow2::check::{
    CheckOptions, CheckReport, Class, Consequence, Failure, Finding, L2Fault, Layer, Scope, Structure,
};
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, LuksSpec, SnapshotSpec};

const CLUSTER: u64 = 65536;

fn word(image: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).expect("images are small");
    u64::from_be_bytes(image[at..at + 8].try_into().expect("8 bytes"))
}

fn put(image: &mut [u8], at: u64, value: u64) {
    let at = usize::try_from(at).expect("images are small");
    image[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

fn l2_below(image: &[u8], l1: u64) -> u64 {
    word(image, l1) & 0x00ff_ffff_ffff_fe00
}

fn data(byte: u8) -> ClusterSpec {
    ClusterSpec::Data(vec![byte; 65536])
}

fn two_disks() -> Vec<u8> {
    let mut snapshot = SnapshotSpec::new("1", "before").extra(0, 1 << 20, 0);
    snapshot.clusters = vec![(0, data(1)), (1, data(1))];
    ImageBuilder::v3().cluster(0, data(2)).cluster(3, data(3)).snapshot(snapshot).build()
}

fn check(image: &[u8], scope: Scope) -> CheckReport {
    CheckReport::gather(image, &CheckOptions::default().scope(scope)).expect("the header is sound")
}

fn snapshot() -> Scope {
    Scope::Snapshot("before".into())
}

#[test]
fn guest_data_that_lies_over_metadata_is_told_even_where_the_refcounts_are_right() {
    let mut image = two_disks();
    let (l1, table) = (word(&image, 40), word(&image, 48));
    let l2 = l2_below(&image, l1);
    let block = word(&image, table);
    // Cluster 9 of the disk is where the L1 table is, whose refcount says so.
    put(&mut image, l2 + 9 * 8, l1);
    let refcount = block + l1 / CLUSTER * 2;
    image[usize::try_from(refcount).expect("it is small") + 1] = 2;
    let report = check(&image, Scope::All);
    assert!(report.is_sound(), "{:?}", report.findings);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert!(matches!(finding, Finding::L2 { layer: Layer::Active, fault: L2Fault::InMetadata(_), .. }));
    assert_eq!((finding.class(), finding.consequence()), (Class::Note, Consequence::LosesData));
    assert!(finding.to_string().contains("the cluster of 0x90000 of the guest's disk"), "{finding}");
}

#[test]
fn metadata_that_lies_over_metadata_is_told() {
    let mut image = two_disks();
    let snapshots = word(&image, 64);
    let l1 = word(&image, 40);
    put(&mut image, snapshots, l1);
    let report = check(&image, Scope::All);
    let overlap = |finding: &Finding| match finding {
        Finding::Overlap { offset, structure: Structure::L1Table(_) } => offset.0 == l1,
        _ => false,
    };
    assert!(report.findings.iter().any(overlap), "{:?}", report.findings);
}

#[test]
fn a_snapshot_is_sound_in_an_image_whose_other_tables_are_torn() {
    let sound = two_disks();
    let mut image = sound.clone();
    let l2 = l2_below(&image, word(&image, 40));
    for at in (l2..l2 + 512).step_by(8) {
        put(&mut image, at, 0xdead_beef_dead_beef ^ at);
    }
    assert!(!check(&image, Scope::All).is_sound());
    assert!(!check(&image, Scope::Active).is_sound());
    let report = check(&image, snapshot());
    assert!(report.is_sound() && report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.allocated.clusters, 2);
    // And the other way round.
    let mut image = sound.clone();
    let l2 = l2_below(&image, word(&image, word(&image, 64)));
    put(&mut image, l2, 1 << 63 | 1 << 45);
    assert!(check(&image, Scope::Active).is_sound());
    let report = check(&image, snapshot());
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.consequence(), Consequence::LosesData);
    assert!(matches!(
        finding,
        Finding::L2 { layer: Layer::Snapshot(0), fault: L2Fault::PastTheEnd { .. }, .. }
    ));
}

#[test]
fn of_one_disk_only_refcounts_that_are_too_low_are_faults() {
    let mut image = two_disks();
    let block = word(&image, word(&image, 48));
    let l2 = l2_below(&image, word(&image, word(&image, 64)));
    let cluster = (word(&image, l2) & 0x00ff_ffff_ffff_fe00) / CLUSTER;
    let at = usize::try_from(block + cluster * 2).expect("it is small");
    image[at + 1] = 9;
    assert!(check(&image, snapshot()).is_sound());
    assert_eq!(check(&image, Scope::All).leaks, 1);
    image[at + 1] = 0;
    let report = check(&image, snapshot());
    assert_eq!(report.findings, [Finding::Refcount { cluster, stored: 0, counted: 1 }]);
    assert_eq!(report.findings[0].consequence(), Consequence::UnsafeToWrite);
    assert!(check(&image, Scope::Active).is_sound());
}

#[test]
fn a_disk_is_judged_whatever_snapshot_table_or_bitmaps_say() {
    let mut image = two_disks();
    image[60..64].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(check(&image, Scope::All).failure, Some(Failure::TooManySnapshots { .. })));
    assert!(check(&image, Scope::Active).is_sound());
    let damaged = BitmapSpec { kind: 9, ..BitmapSpec::new("b") };
    let mut snapshot = SnapshotSpec::new("1", "before").extra(0, 1 << 20, 0);
    snapshot.clusters = vec![(0, data(1))];
    let image = ImageBuilder::v3().bitmap(damaged).snapshot(snapshot).build();
    assert!(CheckReport::gather(&image, &CheckOptions::default()).is_err());
    assert!(check(&image, self::snapshot()).is_sound() && check(&image, Scope::Active).is_sound());
}

#[test]
fn a_snapshot_that_is_not_there_is_no_sound_one() {
    let report = check(&two_disks(), Scope::Snapshot("nothing".into()));
    assert_eq!(report.failure, Some(Failure::NoSuchSnapshot("nothing".into())));
    assert!(!report.is_sound());
}

#[test]
fn neither_a_key_nor_a_backing_file_nor_a_data_file_is_needed() {
    let encrypted = ImageBuilder::v3().luks(LuksSpec::default()).cluster(1, data(7)).build();
    let overlay = ImageBuilder::v3().backing(b"/nowhere/base", Some("qcow2")).cluster(1, data(7)).build();
    for image in [encrypted, overlay] {
        let report = check(&image, Scope::All);
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.allocated.clusters, 1);
    }
}

#[test]
fn the_dirty_and_corrupt_bits_are_told_and_not_counted() {
    let image = ImageBuilder::v3().incompatible(3).build();
    let report = check(&image, Scope::All);
    assert_eq!(report.findings, [Finding::Dirty, Finding::MarkedCorrupt]);
    assert_eq!(report.notes, 2);
    assert!(report.is_sound());
}
