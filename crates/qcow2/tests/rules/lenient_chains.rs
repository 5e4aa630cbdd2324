//! Going on past damage anywhere in a chain: what is missing or damaged below the image is skipped by place and name.

use std::fs;

use stillpoint_qcow2::map::{GuestMap, MapOptions};
use stillpoint_qcow2::{
    Below, Chain, ChainError, ChainOptions, Disk, DiskOptions, Error, LenientDisk, Source,
};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec, offset};

const CLUSTER: usize = 4096;

fn fill(byte: u8) -> ClusterSpec {
    ClusterSpec::Data(vec![byte; CLUSTER])
}

/// An image of so many clusters, on that backing image.
fn image(clusters: u64, backing: Option<&str>) -> ImageBuilder {
    let image = ImageBuilder::v3().cluster_bits(12).size(clusters * 4096);
    match backing {
        Some(name) => image.backing(name.as_bytes(), Some("qcow2")),
        None => image,
    }
}

/// Where the L2 table's entry for a cluster is.
fn entry(image: &ImageBuilder, cluster: u64) -> u64 {
    let bytes = image.clone().build();
    let word = |at: u64| {
        let at = usize::try_from(at).expect("short");
        u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    };
    (word(word(40)) & 0x00ff_ffff_ffff_fe00) + cluster * 8
}

struct Stage(tempfile::TempDir);

/// What was read, which clusters were skipped and why, and what was damaged from the beginning.
struct Seen {
    bytes: Vec<u8>,
    skipped: Vec<(u64, u64)>,
    reasons: Vec<String>,
    damage: Vec<String>,
}

impl Stage {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for (name, bytes) in files {
            fs::write(directory.path().join(name), bytes).expect("it can be written");
        }
        Self(directory)
    }

    fn top(&self) -> (Source, Below) {
        let path = self.0.path().join("top");
        (Source::open(&path).expect("it was written"), Below::directory_of(&path).expect("it is there"))
    }

    fn read(&self) -> Seen {
        let (top, policy) = self.top();
        let (chain, damaged) =
            Chain::open_lenient(top, None, &policy, &ChainOptions::default()).expect("the image is sound");
        let (disk, more) =
            Disk::open_lenient(&chain, None, &policy, &DiskOptions::default()).expect("the image is sound");
        let disk = LenientDisk::new(&chain, disk);
        let mut bytes = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
        disk.read_exact_at(0, &mut bytes).expect("it always can be read");
        let parts = disk.skipped().parts;
        Seen {
            bytes,
            skipped: parts.iter().map(|part| (part.guest.0 / 4096, part.len / 4096)).collect(),
            reasons: parts.into_iter().map(|part| part.reason).collect(),
            damage: damaged.iter().chain(&more).map(|error| causes(error)).collect(),
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", causes(source)),
        None => error.to_string(),
    }
}

/// Clusters of these bytes.
fn clusters(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| [byte; CLUSTER]).collect()
}

#[test]
fn damaged_entries_of_every_layer_cost_their_clusters_and_are_told_with_their_file() {
    let top = image(6, Some("middle")).cluster(0, fill(1)).cluster(1, fill(2));
    let middle = image(6, Some("base")).cluster(1, fill(9)).cluster(2, fill(3)).cluster(3, fill(4));
    let base = image(6, None)
        .cluster(3, fill(9))
        .cluster(4, fill(5))
        .cluster(5, ClusterSpec::Compressed(vec![0xff; 40]));
    let (top_at, middle_at, base_at) = (entry(&top, 1), entry(&middle, 3), entry(&base, 4));
    let stage = Stage::new(&[
        ("top", top.patch_u64(top_at, 1 << 63 | 1 << 40).build()),
        ("middle", middle.patch_u64(middle_at, 1 << 63 | 0x1200).build()),
        ("base", base.patch_u64(base_at, 1 << 63 | 1 << 40).build()),
    ]);
    let seen = stage.read();
    // What a damaged layer hides is not read from below it.
    assert!(seen.bytes == clusters(&[1, 0, 3, 0, 0, 0]));
    assert_eq!((seen.damage.len(), &seen.skipped[..]), (0, &[(1, 1), (3, 3)][..]));
    assert!(!seen.reasons[0].contains("backing file"), "{:?}", seen.reasons);
    assert!(seen.reasons[1].contains("/middle\", layer 1"), "{:?}", seen.reasons);

    // A strict reader tells the same of the first such place; so does a map.
    let (top, policy) = stage.top();
    let chain = Chain::open(top, None, &policy, &ChainOptions::default()).expect("it has an end");
    let disk = Disk::open(&chain, &policy).expect("it keeps the rules");
    for (cluster, name, depth) in [(3, "middle", 1), (4, "base", 2), (5, "base", 2)] {
        let error = disk.read_exact_at(cluster * 4096, &mut [0; CLUSTER]).expect_err("it is damaged");
        let told = causes(&error.downcast::<Error>().expect("it is ours"));
        assert!(told.contains(&format!("/{name}\", layer {depth}")), "{told}");
    }
    let scanned = disk.scan(&stillpoint_qcow2::ScanOptions::default(), |_, _| Ok::<_, Error>(()));
    assert!(scanned.is_err());
    let map = GuestMap::open(&chain, &policy, &MapOptions::default()).expect("it keeps the rules");
    let error = map.extents_in(3 * 4096, 4096).find_map(Result::err).expect("it is damaged");
    assert!(matches!(error, Error::Chain(ChainError::Layer { depth: 1, .. })), "{error}");
}

#[test]
fn what_a_backing_image_does_not_need_may_be_damaged() {
    let base = image(2, None).cluster(0, fill(5)).snapshot(SnapshotSpec::new("1", "first"));
    let stage = Stage::new(&[
        ("top", image(2, Some("base")).cluster(1, fill(1)).build()),
        (
            "base",
            base.patch_u64(offset::SNAPSHOTS_OFFSET, 513).patch_u32(offset::REFCOUNT_CLUSTERS, 0).build(),
        ),
    ]);
    let seen = stage.read();
    assert!(seen.bytes == clusters(&[5, 1]) && seen.skipped.is_empty());
    assert_eq!(seen.damage.len(), 2, "{:?}", seen.damage);
    assert!(seen.damage.iter().all(|damage| damage.contains("/base\", layer 1")), "{:?}", seen.damage);
}

#[test]
fn a_file_that_is_missing_below_the_backing_file_is_told_by_name() {
    let middle = image(4, Some("gone")).cluster(1, fill(2)).cluster(2, ClusterSpec::Zero);
    let stage = Stage::new(&[
        ("top", image(4, Some("middle")).cluster(0, fill(1)).build()),
        ("middle", middle.build()),
    ]);
    let seen = stage.read();
    assert!(seen.bytes == clusters(&[1, 2, 0, 0]));
    assert_eq!((seen.damage.len(), &seen.skipped[..]), (1, &[(3, 1)][..]));
    assert!(seen.damage[0].contains("gone") && seen.reasons[0].contains("gone"), "{:?}", seen.reasons);
}

#[test]
fn a_backing_image_without_its_table_is_unknown_as_far_as_its_disk_goes() {
    // Its disk has three clusters, so what is behind them are zeros and not unknown.
    let middle = image(3, Some("base")).cluster(1, fill(2));
    let stage = Stage::new(&[
        ("top", image(5, Some("middle")).cluster(0, fill(1)).build()),
        ("middle", middle.patch_u64(offset::L1_OFFSET, 1 << 40).build()),
        ("base", image(3, None).cluster(2, fill(7)).build()),
    ]);
    let seen = stage.read();
    assert!(seen.bytes == clusters(&[1, 0, 0, 0, 0]));
    assert_eq!((seen.damage.len(), &seen.skipped[..]), (1, &[(1, 2)][..]));
    for text in [&seen.damage[0], &seen.reasons[0]] {
        assert!(text.contains("/middle\", layer 1") && text.contains("L1 table"), "{text}");
    }
}

#[test]
fn a_data_file_that_is_missing_costs_what_is_stored_in_it() {
    let with_data = |clusters, backing| image(clusters, backing).data_file(b"gone.data", false);
    let top = with_data(5, Some("base")).cluster(1, fill(1)).cluster(2, ClusterSpec::Zero);
    let base = with_data(5, None).cluster(2, fill(3)).cluster(4, fill(4));
    let stage = Stage::new(&[("top", top.build()), ("base", base.build())]);
    let seen = stage.read();
    assert!(seen.bytes == clusters(&[0; 5]));
    assert_eq!((seen.damage.len(), &seen.skipped[..]), (2, &[(1, 1), (4, 1)][..]));
    for text in seen.damage.iter().chain(&seen.reasons) {
        assert!(text.contains("gone.data"), "{text}");
    }
    assert!(seen.reasons[1].contains("/base\", layer 1"), "{:?}", seen.reasons);
    // What is there of it is read.
    fs::write(stage.0.path().join("gone.data"), clusters(&[8, 8, 8])).expect("it can be written");
    let seen = stage.read();
    assert!(seen.bytes == clusters(&[0, 8, 0, 0, 0]));
    assert_eq!((seen.damage.len(), &seen.skipped[..]), (0, &[(4, 1)][..]));
}

#[test]
fn a_chain_that_comes_back_to_itself_ends_there() {
    let stage = Stage::new(&[
        ("top", image(3, Some("middle")).cluster(0, fill(1)).build()),
        ("middle", image(3, Some("top")).cluster(1, fill(2)).build()),
    ]);
    let seen = stage.read();
    assert!(seen.bytes == clusters(&[1, 2, 0]));
    assert_eq!((seen.damage.len(), &seen.skipped[..]), (1, &[(2, 1)][..]));
    assert!(seen.reasons[0].contains("no end"), "{:?}", seen.reasons);
}

/// A missing file is not tried page by page: a disk of terabytes would take days.
#[test]
fn a_missing_file_is_gone_past_at_once_however_large() {
    let huge = 1 << 50;
    let top = ImageBuilder::v3().cluster_bits(21).size(huge).backing(b"gone", Some("raw"));
    let stage = Stage::new(&[("top", top.build())]);
    let (source, policy) = stage.top();
    let opened = Chain::open_lenient(source, None, &policy, &ChainOptions::default());
    let (chain, _) = opened.expect("the image is sound");
    let (disk, _) =
        Disk::open_lenient(&chain, None, &policy, &DiskOptions::default()).expect("the image is sound");
    let disk = LenientDisk::new(&chain, disk);
    let mut buffer = vec![0xee; 64 << 20];
    disk.read_exact_at(0, &mut buffer).expect("it always can be read");
    assert!(buffer.iter().all(|&byte| byte == 0));
    let [part] = &disk.skipped().parts[..] else { panic!("{:?}", disk.skipped().parts.len()) };
    assert_eq!((part.guest.0, part.len), (0, 64 << 20));
}
