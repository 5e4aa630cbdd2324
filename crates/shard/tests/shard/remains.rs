//! Sizes that are lost or wrong, and what is left of files whose base is gone.

use proptest::prelude::*;
use stillpoint_shard::{
    EntryKind, FileOptions, Finding, OpenOptions, Remains, ShardError, ShardedFile, SizeChoice, Volume,
};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, bytes, pattern, shard_error};

const SHARD: usize = 4096;
const SIZE: &str = "trusted.glusterfs.shard.file-size";
const BLOCK_SIZE: &str = "trusted.glusterfs.shard.block-size";

fn shape(subvolumes: usize, replicas: usize) -> Shape {
    Shape { subvolumes, replicas, shard_size: SHARD as u64, ..Shape::default() }
}

fn bytes_of(size: u64) -> FileOptions {
    FileOptions { size: Some(SizeChoice::Bytes(size)), ..FileOptions::default() }
}

const LAST: FileOptions = FileOptions { size: Some(SizeChoice::LastShard), shard_size: None };

fn open(
    built: &Built,
    name: &str,
    options: &FileOptions,
    missing: &[usize],
) -> Result<ShardedFile, ShardError> {
    let volume = Volume::open(built.topology(), &built.map(missing), OpenOptions::default())?;
    volume.open_file_with(&name.parse().unwrap(), options)
}

/// A file of five shards, the third a hole and the last one short.
fn written(shape: Shape) -> (Built, Vec<u8>) {
    let mut built = build(shape);
    let mut model = pattern(1, 4 * SHARD + 100);
    model[2 * SHARD..3 * SHARD].fill(0);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model[..2 * SHARD]).unwrap();
    built.trees.write("disk", 3 * SHARD as u64, &model[3 * SHARD..]).unwrap();
    (built, model)
}

#[test]
fn a_size_that_is_lost_or_wrong_is_the_callers_or_that_of_the_last_shard_and_told() {
    for value in [None, Some(vec![1; 31]), Some([100_u64, 0, 0, 0].map(u64::to_be_bytes).concat())] {
        let (mut built, model) = written(shape(2, 2));
        for brick in built.trees.members(built.trees.shard_subvolume("disk", 0).unwrap()) {
            match &value {
                None => built.trees.remove_xattr(brick, "disk", SIZE).unwrap(),
                Some(value) => built.trees.set_xattr(brick, "disk", SIZE, value).unwrap(),
            }
        }
        let told = value.as_ref().filter(|value| value.len() == 32).map(|_| 100);
        match open(&built, "disk", &FileOptions::default(), &[]) {
            Ok(file) => assert_eq!((file.size(), told), (100, Some(100))),
            Err(error) => {
                assert!(
                    told.is_none()
                        && matches!(error, ShardError::BadXattr { .. } | ShardError::Unknown { .. })
                );
            }
        }
        let file = open(&built, "disk", &LAST, &[]).unwrap();
        assert_eq!(bytes(&file).unwrap(), model);
        let size = model.len() as u64;
        assert_eq!(file.findings(), [Finding::SizeFromShards { what: "disk".to_owned(), size, told }]);
        for size in [0, 1, 2 * SHARD + 5, model.len() - 1, model.len(), 6 * SHARD + 1] {
            let file = open(&built, "disk", &bytes_of(size as u64), &[]).unwrap();
            let mut expected = model.clone();
            expected.resize(size, 0);
            assert_eq!(bytes(&file).unwrap(), expected, "{size}");
            let finding = Finding::SizeGiven { what: "disk".to_owned(), size: size as u64, told };
            assert!(file.findings().contains(&finding), "{:?}", file.findings());
        }
    }
}

#[test]
fn past_the_last_shard_nothing_is_claimed_where_a_brick_is_missing() {
    let (built, model) = written(shape(3, 1));
    let away = built.trees.shard_subvolume("disk", 4).unwrap();
    assert!(away != built.trees.shard_subvolume("disk", 0).unwrap(), "the base has to be there");
    assert!(matches!(open(&built, "disk", &LAST, &[away]), Err(ShardError::Unknown { .. })));
    let file = open(&built, "disk", &bytes_of(9 * SHARD as u64), &[away]).unwrap();
    let mut first = vec![0; SHARD];
    file.read_exact_at(0, &mut first).unwrap();
    assert_eq!(first, model[..SHARD]);
    for index in [4, 6, 8] {
        assert!(file.read_exact_at(index * SHARD as u64, &mut [0]).is_err(), "{index}");
    }
}

#[test]
fn what_no_file_can_be_is_refused() {
    let (mut built, _) = written(shape(1, 1));
    built.trees.create_plain_file("plain").unwrap();
    assert!(open(&built, "disk", &bytes_of(1 << 63), &[]).is_err());
    assert!(open(&built, "plain", &bytes_of(5), &[]).is_err());
    for shard_size in [0, 513, 1 << 63] {
        let options = FileOptions { shard_size: Some(shard_size), ..FileOptions::default() };
        assert!(open(&built, "disk", &options, &[]).is_err(), "{shard_size}");
    }
    // A name that only a hostile brick has makes no size.
    let gfid = built.trees.create_file("x").unwrap();
    built.trees.stray_shard(0, &format!("{gfid}.{}", u64::MAX - 1), b"x").unwrap();
    assert!(open(&built, "x", &LAST, &[]).is_err());
}

#[test]
fn a_block_size_that_is_lost_is_the_callers() {
    let (mut built, model) = written(shape(1, 1));
    built.trees.remove_xattr(0, "disk", BLOCK_SIZE).unwrap();
    let options = FileOptions { shard_size: Some(SHARD as u64), size: Some(SizeChoice::LastShard) };
    let file = open(&built, "disk", &options, &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    let given = Finding::ShardSizeGiven { what: "disk".to_owned(), shard_size: SHARD as u64, told: None };
    assert!(file.findings().contains(&given), "{:?}", file.findings());
}

/// All of `model` but its first shard and its holes is read; those are unknown, and never zeros.
fn check_remains(file: &ShardedFile, model: &[u8]) {
    assert_eq!(file.size(), model.len() as u64);
    for (index, expected) in model.chunks(SHARD).enumerate() {
        let mut found = vec![0xee; expected.len()];
        let read = file.read_exact_at((index * SHARD) as u64, &mut found);
        if index == 0 || expected.iter().all(|byte| *byte == 0) {
            assert!(matches!(shard_error(read.unwrap_err()), ShardError::Unknown { .. }), "{index}");
        } else {
            read.unwrap();
            assert_eq!(found, expected, "{index}");
        }
    }
    for extent in extents(file).map(Result::unwrap) {
        assert!(extent.kind != ExtentKind::Hole || extent.offset >= 4 * SHARD as u64, "{extent:?}");
        assert_eq!(
            extent.kind == ExtentKind::Unknown,
            matches!(extent.offset as usize / SHARD, 0 | 2),
            "{extent:?}"
        );
    }
}

#[test]
fn a_deleted_file_whose_shards_wait_is_read_by_its_gfid_as_long_as_its_marker_tells() {
    for shape in [shape(1, 1), shape(3, 1), shape(2, 2), Shape { redundancy: 1, ..shape(2, 3) }] {
        let (mut built, model) = written(shape);
        let gfid = built.trees.delete_base("disk").unwrap();
        let name = format!("gfid:{gfid}");
        assert!(matches!(
            open(&built, "disk", &FileOptions::default(), &[]),
            Err(ShardError::NotFound { .. })
        ));
        let file = open(&built, &name, &FileOptions::default(), &[]).unwrap();
        assert_eq!((file.remains(), file.gfid(), file.findings()), (Some(Remains::Deleted), gfid, vec![]));
        check_remains(&file, &model);
        let volume = built.volume(&[]).unwrap();
        let size = model.len() as u64;
        assert_eq!(
            volume.entry(&name.parse().unwrap()).unwrap().kind,
            EntryKind::Remains { size, shard_size: Some(SHARD as u64), remains: Remains::Deleted }
        );
    }
}

#[test]
fn an_orphan_is_as_long_as_its_last_shard_and_its_shards_as_the_longest_of_them() {
    let (mut built, model) = written(shape(2, 2));
    let gfid = built.trees.delete_base("disk").unwrap();
    built.trees.remove_marker(gfid).unwrap();
    let name = format!("gfid:{gfid}");
    let file = open(&built, &name, &FileOptions::default(), &[]).unwrap();
    assert_eq!((file.remains(), file.shard_size()), (Some(Remains::Orphaned), Some(SHARD as u64)));
    check_remains(&file, &model);
    assert!(
        matches!(
            &file.findings()[..],
            [Finding::SizeFromShards { told: None, .. }, Finding::ShardSizeDerived { shards: 2, .. }]
        ),
        "{:?}",
        file.findings()
    );
    // With one full shard only, nobody knows that it is full.
    for brick in 0..4 {
        let path = built.path(brick, &format!(".shard/{gfid}.1"));
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = open(&built, &name, &FileOptions::default(), &[]).unwrap_err();
    assert!(error.to_string().contains("--block-size"), "{error}");
    let options =
        FileOptions { shard_size: Some(SHARD as u64), size: Some(SizeChoice::Bytes(7 * SHARD as u64)) };
    let file = open(&built, &name, &options, &[]).unwrap();
    assert_eq!(file.size(), 7 * SHARD as u64);
    assert!(
        file.read_exact_at(5 * SHARD as u64, &mut [0]).is_err(),
        "past the last shard nothing is claimed"
    );
    assert!(matches!(
        open(&built, "gfid:00000000-0000-4000-8000-0000000000aa", &FileOptions::default(), &[]),
        Err(ShardError::NotFound { .. })
    ));
}

#[test]
fn of_a_file_whose_base_is_on_missing_bricks_the_other_shards_are_read_once_its_sizes_are_said() {
    let (built, model) = written(shape(3, 1));
    let gfid = built.open("disk", &[]).unwrap().gfid();
    let away = built.trees.shard_subvolume("disk", 0).unwrap();
    let name = format!("gfid:{gfid}");
    let error = open(&built, &name, &FileOptions::default(), &[away]).unwrap_err();
    assert!(matches!(&error, ShardError::Unknown { missing, .. } if missing.len() == 1), "{error}");
    let options =
        FileOptions { shard_size: Some(SHARD as u64), size: Some(SizeChoice::Bytes(model.len() as u64)) };
    let file = open(&built, &name, &options, &[away]).unwrap();
    assert_eq!(file.remains(), Some(Remains::BaseMissing));
    let mut right = 0;
    for (index, expected) in model.chunks(SHARD).enumerate() {
        let mut found = vec![0xee; expected.len()];
        match file.read_exact_at((index * SHARD) as u64, &mut found) {
            Ok(()) => {
                assert_eq!(found, expected, "{index}");
                right += 1;
            }
            Err(error) => {
                let ShardError::Unknown { missing, .. } = shard_error(error) else { panic!("{index}") };
                assert_eq!(missing.len(), 1);
            }
        }
    }
    assert!(right > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever is written of a file and then deleted: what is read of its remains is what was written, and it is never
    /// read where nothing was.
    #[test]
    fn remains_are_what_was_written_or_unknown(
        writes in prop::collection::vec((0..8 * SHARD, 1..2 * SHARD, any::<u64>()), 1..6),
        bricks in prop_oneof![Just((1, 1)), Just((2, 1)), Just((2, 2))],
        with_marker in any::<bool>(),
    ) {
        let mut built = build(shape(bricks.0, bricks.1));
        let mut model: Vec<u8> = Vec::new();
        built.trees.create_file("disk").unwrap();
        let mut stored = [false; 16];
        for (offset, len, seed) in writes {
            let piece = pattern(seed, len);
            model.resize(model.len().max(offset + len), 0);
            model[offset..offset + len].copy_from_slice(&piece);
            built.trees.write("disk", offset as u64, &piece).unwrap();
            stored[offset / SHARD..=(offset + len - 1) / SHARD].fill(true);
        }
        let gfid = built.trees.delete_base("disk").unwrap();
        if !with_marker {
            built.trees.remove_marker(gfid).unwrap();
        }
        let shard_size = Some(SHARD as u64).filter(|_| !with_marker);
        let options = FileOptions { shard_size, size: None };
        let file = match open(&built, &format!("gfid:{gfid}"), &options, &[]) {
            Ok(file) => file,
            Err(error) => {
                prop_assert!(!with_marker && stored[1..].iter().all(|stored| !stored), "{error}");
                return Ok(());
            }
        };
        prop_assert_eq!(file.size(), model.len() as u64);
        for (index, expected) in model.chunks(SHARD).enumerate() {
            let mut found = vec![0xee; expected.len()];
            let read = file.read_exact_at((index * SHARD) as u64, &mut found);
            prop_assert_eq!(read.is_ok(), index > 0 && stored[index], "shard {}", index);
            if read.is_ok() {
                prop_assert_eq!(found, expected, "shard {}", index);
            }
        }
    }
}

#[test]
fn what_is_left_of_files_is_listed_with_what_is_known() {
    for shape in [shape(2, 2), Shape { redundancy: 1, ..shape(1, 3) }] {
        let coded = shape.redundancy > 0;
        let (mut built, _) = written(shape);
        let deleted = built.trees.delete_base("disk").unwrap();
        built.trees.create_file("kept").unwrap();
        built.trees.write("kept", 0, &pattern(2, 2 * SHARD)).unwrap();
        let orphan = built.trees.create_file("lost").unwrap();
        built.trees.write("lost", 0, &pattern(3, 2 * SHARD + 512)).unwrap();
        built.trees.delete_base("lost").unwrap();
        built.trees.remove_marker(orphan).unwrap();
        let left = built.volume(&[]).unwrap().left_over().unwrap();
        let told: Vec<_> =
            left.iter().map(|left| (left.gfid, left.remains, left.shards, left.last)).collect();
        assert_eq!(
            told,
            [(deleted, Remains::Deleted, 3, Some(4)), (orphan, Remains::Orphaned, 2, Some(2))],
            "{left:?}"
        );
        assert_eq!((left[0].size, left[0].shard_size), (Some(4 * SHARD as u64 + 100), Some(SHARD as u64)));
        assert_eq!((left[1].size, left[1].shard_size), (None, None));
        // Fragments are filled up to a stripe of two chunks.
        let last = if coded { 1024 } else { 512 };
        assert_eq!(left[1].bytes, SHARD as u64 + last);
    }
}
