//! Topologies from nothing but bricks: what they prove about each other, and what stays open.

use std::path::Path;

use stillpoint_shard::{
    BrickMap, Doubt, OpenOptions, ShardError, ShardedFile, SubvolumeKind, Topology, Volume,
};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, bytes, pattern, shard_error};

const SHARD: usize = 4096;

fn shape(subvolumes: usize, replicas: usize) -> Shape {
    Shape { subvolumes, replicas, shard_size: SHARD as u64, ..Shape::default() }
}

fn written(shape: Shape) -> (Built, Vec<u8>) {
    let mut built = build(shape);
    let model = pattern(1, 20 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    built.trees.save().unwrap();
    (built, model)
}

fn topology(built: &Built, bricks: &[usize]) -> Topology {
    let bricks: Vec<&Path> = bricks.iter().map(|brick| built.trees.brick(*brick)).collect();
    Topology::from_bricks(&bricks).unwrap()
}

fn open(topology: Topology) -> Result<ShardedFile, ShardError> {
    Volume::open(topology, &BrickMap::default(), OpenOptions::default())?.open_file(&"disk".parse().unwrap())
}

#[test]
fn of_bricks_of_several_volumes_it_is_said_which_there_are_and_one_is_taken() {
    let (first, model) = written(Shape { name: "one".to_owned(), ..shape(2, 1) });
    let (mut second, _) = written(Shape { name: "two".to_owned(), ..shape(1, 2) });
    let other = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".parse::<uuid::Uuid>().unwrap();
    for brick in 0..2 {
        second.trees.set_xattr(brick, "", "trusted.glusterfs.volume-id", other.as_bytes()).unwrap();
    }
    second.trees.set_blame(0, 1, "disk", stillpoint_testkit::volume::Change::Data, 0).unwrap();
    second.trees.save().unwrap();
    let bricks: Vec<&Path> =
        (0..2).map(|n| first.trees.brick(n)).chain((0..2).map(|n| second.trees.brick(n))).collect();
    let Err(ShardError::NoSuchVolume { asked: None, have }) = Topology::from_bricks(&bricks) else {
        panic!()
    };
    // The name of the second is known by a counter of AFR's.
    assert_eq!(have, [first.trees.id().to_string(), format!("two ({other})")]);
    let by_id = Topology::from_bricks_of(&bricks, Some(&first.trees.id().to_string())).unwrap();
    assert_eq!(bytes(&open(by_id).unwrap()).unwrap(), model);
    let by_name = Topology::from_bricks_of(&bricks, Some("two")).unwrap();
    assert_eq!((by_name.volume.as_str(), by_name.id, by_name.bricks().count()), ("two", Some(other), 2));
    assert!(matches!(
        Topology::from_bricks_of(&bricks, Some("three")),
        Err(ShardError::NoSuchVolume { asked: Some(_), have }) if have.len() == 2
    ));
}

#[test]
fn hashes_that_belong_to_nobody_prove_a_subvolume_missing_and_what_needs_it_names_it() {
    let (built, model) = written(shape(3, 2));
    assert_eq!(topology(&built, &[0, 1, 2, 3, 4, 5]).subvolumes.len(), 3);
    let missing_one = topology(&built, &[0, 1, 4, 5]);
    let Some(missing) = missing_one.subvolumes.iter().find(|set| !set.bricks[0].name.is_given()) else {
        panic!("{missing_one}")
    };
    assert_eq!((missing.bricks.len(), missing.kind), (2, SubvolumeKind::Replicate));
    assert!(missing.name.contains("hashes"), "{}", missing.name);
    let name = missing.name.clone();
    assert!(missing_one.doubts().contains(&Doubt::NotGiven { subvolume: name.clone(), bricks: 2, of: 2 }));
    let error = match open(missing_one) {
        Ok(file) => {
            let mut right = 0;
            for index in 0..20 {
                let mut buf = vec![0xee; SHARD];
                match file.read_shard(index, 0, &mut buf) {
                    Ok(_) => {
                        assert_eq!(buf, model[index as usize * SHARD..][..SHARD]);
                        right += 1;
                    }
                    Err(error) => assert!(error.to_string().contains(&name), "{error}"),
                }
            }
            assert!(right > 0);
            shard_error(bytes(&file).unwrap_err())
        }
        Err(error) => error,
    };
    assert!(matches!(error, ShardError::Unknown { ref missing, .. } if missing.len() == 2), "{error}");
}

#[test]
fn a_set_smaller_than_the_others_lacks_bricks() {
    let (built, model) = written(shape(2, 3));
    let found = topology(&built, &[0, 1, 2, 4]);
    assert_eq!(found.subvolumes.iter().map(|set| set.bricks.len()).collect::<Vec<_>>(), [3, 3]);
    let lacking = found.doubts().into_iter().filter(|doubt| matches!(doubt, Doubt::NotGiven { .. }));
    assert!(matches!(&lacking.collect::<Vec<_>>()[..], [Doubt::NotGiven { bricks: 2, of: 3, .. }]));
    let volume = Volume::open(found.clone(), &BrickMap::default(), OpenOptions::default()).unwrap();
    assert_eq!(volume.missing_bricks().len(), 2);
    assert!(volume.missing_bricks().iter().all(|missing| missing.why == "it was not given"));
    assert_eq!(bytes(&open(found).unwrap()).unwrap(), model);
}

#[test]
fn whom_a_counter_means_is_found_where_all_others_have_it() {
    for replicas in [2, 3] {
        let mut built = build(shape(1, replicas));
        built.trees.create_file("disk").unwrap();
        built.trees.write("disk", 0, &pattern(1, 3 * SHARD)).unwrap();
        built.trees.set_up(1, false);
        let model = pattern(2, 3 * SHARD);
        built.trees.write("disk", 0, &model).unwrap();
        built.trees.save().unwrap();
        let all: Vec<usize> = (0..replicas).collect();
        let found = topology(&built, &all);
        assert_eq!(found.volume, "gv1");
        assert_eq!(found.subvolumes[0].bricks[1].client.as_deref(), Some("gv1-client-1"));
        assert!(
            found.doubts().iter().all(|doubt| matches!(doubt, Doubt::Names { .. })),
            "{:?}",
            found.doubts()
        );
        assert_eq!(bytes(&open(found).unwrap()).unwrap(), model);
        // The stale brick alone can't know. One that blames a brick which is not here is an error, not a guess.
        let without: Vec<usize> = all.into_iter().filter(|brick| *brick != 1).collect();
        let file = open(topology(&built, &without));
        let error = file.map_err(std::io::Error::from).and_then(|file| bytes(&file)).unwrap_err();
        assert!(matches!(shard_error(error), ShardError::Unattributed { .. }));
    }
}

#[test]
fn an_arbiter_is_known_by_its_empty_files_and_is_never_read() {
    let (mut built, model) = written(Shape { arbiter: true, ..shape(2, 3) });
    let found = topology(&built, &[5, 4, 3, 2, 1, 0]);
    for set in &found.subvolumes {
        let arbiters: Vec<bool> = set.bricks.iter().map(|brick| brick.arbiter).collect();
        assert_eq!(arbiters, [true, false, false], "{set:?}");
    }
    assert_eq!(bytes(&open(found).unwrap()).unwrap(), model);
    // An empty copy is good if it is blamed by nobody; an arbiter's is none all the same.
    for shard in 0..20 {
        let path = built.trees.shard_path("disk", shard);
        for brick in [0, 3] {
            if built.path(brick, &path).exists() {
                built
                    .trees
                    .set_blame(brick + 2, brick, &path, stillpoint_testkit::volume::Change::Data, 1)
                    .unwrap();
            }
        }
    }
    built.trees.save().unwrap();
    let found = topology(&built, &[0, 2, 3, 5]);
    let failed = open(found).map_err(std::io::Error::from).and_then(|file| bytes(&file)).unwrap_err();
    assert!(matches!(shard_error(failed), ShardError::SplitBrain { .. }));
}

/// As while a set is being removed: no hash belongs to it, and its data is still there.
#[test]
fn bricks_without_a_range_are_put_together_by_their_files() {
    let (mut built, model) = written(shape(3, 2));
    for path in ["", ".shard"] {
        for brick in 0..6 {
            match brick {
                0 | 1 => built.trees.set_layout(brick, path, 0, 0x7fff_ffff).unwrap(),
                2 | 3 => built.trees.set_layout(brick, path, 0x8000_0000, u32::MAX).unwrap(),
                _ => built.trees.set_layout(brick, path, 0, 0).unwrap(),
            }
        }
    }
    built.trees.save().unwrap();
    let found = topology(&built, &[4, 0, 2, 5, 3, 1]);
    assert_eq!(found.subvolumes.iter().map(|set| set.bricks.len()).collect::<Vec<_>>(), [2, 2, 2], "{found}");
    let file = open(found).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(!file.findings().is_empty(), "most lie where they don't belong");
}

#[test]
fn what_bricks_tell_of_themselves_may_be_nonsense() {
    let (mut built, model) = written(shape(2, 2));
    // Names that are none, handles that are none, and a note of a file that is not there.
    let brick = built.trees.brick(0).to_owned();
    built.trees.set_xattr(0, "disk", "trusted.afr.", &[0; 12]).unwrap();
    built.trees.set_xattr(0, "", "trusted.afr.gv1-client-x", &[0; 12]).unwrap();
    built.trees.save().unwrap();
    std::fs::create_dir_all(brick.join(".glusterfs/indices/xattrop")).unwrap();
    std::fs::write(brick.join(".glusterfs/indices/xattrop/00000000-0000-4000-8000-000000000001"), "")
        .unwrap();
    std::fs::create_dir_all(brick.join(".glusterfs/00/00")).unwrap();
    std::os::unix::fs::symlink(
        "/etc/passwd",
        brick.join(".glusterfs/00/00/00000000-0000-4000-8000-000000000002"),
    )
    .unwrap();
    std::fs::write(brick.join(".glusterfs/00/00/10000000-0000-4000-8000-000000000003"), "").unwrap();
    std::fs::write(brick.join(".glusterfs/zz"), "").unwrap();
    std::fs::write(brick.join(".glusterfs/ab"), "").unwrap();
    let found = topology(&built, &[0, 1, 2, 3]);
    assert_eq!(found.volume, built.trees.id().to_string());
    assert_eq!(bytes(&open(found).unwrap()).unwrap(), model);
}

/// Which bricks are a set, of how many, and how many may be lost; their order shows only in what is decoded.
#[test]
fn dispersed_sets_are_found_with_places_for_bricks_that_were_not_given() {
    let (built, _) = written(Shape { redundancy: 1, ..shape(2, 3) });
    for (bricks, lacking) in
        [(&[5, 0, 3, 1, 4, 2][..], [0, 0]), (&[4, 0, 3, 1, 5], [0, 1]), (&[3, 2, 0], [1, 2])]
    {
        let found = topology(&built, bricks);
        assert!(
            found.subvolumes.iter().all(|set| set.kind == SubvolumeKind::Disperse { redundancy: 1 }),
            "{found}"
        );
        assert!(found.subvolumes.iter().all(|set| set.bricks.len() == 3), "{found}");
        let mut not_given: Vec<usize> = found
            .subvolumes
            .iter()
            .map(|set| set.bricks.iter().filter(|brick| !brick.name.is_given()).count())
            .collect();
        not_given.sort_unstable();
        assert_eq!(not_given, lacking, "{found}");
        let of_one_set = |set: &stillpoint_shard::Subvolume| {
            let given = set.bricks.iter().filter(|brick| brick.name.is_given());
            let halves: Vec<bool> =
                given.map(|brick| (0..3).any(|n| built.trees.brick(n) == brick.name.path)).collect();
            halves.windows(2).all(|pair| pair[0] == pair[1])
        };
        assert!(found.subvolumes.iter().all(of_one_set), "{found}");
        let orders = found.doubts().iter().filter(|doubt| matches!(doubt, Doubt::Order { .. })).count();
        assert_eq!(orders, 2);
    }
    // Half of the hashes belong to nobody given.
    let half = topology(&built, &[0, 1, 2]);
    assert!(
        half.doubts().iter().any(|doubt| matches!(doubt, Doubt::NotGiven { bricks: 3, of: 3, .. })),
        "{half}"
    );
}

/// As the root of a real dispersed volume of one subvolume is.
#[test]
fn a_directory_without_any_layout_is_known_where_all_of_the_shards_hashes_are() {
    for shape in [shape(1, 2), Shape { redundancy: 1, ..shape(1, 3) }] {
        let bricks = shape.replicas;
        let (mut built, model) = written(shape);
        for brick in 0..bricks {
            built.trees.remove_xattr(brick, "", "trusted.glusterfs.dht").unwrap();
        }
        built.trees.save().unwrap();
        let found = topology(&built, &(0..bricks).collect::<Vec<_>>());
        let volume = Volume::open(found, &BrickMap::default(), OpenOptions::default()).unwrap();
        assert!(bytes(&volume.open_file(&"disk".parse().unwrap()).unwrap()).unwrap() == model);
        let nothing = volume.open_file(&"nothing".parse().unwrap()).unwrap_err();
        assert!(matches!(nothing, ShardError::NotFound { .. }), "{nothing}");
        assert!(volume.walk("/").unwrap().all(|entry| entry.is_ok()));
    }
}

/// Adds a brick as `add-brick` leaves it: a volume's root, and nothing in it.
fn blank(built: &Built, name: &str) -> std::path::PathBuf {
    let dir = built.dir.path().join(name);
    std::fs::create_dir_all(dir.join(".glusterfs/00/00")).unwrap();
    let root = "00000000000000000000000000000001";
    let id = built.trees.id().simple();
    let text = format!("# file: {name}\ntrusted.gfid=0x{root}\ntrusted.glusterfs.volume-id=0x{id}\n");
    std::fs::write(built.dir.path().join(format!("{name}.getfattr")), text).unwrap();
    dir
}

/// The set that was added has no layout, no directory and no file: nothing is on it, and nothing else changes.
#[test]
fn bricks_that_were_added_and_hold_nothing_yet_are_a_set_of_their_own() {
    for (shape, size) in [
        (shape(2, 1), 1),
        (shape(2, 2), 2),
        (Shape { arbiter: true, ..shape(1, 3) }, 3),
        (Shape { redundancy: 1, ..shape(2, 3) }, 3),
    ] {
        let (mut built, _) = written(shape);
        built.trees.truncate("disk", 30 * SHARD as u64).unwrap();
        built.trees.save().unwrap();
        let whole =
            bytes(&open(topology(&built, &(0..built.trees.brick_count()).collect::<Vec<_>>())).unwrap());
        let mut bricks: Vec<_> =
            (0..built.trees.brick_count()).map(|n| built.trees.brick(n).to_owned()).collect();
        let sets = bricks.len() / size;
        for number in 0..size {
            bricks.insert(number, blank(&built, &format!("new{number}")));
        }
        let found = Topology::from_bricks(&bricks).unwrap();
        assert_eq!((found.subvolumes.len(), found.bricks().count()), (sets + 1, bricks.len()), "{found}");
        assert!(!found.doubts().iter().any(|doubt| matches!(doubt, Doubt::NotGiven { .. })), "{found}");
        let volume = Volume::open(found, &BrickMap::default(), OpenOptions::default()).unwrap();
        let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
        assert_eq!(bytes(&file).unwrap(), whole.unwrap());
        assert!(file.findings().is_empty(), "{:?}", file.findings());
        assert!(matches!(volume.open_file(&"nothing".parse().unwrap()), Err(ShardError::NotFound { .. })));
        assert!(volume.walk("/").unwrap().all(|entry| entry.is_ok()));

        // Half of a set that was added shows as that.
        if size > 1 {
            let found = Topology::from_bricks(&bricks[1..]).unwrap();
            let lacks = |doubt: &Doubt| matches!(doubt, Doubt::NotGiven { bricks: 1, of, .. } if *of == size);
            assert!(found.doubts().iter().any(lacks), "{found}");
        }
    }
}

/// The layout is fixed, and nothing was moved to the set yet.
#[test]
fn a_dispersed_set_without_files_needs_no_order() {
    let mut built = build(Shape { redundancy: 1, ..shape(2, 3) });
    let on_first: Vec<String> = (0..40)
        .map(|n| format!("file{n}"))
        .filter(|name| built.trees.hashed_subvolume("", name).unwrap() == 0)
        .collect();
    for (seed, name) in on_first.iter().enumerate() {
        built.trees.create_file(name).unwrap();
        built.trees.write(name, 0, &pattern(seed as u64, 100 + seed)).unwrap();
    }
    built.trees.save().unwrap();
    let found = topology(&built, &[4, 0, 3, 2, 5, 1]);
    let volume = Volume::open(found, &BrickMap::default(), OpenOptions::default()).unwrap();
    for (seed, name) in on_first.iter().enumerate() {
        let file = volume.open_file(&name.parse().unwrap()).unwrap();
        assert_eq!(bytes(&file).unwrap(), pattern(seed as u64, 100 + seed));
    }
}
