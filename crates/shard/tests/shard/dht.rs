//! Where shards are found: DHT's rules on real trees.

use stillpoint_shard::{Finding, ShardError, ShardState};
use stillpoint_storage::Storage;
use stillpoint_testkit::volume::{KeptIn, Shape};

use super::support::{Built, build, bytes, pattern};

const SHARD: usize = 4096;

fn written(subvolumes: usize, replicas: usize, shards: usize) -> (Built, Vec<u8>) {
    let shape = Shape { subvolumes, replicas, shard_size: SHARD as u64, ..Shape::default() };
    let mut built = build(shape);
    let model = pattern(1, shards * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    (built, model)
}

#[test]
fn a_shard_is_read_from_where_its_link_file_says() {
    let (mut built, model) = written(3, 2, 6);
    let from = built.trees.shard_subvolume("disk", 2).unwrap();
    let to = (from + 1) % 3;
    built.trees.move_shard("disk", 2, to).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(file.findings().is_empty(), "{:?}", file.findings());
    let ShardState::Present(shard) = file.shard(2).unwrap() else { panic!("a hole") };
    assert_eq!(shard.subvolume, built.trees.subvolume(to));
    // Where it went is not here: then it is not known, though its hashed subvolume is.
    let gone: Vec<usize> = built.trees.members(to).collect();
    let file = built.open("disk", &gone);
    if let Ok(file) = file {
        let error = file.shard(2).unwrap_err();
        assert!(matches!(error, ShardError::Unknown { .. }), "{error}");
        assert!(error.to_string().contains(&built.trees.subvolume(to)), "{error}");
    }
}

/// As `performance.parallel-readdir` has it: link files name a readdir-ahead, which stands on the subvolume.
#[test]
fn a_link_file_to_a_readdir_ahead_means_the_subvolume_below_it() {
    let (mut built, model) = written(3, 2, 6);
    let from = built.trees.shard_subvolume("disk", 2).unwrap();
    let to = (from + 1) % 3;
    built.trees.move_shard("disk", 2, to).unwrap();
    let shard = built.trees.shard_path("disk", 2);
    let mut findings = |target: String| {
        for brick in built.trees.members(from) {
            built.trees.make_linkto(brick, &shard, &target).unwrap();
        }
        let file = built.open("disk", &[]).unwrap();
        assert_eq!(bytes(&file).unwrap(), model);
        file.findings()
    };
    assert_eq!(findings(format!("gv1-readdir-ahead-{to}")), []);
    let other = findings(format!("gv1-readdir-ahead-{from}"));
    assert!(matches!(&other[..], [Finding::Misplaced { .. }]), "{other:?}");
}

#[test]
fn a_base_is_read_from_where_its_link_file_says() {
    let (mut built, model) = written(2, 1, 3);
    let to = 1 - built.trees.shard_subvolume("disk", 0).unwrap();
    built.trees.move_shard("disk", 0, to).unwrap();
    let gfid = built.open("disk", &[]).unwrap().gfid();
    for name in ["disk".to_owned(), format!("gfid:{gfid}")] {
        let file = built.open(&name, &[]).unwrap();
        assert_eq!(bytes(&file).unwrap(), model, "{name}");
    }
}

#[test]
fn a_link_file_to_nothing_is_an_error_and_not_a_hole() {
    let (mut built, _) = written(2, 1, 4);
    let from = built.trees.shard_subvolume("disk", 1).unwrap();
    built.trees.move_shard("disk", 1, 1 - from).unwrap();
    std::fs::remove_file(built.path(1 - from, &built.trees.shard_path("disk", 1))).unwrap();
    let file = built.open("disk", &[]).unwrap();
    let mut buf = [0; 1];
    assert!(matches!(file.shard(1), Err(ShardError::DanglingLinkto { .. })));
    assert!(file.read_exact_at(SHARD as u64, &mut buf).is_err());
}

#[test]
fn of_two_shards_of_one_name_the_hashed_one_is_read_and_both_reported() {
    let (mut built, model) = written(2, 1, 4);
    let hashed = built.trees.shard_subvolume("disk", 1).unwrap();
    let shard = built.trees.shard_path("disk", 1);
    built.trees.copy_to(hashed, 1 - hashed, &shard).unwrap();
    std::fs::write(built.path(1 - hashed, &shard), vec![9; 2 * SHARD]).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(
        matches!(file.findings().as_slice(), [Finding::Duplicate { subvolumes, .. }] if subvolumes.len() == 2)
    );
}

#[test]
fn a_shard_off_its_place_without_a_link_file_is_read_and_reported() {
    let (mut built, model) = written(2, 2, 4);
    let hashed = built.trees.shard_subvolume("disk", 3).unwrap();
    built.trees.move_shard("disk", 3, 1 - hashed).unwrap();
    for brick in built.trees.members(hashed) {
        std::fs::remove_file(built.path(brick, &built.trees.shard_path("disk", 3))).unwrap();
    }
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(matches!(file.findings().as_slice(), [Finding::Misplaced { .. }]), "{:?}", file.findings());
}

#[test]
fn a_shard_in_migration_is_read_from_its_source() {
    use std::os::unix::fs::PermissionsExt;
    let (mut built, model) = written(2, 1, 4);
    let source = built.trees.shard_subvolume("disk", 1).unwrap();
    let shard = built.trees.shard_path("disk", 1);
    // Phase 1: the destination is a link file that fills up; the source has sticky and set-gid.
    built.trees.copy_to(source, 1 - source, &shard).unwrap();
    let target = built.trees.subvolume(source);
    built.trees.make_linkto(1 - source, &shard, &target).unwrap();
    let destination = built.path(1 - source, &shard);
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&destination, mode(0o600)).unwrap();
    std::fs::write(&destination, vec![0; SHARD / 2]).unwrap();
    std::fs::set_permissions(&destination, mode(0o1000)).unwrap();
    std::fs::set_permissions(built.path(source, &shard), mode(0o3644)).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(matches!(file.findings().as_slice(), [Finding::Migrating { .. }]), "{:?}", file.findings());
}

#[test]
fn shards_past_the_end_are_reported_and_not_read() {
    let (mut built, model) = written(1, 1, 2);
    let gfid = built.open("disk", &[]).unwrap().gfid();
    for name in [format!("{gfid}.7"), format!("{gfid}.12"), format!("{gfid}.0012"), format!("{gfid}.x")] {
        built.trees.stray_shard(0, &name, b"stray").unwrap();
    }
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(matches!(file.findings().as_slice(), [Finding::PastTheEnd { shards: 2, last: 12, .. }]));
}

#[test]
fn a_shard_longer_than_a_shard_is_cut_and_one_that_is_short_or_empty_is_filled() {
    let (built, mut model) = written(1, 1, 4);
    let write =
        |index, bytes: &[u8]| std::fs::write(built.path(0, &built.trees.shard_path("disk", index)), bytes);
    write(1, &pattern(5, 2 * SHARD)).unwrap();
    write(2, &pattern(6, 10)).unwrap();
    write(3, &[]).unwrap();
    model[SHARD..2 * SHARD].copy_from_slice(&pattern(5, 2 * SHARD)[..SHARD]);
    model[2 * SHARD..].fill(0);
    model[2 * SHARD..][..10].copy_from_slice(&pattern(6, 10));
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(matches!(file.findings().as_slice(), [Finding::TooLong { .. }]));
    let mut buf = vec![0xee; 2 * SHARD];
    assert_eq!(file.read_shard(2, 5, &mut buf).unwrap(), SHARD - 5);
    assert_eq!(buf[..SHARD - 5], model[2 * SHARD + 5..3 * SHARD]);
    assert_eq!(file.read_shard(4, 0, &mut buf).unwrap(), 0);
    assert_eq!(file.read_shard(0, SHARD as u64, &mut buf).unwrap(), 0);
}

#[test]
fn files_are_found_in_directories_by_gfid_and_whether_sharded_or_not() {
    let mut built = build(Shape { subvolumes: 2, replicas: 2, shard_size: SHARD as u64, ..Shape::default() });
    built.trees.create_directory("vms").unwrap();
    built.trees.create_directory("vms/a b").unwrap();
    let model = pattern(3, 3 * SHARD + 7);
    let gfid = built.trees.create_file("vms/a b/disk").unwrap();
    built.trees.write("vms/a b/disk", 0, &model).unwrap();
    built.trees.create_plain_file("vms/plain").unwrap();
    built.trees.write("vms/plain", 0, &model).unwrap();
    for name in ["vms/a b/disk", "/vms/./a b//disk", &format!("gfid:{gfid}"), "vms/plain"] {
        let file = built.open(name, &[]).unwrap();
        assert_eq!(bytes(&file).unwrap(), model, "{name}");
        assert_eq!(file.shard_size().is_none(), name.ends_with("plain"), "{name}");
    }
    let plain = built.open("vms/plain", &[]).unwrap();
    assert_eq!((plain.shard_count(), plain.len()), (1, model.len() as u64));
    assert!(matches!(plain.shard(0), Ok(ShardState::Present(_))));
    for bad in ["vms", "", "/", "vms/../vms/plain", ".shard/x", ".glusterfs/x"] {
        let error = built.open(bad, &[]).unwrap_err();
        assert!(matches!(error, ShardError::BadPath { .. } | ShardError::Unknown { .. }), "{bad}: {error}");
    }
    for bad in ["vms/none", "none/disk", "gfid:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"] {
        assert!(matches!(built.open(bad, &[]), Err(ShardError::NotFound { .. })), "{bad}");
    }
}

#[test]
fn an_empty_file_has_no_shards_and_no_extents() {
    let mut built = build(Shape::default());
    built.trees.create_file("empty").unwrap();
    let file = built.open("empty", &[]).unwrap();
    assert_eq!((file.len(), file.shard_count()), (0, 0));
    assert_eq!(file.read_at(0, &mut [0; 4]).unwrap(), 0);
    assert!(file.next_extent(0).is_err() && file.shard(0).is_err());
    assert_eq!(file.read_at(u64::MAX, &mut [0; 4]).unwrap(), 0);
}

/// Where each shard is was seen when the file was opened; since then a rebalance has moved some.
#[test]
fn a_shard_that_went_elsewhere_since_is_read_there_and_not_as_the_link_file_that_it_left() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: xattrs of Gluster's on the file system take root");
        return;
    }
    let shape =
        Shape { subvolumes: 2, shard_size: SHARD as u64, kept_in: KeptIn::FileSystem, ..Shape::default() };
    let mut built = build(shape);
    let model = pattern(1, 8 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    let file = built.open("disk", &[]).unwrap();
    // One was chosen already, the other not; of each, one leaves a link file and one doesn't.
    for index in [2, 3] {
        assert!(matches!(file.shard(index).unwrap(), ShardState::Present(_)));
    }
    for index in [2, 3, 4, 5] {
        let from = built.trees.shard_subvolume("disk", index).unwrap();
        built.trees.move_shard("disk", index, 1 - from).unwrap();
        if index % 2 == 0 {
            std::fs::remove_file(built.path(from, &built.trees.shard_path("disk", index))).unwrap();
        }
    }
    assert_eq!(bytes(&file).unwrap(), model);
    // Gone from everywhere is changed, and no hole.
    let from = built.trees.shard_subvolume("disk", 6).unwrap();
    std::fs::remove_file(built.path(from, &built.trees.shard_path("disk", 6))).unwrap();
    let error = file.shard(6).unwrap_err();
    assert!(error.is_retryable() && matches!(error, ShardError::Changed { .. }), "{error}");
}
