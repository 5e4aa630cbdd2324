//! Which copy is read: AFR's rules on real trees.

use stillpoint_shard::{
    BrickMap, Finding, OpenOptions, ShardError, ShardState, SplitBrainChoice, Standing, Topology, Volume,
};
use stillpoint_storage::Storage;
use stillpoint_testkit::volume::{Change, Shape};

use super::support::{Built, build, bytes, pattern, shard_error};

const SHARD: usize = 4096;

fn replica(replicas: usize, arbiter: bool) -> Built {
    build(Shape { replicas, arbiter, shard_size: SHARD as u64, ..Shape::default() })
}

/// A file of three shards, written whole, and then its second shard anew while brick `down` is down.
fn missed_write(replicas: usize, arbiter: bool, down: usize) -> (Built, Vec<u8>) {
    let mut built = replica(replicas, arbiter);
    let mut model = pattern(1, 3 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    built.trees.set_up(down, false);
    let newer = pattern(2, SHARD);
    built.trees.write("disk", SHARD as u64, &newer).unwrap();
    built.trees.set_up(down, true);
    model[SHARD..2 * SHARD].copy_from_slice(&newer);
    (built, model)
}

#[test]
fn a_copy_that_missed_a_write_is_not_read() {
    for (replicas, arbiter, down) in [(2, false, 0), (2, false, 1), (3, false, 0), (3, true, 0), (3, true, 1)]
    {
        let (built, model) = missed_write(replicas, arbiter, down);
        let file = built.open("disk", &[]).unwrap();
        assert_eq!(bytes(&file).unwrap(), model, "{replicas} {arbiter} {down}");
        let ShardState::Present(shard) = file.shard(1).unwrap() else { panic!("a hole") };
        let standing =
            |brick: usize| shard.copies.iter().find(|copy| copy.brick == built.name(brick)).unwrap().standing;
        assert_eq!(standing(down), Standing::Blamed);
        assert_ne!(shard.chosen().unwrap().brick, built.name(down));
        if arbiter {
            assert_eq!(standing(2), Standing::Arbiter);
        }
    }
}

#[test]
fn counters_are_read_by_the_bricks_client_number_not_by_position() {
    let shape =
        Shape { replicas: 2, shard_size: SHARD as u64, client_numbers: vec![5, 0], ..Shape::default() };
    let mut built = build(shape);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, SHARD)).unwrap();
    built.trees.set_up(0, false);
    built.trees.write("disk", 0, &pattern(2, SHARD)).unwrap();
    built.trees.set_up(0, true);
    assert_eq!(bytes(&built.open("disk", &[]).unwrap()).unwrap(), pattern(2, SHARD));
}

#[test]
fn copies_that_blame_each_other_are_an_error_that_shows_who_blames_whom() {
    let (mut built, _) = missed_write(2, false, 0);
    let shard = built.trees.shard_path("disk", 1);
    built.trees.set_blame(0, 1, &shard, Change::Data, 3).unwrap();
    let file = built.open("disk", &[]).unwrap();
    let mut buf = [0; 16];
    file.read_exact_at(0, &mut buf).unwrap();
    let error = shard_error(file.read_exact_at(SHARD as u64, &mut buf).unwrap_err());
    let text = error.to_string();
    assert!(matches!(error, ShardError::SplitBrain { .. }), "{text}");
    assert!(text.contains("shard 1 of disk") && text.contains("blames 1 (3 changes)"), "{text}");
    assert!(text.contains(&built.trees.brick_name(0)) && text.contains(&built.trees.brick_name(1)), "{text}");
    // The caller's choice decides.
    for (brick, seed) in [(0, 1), (1, 2)] {
        let choice = SplitBrainChoice::SourceBrick(built.name(brick));
        let options = OpenOptions { split_brain: vec![choice], ..OpenOptions::default() };
        let volume = Volume::open(built.topology(), &BrickMap::default(), options).unwrap();
        let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
        let mut buf = vec![0; SHARD];
        file.read_exact_at(SHARD as u64, &mut buf).unwrap();
        let expected =
            if seed == 1 { pattern(1, 3 * SHARD)[SHARD..2 * SHARD].to_vec() } else { pattern(2, SHARD) };
        assert_eq!(buf, expected, "brick {brick} preferred");
    }
}

#[test]
fn a_copy_that_blames_itself_is_not_read() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, SHARD)).unwrap();
    std::fs::write(built.path(0, "disk"), pattern(9, SHARD)).unwrap();
    built.trees.set_blame(0, 0, "disk", Change::Data, 1).unwrap();
    // Its word about the other does not count, either.
    built.trees.set_blame(0, 1, "disk", Change::Data, 7).unwrap();
    assert_eq!(bytes(&built.open("disk", &[]).unwrap()).unwrap(), pattern(1, SHARD));
}

#[test]
fn an_arbiter_that_blames_both_leaves_no_source_of_data() {
    let mut built = replica(3, true);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, SHARD)).unwrap();
    for about in [0, 1] {
        built.trees.set_blame(2, about, "disk", Change::Data, 1).unwrap();
    }
    let file = built.open("disk", &[]).unwrap();
    let error = shard_error(bytes(&file).unwrap_err());
    assert!(error.to_string().contains("arbiter"), "{error}");
}

#[test]
fn the_size_is_that_of_a_brick_that_missed_no_metadata() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, 100)).unwrap();
    built.trees.set_up(1, false);
    built.trees.write("disk", 100, &pattern(2, 5 * SHARD)).unwrap();
    built.trees.set_up(1, true);
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(file.size(), 100 + 5 * SHARD as u64);
    assert!(file.findings().is_empty(), "{:?}", file.findings());
    let expected = [pattern(1, 100), pattern(2, 5 * SHARD)].concat();
    assert_eq!(bytes(&file).unwrap(), expected);
}

#[test]
fn good_copies_of_different_sizes_are_reported_and_the_largest_believed() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, 100)).unwrap();
    let mut size = [0; 32];
    size[7] = 90;
    built.trees.set_xattr(0, "disk", "trusted.glusterfs.shard.file-size", &size).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(file.size(), 100);
    assert!(
        matches!(file.findings().as_slice(), [Finding::SizesDiffer { sizes, .. }] if sizes == &[90, 100])
    );
}

#[test]
fn the_longest_of_good_copies_is_read_and_the_difference_reported() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, SHARD)).unwrap();
    std::fs::write(built.path(0, "disk"), &pattern(1, SHARD)[..1000]).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), pattern(1, SHARD));
    assert!(matches!(file.findings().as_slice(), [Finding::LengthsDiffer { .. }]), "{:?}", file.findings());
}

#[test]
fn a_shard_deleted_while_a_brick_was_down_is_a_hole() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, 3 * SHARD)).unwrap();
    built.trees.set_up(0, false);
    built.trees.truncate("disk", SHARD as u64).unwrap();
    built.trees.truncate("disk", 3 * SHARD as u64).unwrap();
    built.trees.set_up(0, true);
    let mut expected = pattern(1, SHARD);
    expected.resize(3 * SHARD, 0);
    let file = built.open("disk", &[]).unwrap();
    assert!(built.path(0, &built.trees.shard_path("disk", 1)).exists());
    assert_eq!(bytes(&file).unwrap(), expected);
    assert!(matches!(file.shard(1).unwrap(), ShardState::Hole));
    // Nor is it called past the end of a file that stayed short.
    built.trees.set_up(0, false);
    built.trees.truncate("disk", SHARD as u64).unwrap();
    built.trees.set_up(0, true);
    let file = built.open("disk", &[]).unwrap();
    assert_eq!((file.size(), file.findings()), (SHARD as u64, vec![]));
}

#[test]
fn a_shard_made_anew_while_a_brick_was_down_is_not_mixed_with_the_old_one() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, 2 * SHARD)).unwrap();
    built.trees.set_up(0, false);
    built.trees.truncate("disk", SHARD as u64).unwrap();
    built.trees.write("disk", SHARD as u64, b"new").unwrap();
    built.trees.set_up(0, true);
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), [pattern(1, SHARD), b"new".to_vec()].concat());
    let ShardState::Present(shard) = file.shard(1).unwrap() else { panic!("a hole") };
    assert_eq!(shard.copies.len(), 1, "the old shard of brick 0 is another file");
}

#[test]
fn good_copies_with_different_gfids_are_refused() {
    let mut built = replica(2, false);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, 2 * SHARD)).unwrap();
    let shard = built.trees.shard_path("disk", 1);
    built.trees.set_xattr(1, &shard, "trusted.gfid", &[7; 16]).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert!(matches!(file.shard(1), Err(ShardError::GfidMismatch { .. })));
    assert!(matches!(file.shard(0), Ok(ShardState::Present(_))));
}

#[test]
fn counters_about_no_brick_known_are_an_error_only_where_they_are_not_zero() {
    let (built, model) = missed_write(2, false, 0);
    built.trees.save().unwrap();
    let from_xml = Topology::from_volume_info_xml(&built.trees.volume_info_xml(), Some("gv1")).unwrap();
    let volume = Volume::open(from_xml, &BrickMap::default(), OpenOptions::default()).unwrap();
    let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
    let mut buf = vec![0; SHARD];
    for index in [0, 2] {
        file.read_exact_at(index * SHARD as u64, &mut buf).unwrap();
        assert_eq!(buf, model[index as usize * SHARD..][..SHARD]);
    }
    let error = shard_error(file.read_exact_at(SHARD as u64, &mut buf).unwrap_err());
    assert!(
        matches!(&error, ShardError::Unattributed { xattr, .. } if xattr == "trusted.afr.gv1-client-0"),
        "{error}"
    );
}

#[test]
fn the_one_replica_that_is_left_is_read() {
    let (built, model) = missed_write(2, false, 0);
    assert_eq!(bytes(&built.open("disk", &[0]).unwrap()).unwrap(), model);
}
