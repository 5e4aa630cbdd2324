//! Volumes in which nothing is wrong.

use std::ops::ControlFlow;

use stillpoint_shard::ShardError;
use stillpoint_shard::audit::AuditOptions;
use stillpoint_testkit::volume::Shape;

use super::super::support::{Built, build, pattern, shape_of};
use super::{SHARD, audit, audit_of, distributed, replicated};

fn shapes() -> Vec<Shape> {
    [
        (1, 1, 0, false),
        (3, 1, 0, false),
        (1, 2, 0, false),
        (2, 2, 0, false),
        (2, 3, 0, false),
        (2, 3, 0, true),
        (1, 3, 1, false),
        (2, 6, 2, false),
    ]
    .map(|kind| shape_of(kind, SHARD as u64))
    .to_vec()
}

/// Files of all sizes and histories.
fn filled(shape: Shape) -> Built {
    let mut built = build(shape);
    let trees = &mut built.trees;
    for dir in ["vms", "vms/a", "empty"] {
        trees.create_directory(dir).unwrap();
    }
    for (name, size) in [("vms/a/disk", 5 * SHARD), ("vms/one", 1), ("vms/none", 0), ("exact", 2 * SHARD)] {
        trees.create_file(name).unwrap();
        trees.write(name, 0, &pattern(size as u64, size)).unwrap();
    }
    trees.create_file("sparse").unwrap();
    trees.write("sparse", 6 * SHARD as u64 + 9, &[7; 100]).unwrap();
    trees.create_file("longer").unwrap();
    trees.truncate("longer", 1 << 40).unwrap();
    trees.create_file("cut").unwrap();
    trees.write("cut", 0, &pattern(9, 4 * SHARD)).unwrap();
    trees.truncate("cut", SHARD as u64 + 10).unwrap();
    trees.create_plain_file("plain").unwrap();
    trees.write("plain", 0, &pattern(3, 3 * SHARD)).unwrap();
    built
}

#[test]
fn a_whole_volume_of_any_type_is_clean_and_all_of_it_is_compared() {
    for shape in shapes() {
        let one_copy = shape.replicas == 1;
        let built = filled(shape);
        let (findings, summary) = audit(&built);
        assert!(findings.is_empty(), "{:?}: {findings:#?}", built.trees.shape());
        assert!(summary.is_clean(), "{summary:#?}");
        assert_eq!((summary.files, summary.sharded_files, summary.shards), (8, 7, 7), "{summary:#?}");
        // The root, `.shard`, and three others.
        assert_eq!(summary.directories, 5);
        let (compared, alone) = if one_copy { (0, 15) } else { (15, 0) };
        assert_eq!((summary.compared, summary.not_comparable), (compared, alone), "{summary:#?}");
        assert_eq!(summary.bytes_compared > 0, !one_copy);
    }
}

#[test]
fn what_is_missing_is_said_and_a_replica_less_is_no_finding() {
    let built = filled(Shape { subvolumes: 2, replicas: 2, shard_size: SHARD as u64, ..Shape::default() });
    let (findings, summary) = audit_of(&built.volume(&[1, 2]).unwrap(), "/");
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(!summary.is_clean() && !summary.is_whole());
    assert_eq!(summary.not_looked_at_count, 2, "{summary:#?}");
    let name = built.name(1).to_string();
    assert!(summary.not_looked_at.iter().any(|what| what.contains(&name)), "{summary:#?}");
    assert_eq!(summary.not_comparable, 15);
}

#[test]
fn part_of_a_volume_is_audited_alone() {
    let built = filled(Shape { subvolumes: 2, shard_size: SHARD as u64, ..Shape::default() });
    let volume = built.volume(&[]).unwrap();
    let counts = |path: &str| {
        let (findings, summary) = audit_of(&volume, path);
        assert!(findings.is_empty() && summary.is_clean(), "{path}: {findings:#?} {summary:#?}");
        (summary.directories, summary.files, summary.shards)
    };
    assert_eq!(counts("vms"), (2, 3, 4));
    assert_eq!(counts("/vms/a/disk"), (0, 1, 4));
    assert_eq!(counts("empty"), (1, 0, 0));
    let gfid = volume.entry(&"cut".parse().unwrap()).unwrap().gfid.unwrap();
    assert_eq!(counts(&format!("gfid:{gfid}")), (0, 1, 1));
    for none in ["nothing", "vms/nothing", "gfid:8288bb2d-9cb3-4e0e-ac63-0cd006357ddc"] {
        let audited = volume
            .audit(&none.parse().unwrap(), &AuditOptions::default(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(audited, Err(ShardError::NotFound { .. })), "{none}");
    }
}

#[test]
fn a_second_name_of_a_file_is_no_finding_and_its_shards_count_once() {
    let mut built = distributed(1);
    std::fs::hard_link(built.path(0, "vms/disk"), built.path(0, "again")).unwrap();
    for name in ["trusted.gfid", "trusted.glusterfs.shard.block-size", "trusted.glusterfs.shard.file-size"] {
        let value = built.trees.xattr(0, "vms/disk", name).unwrap().unwrap();
        built.trees.set_xattr(0, "again", name, &value).unwrap();
    }
    let (findings, summary) = audit(&built);
    assert!(summary.is_clean(), "{findings:#?}");
    assert_eq!((summary.files, summary.shards), (2, 4));
}

#[test]
fn a_root_that_was_never_laid_out_is_in_order() {
    let mut built = super::dispersed(3, 1);
    for brick in 0..3 {
        built.trees.remove_xattr(brick, "", "trusted.glusterfs.dht").unwrap();
    }
    let (findings, summary) = audit(&built);
    assert!(summary.is_clean(), "{findings:#?}");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let mut built = replicated(2);
    built.trees.stray_shard(0, "stranger", b"x").unwrap();
    let volume = built.volume(&[]).unwrap();
    let mut told = 0;
    let summary = volume
        .audit(&"/".parse().unwrap(), &super::options(), &mut |_| {
            told += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert!(summary.interrupted && !summary.is_whole() && !summary.is_clean());
    assert_eq!(told, 1);
}
