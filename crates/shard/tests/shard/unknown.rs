//! What is not known is never read as zeros.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use stillpoint_shard::audit::{AuditEvent, AuditFinding, AuditOptions, Problem, Severity};
use stillpoint_shard::{BrickMap, OpenOptions, ShardError, Topology, Volume};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, bytes, pattern, shard_error};

const SHARD: u64 = 4096;

/// A sparse file over all subvolumes: shards 0, 1, 4, 5, 8, 9, … are there, of 24 and a bit.
fn sparse(subvolumes: usize, replicas: usize, arbiter: bool) -> (Built, Vec<u8>) {
    sparse_in(Shape { subvolumes, replicas, arbiter, shard_size: SHARD, ..Shape::default() })
}

fn sparse_in(shape: Shape) -> (Built, Vec<u8>) {
    let mut built = build(shape);
    let size = 24 * SHARD + 100;
    let mut model = vec![0; size as usize];
    built.trees.create_file("disk").unwrap();
    built.trees.truncate("disk", size).unwrap();
    for index in (0..24).filter(|index| index % 4 < 2) {
        // Some shards are shorter than they could be.
        let piece = pattern(index, if index % 4 == 1 { 700 } else { SHARD as usize });
        let at = index * SHARD;
        built.trees.write("disk", at, &piece).unwrap();
        model[at as usize..][..piece.len()].copy_from_slice(&piece);
    }
    (built, model)
}

/// Reads every byte by itself in pieces, and checks each against the model: what is read is right.
fn check_what_can_be_read(built: &Built, model: &[u8], missing: &[usize]) -> Result<usize, ShardError> {
    let file = built.open("disk", missing)?;
    assert_eq!(file.size(), model.len() as u64);
    let (mut refused, mut at) = (0, 0);
    while at < model.len() {
        let mut piece = vec![0xee; 512.min(model.len() - at)];
        match file.read_exact_at(at as u64, &mut piece) {
            Ok(()) => assert_eq!(piece, model[at..at + piece.len()], "at {at} without {missing:?}"),
            Err(error) => {
                refused += 1;
                let kind = file.next_extent(at as u64).unwrap().kind;
                assert_eq!(kind, ExtentKind::Unknown, "at {at} without {missing:?}");
                let ShardError::Unknown { missing: named, .. } = shard_error(error) else {
                    panic!("another error at {at} without {missing:?}")
                };
                assert!(!named.is_empty());
                for brick in named {
                    assert!(missing.iter().any(|number| built.name(*number) == brick.brick), "{brick}");
                }
            }
        }
        at += piece.len();
    }
    Ok(refused)
}

/// Goes through every subset of missing bricks: bytes are right or refused, and nothing is refused as long as
/// each subvolume has a brick with data, or enough fragments.
fn every_subset(subvolumes: usize, replicas: usize, redundancy: usize) {
    let shape = Shape { subvolumes, replicas, redundancy, shard_size: SHARD, ..Shape::default() };
    let (built, model) = sparse_in(shape);
    let count = built.trees.brick_count();
    for set in 0..1_usize << count {
        let missing: Vec<usize> = (0..count).filter(|brick| set >> brick & 1 == 1).collect();
        let readable = (0..subvolumes).all(|subvolume| {
            let here = built.trees.members(subvolume).filter(|brick| !missing.contains(brick));
            here.count() >= built.trees.needed()
        });
        match check_what_can_be_read(&built, &model, &missing) {
            Ok(refused) => assert_eq!(refused == 0, readable, "without {missing:?}"),
            Err(error) => {
                assert!(!readable, "without {missing:?}: {error}");
                assert!(
                    matches!(error, ShardError::Unknown { .. } | ShardError::NoBricks { .. }),
                    "without {missing:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn distributed_every_subset_of_bricks_reads_right_or_is_refused() {
    every_subset(3, 1, 0);
}

#[test]
fn replicated_every_subset_of_bricks_reads_right_or_is_refused() {
    every_subset(1, 3, 0);
}

#[test]
fn distributed_replicated_every_subset_of_bricks_reads_right_or_is_refused() {
    every_subset(2, 2, 0);
}

#[test]
fn dispersed_every_subset_of_bricks_reads_right_or_is_refused() {
    every_subset(1, 6, 2);
}

#[test]
fn distributed_dispersed_every_subset_of_bricks_reads_right_or_is_refused() {
    every_subset(2, 3, 1);
}

/// Without the bricks with data, an arbiter tells names and sizes; reading data is split from that.
#[test]
fn an_arbiter_alone_proves_holes_but_never_supplies_data() {
    let (built, model) = sparse(1, 3, true);
    for missing in [&[][..], &[0], &[1], &[2]] {
        assert_eq!(bytes(&built.open("disk", missing).unwrap()).unwrap(), model, "without {missing:?}");
    }
    let file = built.open("disk", &[0, 1]).unwrap();
    assert_eq!(file.size(), model.len() as u64);
    let read = |at: u64| {
        let mut buf = [0xee; 16];
        file.read_exact_at(at, &mut buf).map(|()| buf).map_err(shard_error)
    };
    // Shards 2 and 3 are absent, and the arbiter is a witness of that.
    assert_eq!(read(2 * SHARD).unwrap(), [0; 16]);
    for at in [0, SHARD, 4 * SHARD, SHARD + 4000] {
        assert!(read(at).is_err(), "at {at}");
        assert_eq!(file.next_extent(at).unwrap().kind, ExtentKind::Unknown);
    }
    assert_eq!(file.allocated(), None);
}

#[test]
fn a_whole_subvolume_missing_makes_absent_shards_unknown_by_name() {
    let (built, _) = sparse(2, 2, false);
    let base = built.trees.shard_subvolume("disk", 0).unwrap();
    let gone: Vec<usize> = built.trees.members(1 - base).collect();
    let file = built.open("disk", &gone).unwrap();
    let mut buf = vec![0; file.size() as usize];
    let error = file.read_exact_at(0, &mut buf).unwrap_err();
    for brick in &gone {
        assert!(error.to_string().contains(&built.trees.brick_name(*brick)), "{error}");
    }
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(extents(&file).any(|extent| extent.unwrap().kind == ExtentKind::Unknown));
}

#[test]
fn a_file_that_may_be_on_a_missing_subvolume_is_not_called_absent() {
    let (built, _) = sparse(2, 2, false);
    assert!(matches!(built.open("none", &[]), Err(ShardError::NotFound { .. })));
    assert!(matches!(built.open("none", &[0, 2]), Err(ShardError::NotFound { .. })));
    for gone in [[0, 1], [2, 3]] {
        assert!(matches!(built.open("none", &gone), Err(ShardError::Unknown { .. })), "without {gone:?}");
    }
}

#[test]
fn extents_tile_the_file_and_agree_with_its_bytes() {
    let (built, model) = sparse(2, 2, false);
    let file = built.open("disk", &[]).unwrap();
    let mut at = 0;
    let mut holes = 0;
    for extent in extents(&file) {
        let extent = extent.unwrap();
        assert_eq!(extent.offset, at);
        at = extent.end();
        assert_ne!(extent.kind, ExtentKind::Unknown);
        if extent.kind == ExtentKind::Hole {
            holes += extent.len;
            assert!(model[extent.offset as usize..at as usize].iter().all(|&byte| byte == 0), "{extent:?}");
        }
    }
    assert_eq!(at, file.len());
    // Two shards in four are absent, the last is short, and the second is shorter than a shard.
    assert!(holes >= 12 * SHARD, "{holes}");
    assert!(file.next_extent(file.len()).is_err());
    let stored: u64 = (0..file.shard_count())
        .filter_map(|index| match file.shard(index).unwrap() {
            stillpoint_shard::ShardState::Present(shard) => Some(shard.chosen().unwrap().allocated),
            _ => None,
        })
        .sum();
    assert_eq!(file.allocated(), Some(stored));
}

/// Every shape that a brick can be a part of.
fn shapes() -> Vec<Shape> {
    let shape = |subvolumes, replicas, redundancy| Shape {
        subvolumes,
        replicas,
        redundancy,
        shard_size: SHARD,
        ..Shape::default()
    };
    vec![shape(3, 1, 0), shape(1, 2, 0), shape(2, 2, 0), shape(1, 3, 1), shape(2, 3, 1)]
}

/// What is read is right or refused, and all of it is not there: by the description, and by nothing but bricks.
fn holes_are_not_invented(built: &Built, model: &[u8], missing: &[usize], lost: &str) {
    let bricks = (0..built.trees.brick_count()).filter(|brick| !missing.contains(brick));
    let bricks: Vec<_> = bricks.map(|brick| built.trees.brick(brick).to_owned()).collect();
    let described = Volume::open(built.topology(), &built.map(missing), OpenOptions::default());
    let alone = Topology::from_bricks(&bricks)
        .and_then(|topology| Volume::open(topology, &BrickMap::default(), OpenOptions::default()));
    // Bricks alone may be refused altogether.
    for volume in [Some(described.unwrap()), alone.ok()].into_iter().flatten() {
        let Ok(file) = volume.open_file(&"disk".parse().unwrap()) else { continue };
        let mut refused = 0;
        for at in (0..model.len()).step_by(512) {
            let mut piece = vec![0xee; 512.min(model.len() - at)];
            match file.read_exact_at(at as u64, &mut piece) {
                Ok(()) => assert_eq!(piece, model[at..at + piece.len()], "{lost}: at {at}"),
                Err(error) => {
                    refused += 1;
                    assert!(matches!(shard_error(error), ShardError::Unknown { .. }), "{lost}");
                    let kind = file.next_extent(at as u64).unwrap().kind;
                    assert_eq!(kind, ExtentKind::Unknown, "{lost}: at {at}");
                }
            }
        }
        assert!(refused > 0 && file.allocated().is_none(), "{lost}: nothing was refused");
        let mut findings = Vec::new();
        let mut each = |event: AuditEvent<'_>| {
            if let AuditEvent::Finding(finding) = event {
                findings.push(finding.clone());
            }
            ControlFlow::Continue(())
        };
        let summary = volume.audit(&"/".parse().unwrap(), &AuditOptions::default(), &mut each).unwrap();
        let unknown =
            |problem: &Problem| matches!(problem, Problem::ShardsUnknown { .. } | Problem::Unknown { .. });
        let told = |finding: &AuditFinding| {
            finding.path.as_deref() == Some(Path::new("disk")) && unknown(&finding.problem)
        };
        assert!(findings.iter().any(told), "{lost}: {findings:#?}");
        assert_eq!(summary.worst(), Some(Severity::Lost), "{lost}: {findings:#?}");
    }
}

fn lose(built: &Built, brick: usize, name: &str) {
    std::fs::remove_dir_all(built.path(brick, name)).unwrap();
}

#[test]
fn a_subvolume_that_lost_its_directory_of_shards_proves_no_hole() {
    for shape in shapes() {
        for with_handle in [true, false] {
            let (subvolumes, replicas) = (shape.subvolumes, shape.replicas);
            let (mut built, model) = sparse_in(shape.clone());
            // Counts what is allocated, as each write to a real volume does.
            built.trees.truncate("disk", model.len() as u64).unwrap();
            for brick in 0..replicas {
                lose(&built, brick, ".shard");
                if !with_handle {
                    lose(&built, brick, ".glusterfs/be");
                }
            }
            let lost = format!("{subvolumes} x {replicas}, handle {with_handle}");
            holes_are_not_invented(&built, &model, &[], &lost);
        }
    }
}

#[test]
fn trees_that_were_copied_without_dot_names_prove_no_hole() {
    for shape in shapes() {
        let lost = format!("{} x {} without dot names", shape.subvolumes, shape.replicas);
        let (built, model) = sparse_in(shape);
        for brick in 0..built.trees.brick_count() {
            lose(&built, brick, ".shard");
            lose(&built, brick, ".glusterfs");
        }
        holes_are_not_invented(&built, &model, &[], &lost);
    }
}

#[test]
fn a_replica_alone_that_lost_its_directory_of_shards_proves_no_hole() {
    for subvolumes in [1, 2] {
        let (built, model) = sparse(subvolumes, 2, false);
        lose(&built, 1, ".shard");
        holes_are_not_invented(&built, &model, &[0], "one replica alone");
        // The other one has them all.
        assert_eq!(bytes(&built.open("disk", &[]).unwrap()).unwrap(), model);
    }
}

/// Nothing was ever in `.shard`, and so nobody made it.
#[test]
fn a_volume_that_never_had_a_shard_is_read_whole() {
    for shape in shapes() {
        let mut built = build(shape);
        let model = [pattern(1, 3000), vec![0; 9 * SHARD as usize]].concat();
        built.trees.create_file("disk").unwrap();
        built.trees.write("disk", 0, &model[..3000]).unwrap();
        built.trees.truncate("disk", model.len() as u64).unwrap();
        for brick in 0..built.trees.brick_count() {
            lose(&built, brick, ".shard");
            lose(&built, brick, ".glusterfs/be");
        }
        assert_eq!(bytes(&built.open("disk", &[]).unwrap()).unwrap(), model);
    }
}
