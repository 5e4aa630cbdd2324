//! `stillpoint-shard` and `stillpoint-backup`: files from bricks, and two sites compared.

use std::path::Path;

use stillpoint_backup::manifest::{
    DiskManifest, Layer, Manifest, ManifestOptions, SCHEMA_VERSION, file_manifest,
};
use stillpoint_backup::proof::{self, ShardDifferenceKind};
use stillpoint_backup::{Cancel, Site, SiteSpec, VerifyOptions, verify};
use stillpoint_qcow2::Image;
use stillpoint_shard::{BrickMap, BrickMapping, OpenOptions, ShardError, ShardState, Topology, Volume};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};
use stillpoint_testkit::volume::{BrickTrees, Shape};

const SHARD: u64 = 4096;

/// A volume of two replica pairs with an image in it. Its xattrs are in dumps, so that it takes neither root nor a
/// file system with `trusted.*`.
fn volume_with(dir: &Path, image: &[u8]) -> BrickTrees {
    let shape = Shape { subvolumes: 2, replicas: 2, shard_size: SHARD, ..Shape::default() };
    let mut volume = BrickTrees::create(dir, shape).expect("bricks");
    volume.create_file("vm.qcow2").expect("a file");
    volume.write("vm.qcow2", 0, image).expect("written");
    // Past a hole of whole shards.
    volume.write("vm.qcow2", image.len() as u64 + 5 * SHARD, b"the end").expect("written");
    volume.save().expect("saved");
    volume
}

fn mappings(volume: &BrickTrees) -> Vec<BrickMapping> {
    let mapping = |number: usize| BrickMapping {
        brick: volume.brick_name(number).parse().expect("a brick's name"),
        local: Some(volume.brick(number).to_owned()),
        xattr_dump: Some(volume.brick(number).with_extension("getfattr")),
    };
    (0..volume.brick_count()).map(mapping).collect()
}

fn open(volume: &BrickTrees, missing: &[usize]) -> Result<Volume, ShardError> {
    let topology = Topology::from_volume_info_xml(&volume.volume_info_xml(), None)?;
    let mut map = BrickMap::default().only_mapped();
    for (number, mapping) in mappings(volume).into_iter().enumerate() {
        map = if missing.contains(&number) { map.without(mapping.brick) } else { map.with(mapping) };
    }
    Volume::open(topology, &map, OpenOptions::default())
}

fn image() -> Vec<u8> {
    ImageBuilder::v3().cluster_bits(12).snapshot(SnapshotSpec::new("1", "before")).build()
}

#[test]
fn an_image_in_shards_opens_as_an_image_with_one_replica_of_each_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let built = volume_with(dir.path(), &image());
    for missing in [vec![], vec![0, 2], vec![1, 3]] {
        let volume = open(&built, &missing).expect("a volume");
        let file = volume.open_file(&"vm.qcow2".parse().expect("a path")).expect("the file");
        assert_eq!(file.size(), image().len() as u64 + 5 * SHARD + 7);
        assert_eq!(Image::open(&file).expect("an image").snapshots().len(), 1);
        let mut bytes = vec![0; image().len()];
        file.read_exact_at(0, &mut bytes).expect("readable");
        assert!(bytes == image());
        let kinds: Vec<_> = extents(&file).map(|extent| extent.expect("known").kind).collect();
        assert!(kinds.contains(&ExtentKind::Hole) && !kinds.contains(&ExtentKind::Unknown), "{kinds:?}");
    }
}

#[test]
fn a_shard_whose_subvolume_is_gone_is_an_error_that_names_the_bricks() {
    let dir = tempfile::tempdir().expect("a directory");
    let built = volume_with(dir.path(), &image());
    let last = (image().len() as u64 + 5 * SHARD) / SHARD;
    let gone: Vec<usize> =
        built.members(built.shard_subvolume("vm.qcow2", last).expect("laid out")).collect();
    let volume = open(&built, &gone).expect("a volume");
    let whole = open(&built, &[]).expect("a volume");
    let gfid = whole.open_file(&"vm.qcow2".parse().expect("a path")).expect("the file").gfid();
    match volume.open_file(&format!("gfid:{gfid}").parse().expect("a reference")) {
        // The base lies on the other subvolume.
        Ok(file) => {
            let error = file.read_exact_at(last * SHARD, &mut [0; 7]).expect_err("it is not known");
            assert!(error.to_string().contains(&built.brick_name(gone[0])), "{error}");
            assert!(!matches!(file.shard(last), Ok(ShardState::Hole)), "unknown is not zero");
        }
        Err(error) => assert!(error.to_string().contains(&built.brick_name(gone[0])), "{error}"),
    }
}

#[test]
fn two_sites_that_hold_the_same_are_proven_and_one_byte_is_named() {
    let (near, far) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let near = volume_with(near.path(), &image());
    let mut far_volume = volume_with(far.path(), &image());
    let manifest = |built: &BrickTrees| {
        let volume = open(built, &[]).expect("a volume");
        let file = volume.open_file(&"vm.qcow2".parse().expect("a path")).expect("the file");
        let digested =
            file_manifest(&file, "vm.qcow2", &ManifestOptions::default(), &|_| Ok(())).expect("digested");
        let layers = vec![Layer::Found(digested.manifest)];
        Manifest {
            schema_version: SCHEMA_VERSION,
            disks: vec![DiskManifest { domain: None, target: None, layers }],
        }
    };
    let primary = manifest(&near);
    let proof = proof::compare(&primary, &manifest(&far_volume));
    assert!(proof.holds && proof.primary == proof.secondary && proof.compared.shards > 5, "{proof:?}");

    let end = image().len() as u64 + 5 * SHARD;
    far_volume.write("vm.qcow2", end + 2, b"E").expect("written");
    far_volume.save().expect("saved");
    let proof = proof::compare(&primary, &manifest(&far_volume));
    assert!(!proof.holds);
    let shards = &proof.differences[0].shards;
    assert_eq!(
        (shards.len(), shards[0].index, shards[0].kind),
        (1, end / SHARD, ShardDifferenceKind::Different)
    );

    let far_xml = far.path().join("gv2.xml");
    let near_xml = far.path().join("gv1.xml");
    std::fs::write(&near_xml, near.volume_info_xml()).expect("written");
    std::fs::write(&far_xml, far_volume.volume_info_xml()).expect("written");
    let site = |spec: &Path, volume: &BrickTrees| Site {
        spec: SiteSpec::Described { spec: spec.to_owned(), volume: None },
        mappings: mappings(volume),
    };
    let proof = verify(
        &site(&near_xml, &near),
        &site(&far_xml, &far_volume),
        "vm.qcow2",
        &VerifyOptions::default(),
        &Cancel::default(),
        &|_| {},
    )
    .expect("compared");
    assert!(!proof.holds && proof.differing_shards() == 1, "{proof:?}");
    assert!(proof.differences[0].shards[0].secondary_places.iter().all(|place| place.path.exists()));
}
