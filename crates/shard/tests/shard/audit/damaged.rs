//! Copies that are damaged, behind, or not of one mind.

use stillpoint_shard::audit::{Problem, Severity};
use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
use stillpoint_testkit::volume::{Change, Shape};

use super::super::support::{Built, pattern};
use super::{
    SHARD, audit, audit_of, dispersed, gfid, handle, holders, only, replicated, set_len, take, with_disk,
};

#[test]
fn a_missed_write_needs_a_heal_and_names_the_brick_and_the_shards() {
    for (replicas, arbiter) in [(2, false), (3, false), (3, true)] {
        let mut built = with_disk(Shape { replicas, arbiter, ..Shape::default() });
        built.trees.set_up(0, false);
        built.trees.write("vms/disk", SHARD as u64, &pattern(2, 2 * SHARD)).unwrap();
        built.trees.set_up(0, true);
        let (findings, summary) = audit(&built);
        let heal = only(&findings, |problem| matches!(problem, Problem::NeedsHeal { .. }));
        let Problem::NeedsHeal { bricks, changes } = &heal.problem else { unreachable!() };
        assert_eq!((bricks.as_slice(), changes.as_slice()), (&[built.name(0)][..], &["data"][..]));
        assert_eq!((heal.shards[0].first, heal.shards[0].last, heal.shards.len()), (1, 2, 1));
        assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Attention)));
        assert!(heal.to_string().starts_with("vms/disk, shards 1-2: "), "{heal}");
    }
}

#[test]
fn what_a_brick_missed_of_names_is_told_of_the_directory_and_of_each_file() {
    let mut built = replicated(2);
    built.trees.set_up(1, false);
    built.trees.create_file("vms/new").unwrap();
    built.trees.write("vms/new", 0, &pattern(2, 3 * SHARD)).unwrap();
    built.trees.set_up(1, true);
    let (findings, _) = audit(&built);
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let missing = findings.iter().filter(|finding| matches!(finding.problem, Problem::CopyMissing { .. }));
    let missing: Vec<_> =
        missing.map(|finding| (finding.path.clone().unwrap(), finding.shards.clone())).collect();
    assert_eq!(missing.len(), 1, "{text:#?}");
    assert_eq!((missing[0].1[0].first, missing[0].1[0].last), (0, 2), "{text:#?}");
    for dir in ["vms", ".shard"] {
        assert!(
            text.iter().any(|text| text.starts_with(&format!("{dir}: ")) && text.contains("names")),
            "{text:#?}"
        );
    }
    // A deletion that it missed.
    let built = replicated(2);
    take(&built, 0, "vms/disk");
    let mut built = built;
    built.trees.set_blame(0, 1, "vms", Change::Entry, 1).unwrap();
    let (findings, _) = audit(&built);
    only(
        &findings,
        |problem| matches!(problem, Problem::StaleName { bricks } if bricks[..] == [built.name(1)]),
    );
}

#[test]
fn split_brains_are_told_whatever_they_are_of() {
    for (path, change, word) in [
        ("vms/disk", Change::Data, "data"),
        ("vms/disk", Change::Metadata, "metadata"),
        ("vms", Change::Entry, "names"),
    ] {
        let mut built = replicated(2);
        built.trees.set_blame(0, 1, path, change, 1).unwrap();
        built.trees.set_blame(1, 0, path, change, 1).unwrap();
        let (findings, summary) = audit(&built);
        let split = only(&findings, |problem| matches!(problem, Problem::SplitBrain { .. }));
        assert!(matches!(&split.problem, Problem::SplitBrain { change, .. } if *change == word), "{split}");
        // Nobody is behind, and no copy is good.
        assert!(
            !findings.iter().any(|finding| matches!(finding.problem, Problem::NeedsHeal { .. })),
            "{findings:#?}"
        );
        assert!(summary.worst() >= Some(Severity::AtRisk));
    }
}

#[test]
fn a_write_that_was_not_finished_is_told() {
    let mut built = replicated(2);
    for brick in 0..2 {
        let value = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        built.trees.set_xattr(brick, "vms/disk", "trusted.afr.dirty", &value).unwrap();
    }
    only(&audit(&built).0, |problem| matches!(problem, Problem::Unfinished { bricks } if bricks.len() == 2));
    let mut built = dispersed(3, 1);
    let shard = built.trees.shard_path("vms/disk", 2);
    for brick in 0..3 {
        built.trees.set_xattr(brick, &shard, "trusted.ec.dirty", &[1_u64.to_be_bytes(); 2].concat()).unwrap();
    }
    only(&audit(&built).0, |problem| matches!(problem, Problem::Unfinished { bricks } if bricks.len() == 3));
}

#[test]
fn counters_of_bricks_that_the_description_does_not_tell_are_told() {
    let mut built = replicated(2);
    built.trees.set_blame(0, 1, "vms/disk", Change::Data, 1).unwrap();
    built.trees.save().unwrap();
    let topology = Topology::from_volume_info_xml(&built.trees.volume_info_xml(), None).unwrap();
    let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap();
    only(&audit_of(&volume, "/").0, |problem| matches!(problem, Problem::Unattributed { .. }));
}

#[test]
fn a_lost_copy_is_told_and_one_that_can_not_be_used() {
    let built = replicated(3);
    let shard = built.trees.shard_path("vms/disk", 3);
    take(&built, 1, &shard);
    let (findings, summary) = audit(&built);
    only(
        &findings,
        |problem| matches!(problem, Problem::CopyMissing { bricks } if bricks[..] == [built.name(1)]),
    );
    assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Attention)));
    let mut built = replicated(2);
    built.trees.remove_xattr(1, "vms/disk", "trusted.gfid").unwrap();
    let bad =
        |problem: &Problem| matches!(problem, Problem::BadCopy { why, .. } if why.contains("trusted.gfid"));
    only(&audit(&built).0, bad);
}

#[test]
fn different_gfids_of_one_name_are_told_of_files_shards_and_directories() {
    for path in ["vms/disk", "vms", ".shard/"] {
        let mut built = replicated(2);
        let path = if path == ".shard/" { built.trees.shard_path("vms/disk", 1) } else { path.to_owned() };
        built.trees.set_xattr(1, &path, "trusted.gfid", &[9; 16]).unwrap();
        let (findings, summary) = audit(&built);
        only(&findings, |problem| matches!(problem, Problem::GfidMismatch { copies } if copies.len() == 2));
        assert!(summary.worst() >= Some(Severity::AtRisk));
    }
    // One fragment of another file.
    let mut built = dispersed(6, 2);
    built.trees.set_xattr(4, "vms/disk", "trusted.gfid", &[9; 16]).unwrap();
    only(
        &audit(&built).0,
        |problem| matches!(problem, Problem::GfidMismatch { copies } if copies.len() == 6),
    );
}

#[test]
fn handles_that_are_missing_or_of_another_file_are_told() {
    let built = replicated(2);
    std::fs::remove_file(handle(&built, 1, "vms/disk")).unwrap();
    let (findings, summary) = audit(&built);
    only(
        &findings,
        |problem| matches!(problem, Problem::HandleMissing { bricks } if bricks[..] == [built.name(1)]),
    );
    assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Attention)));
    let built = replicated(2);
    let path = handle(&built, 0, "vms/disk");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, pattern(1, SHARD)).unwrap();
    only(&audit(&built).0, |problem| matches!(problem, Problem::HandleOther { .. }));
    let built = replicated(2);
    std::fs::remove_file(handle(&built, 0, "vms")).unwrap();
    let found = audit(&built).0;
    assert_eq!(
        only(&found, |problem| matches!(problem, Problem::HandleMissing { .. })).path,
        Some("vms".into())
    );
}

#[test]
fn good_copies_that_differ_are_told_with_where_and_who_is_off() {
    for replicas in [2, 3] {
        let built = replicated(replicas);
        let shard = built.trees.shard_path("vms/disk", 2);
        let mut bytes = std::fs::read(built.path(1, &shard)).unwrap();
        bytes[1000..1010].fill(0);
        std::fs::write(built.path(1, &shard), bytes).unwrap();
        let (findings, _) = audit(&built);
        let found = only(&findings, |problem| matches!(problem, Problem::Diverged { .. }));
        let Problem::Diverged { bricks, off, offset, length } = &found.problem else { unreachable!() };
        assert_eq!((bricks.len(), *offset, *length), (replicas, 1000, 10));
        assert_eq!(off.as_slice(), if replicas == 3 { vec![built.name(1)] } else { vec![] });
        assert_eq!((findings.len(), found.shards[0].first), (1, 2));
        // Without looking at contents there is nothing to see.
        let summary =
            built.volume(&[]).unwrap().audit(&"/".parse().unwrap(), &Default::default(), &mut |_| {
                std::ops::ControlFlow::Continue(())
            });
        assert!(summary.unwrap().is_clean());
    }
}

#[test]
fn a_fragment_that_rotted_is_told_and_which_where_two_are_spare() {
    for (replicas, redundancy, known) in [(3, 1, false), (6, 2, true)] {
        let built = dispersed(replicas, redundancy);
        let shard = built.trees.shard_path("vms/disk", 1);
        let mut bytes = std::fs::read(built.path(1, &shard)).unwrap();
        bytes[700] ^= 0x40;
        std::fs::write(built.path(1, &shard), bytes).unwrap();
        let (findings, summary) = audit(&built);
        let found = only(&findings, |problem| matches!(problem, Problem::Diverged { .. }));
        let Problem::Diverged { bricks, off, offset, .. } = &found.problem else { unreachable!() };
        assert_eq!(bricks.len(), replicas);
        let stripe = ((replicas - redundancy) * 512) as u64;
        assert_eq!(offset / stripe, 1, "the second chunk of a fragment is of the second stripe");
        assert_eq!(off.as_slice(), if known { vec![built.name(1)] } else { vec![] });
        assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::AtRisk)));
    }
}

#[test]
fn fragments_that_are_behind_need_a_heal_and_too_few_are_lost() {
    let mut built = dispersed(6, 2);
    built.trees.set_up(5, false);
    built.trees.write("vms/disk", 0, &pattern(2, 100)).unwrap();
    built.trees.set_up(5, true);
    let (findings, _) = audit(&built);
    only(
        &findings,
        |problem| matches!(problem, Problem::NeedsHeal { bricks, .. } if bricks[..] == [built.name(5)]),
    );
    let built = dispersed(6, 2);
    let shard = built.trees.shard_path("vms/disk", 4);
    for brick in [0, 2, 3] {
        set_len(&built.path(brick, &shard), 0);
    }
    let (findings, summary) = audit(&built);
    let few =
        only(&findings, |problem| matches!(problem, Problem::TooFewFragments { needed: 4, agreeing: 3 }));
    assert_eq!((few.shards[0].first, summary.worst()), (4, Some(Severity::Lost)));
}

#[test]
fn lengths_and_sizes_that_differ_are_told() {
    let built = replicated(2);
    set_len(&built.path(1, &built.trees.shard_path("vms/disk", 1)), 100);
    let lengths =
        |problem: &Problem| matches!(problem, Problem::LengthsDiffer { lengths } if lengths == &[4096, 100]);
    only(&audit(&built).0, lengths);
    let mut built = replicated(2);
    let mut size = built.trees.xattr(0, "vms/disk", "trusted.glusterfs.shard.file-size").unwrap().unwrap();
    size[7] = size[7].wrapping_add(1);
    built.trees.set_xattr(1, "vms/disk", "trusted.glusterfs.shard.file-size", &size).unwrap();
    only(&audit(&built).0, |problem| matches!(problem, Problem::SizesDiffer { .. }));
}

/// Cuts shards of the disk, the base as number 0, to nothing.
fn emptied(built: &Built, shards: std::ops::Range<u64>) {
    for index in shards {
        let path = built.trees.shard_path("vms/disk", index);
        for brick in holders(built, &path) {
            set_len(&built.path(brick, &path), 0);
        }
    }
}

#[test]
fn shards_that_replication_left_empty_are_told_by_the_count_of_blocks() {
    let built = replicated(2);
    emptied(&built, 0..5);
    let (findings, summary) = audit(&built);
    only(&findings, |problem| matches!(problem, Problem::AllEmpty { size: 20480, .. }));
    assert_eq!(summary.worst(), Some(Severity::AtRisk));
    let built = replicated(2);
    emptied(&built, 2..4);
    let (findings, summary) = audit(&built);
    only(&findings, |problem| matches!(problem, Problem::EmptyShards { shards: 2, .. }));
    assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Attention)));
    // Shards that reading holes through a mount made.
    let mut built = replicated(2);
    built.trees.truncate("vms/disk", 30 * SHARD as u64).unwrap();
    for index in 5..9 {
        let at = index * SHARD as u64;
        built.trees.write("vms/disk", at, &[1]).unwrap();
        emptied(&built, index..index + 1);
    }
    assert!(audit(&built).1.is_clean());
    let mut built = replicated(2);
    for brick in 0..2 {
        let mut size =
            built.trees.xattr(brick, "vms/disk", "trusted.glusterfs.shard.file-size").unwrap().unwrap();
        size[20] = 1;
        built.trees.set_xattr(brick, "vms/disk", "trusted.glusterfs.shard.file-size", &size).unwrap();
    }
    // More than the file can hold: nothing is made of it, an empty shard or none.
    for emptied_shards in [0..0, 3..4] {
        emptied(&built, emptied_shards);
        let (findings, summary) = audit(&built);
        only(&findings, |problem| matches!(problem, Problem::FewBlocks { .. }));
        assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Harmless)));
    }
}

#[test]
fn shards_past_the_end_and_longer_than_a_shard_are_told() {
    let mut built = replicated(1);
    let id = gfid(&built, 0, "vms/disk");
    built.trees.stray_shard(0, &format!("{id}.100"), b"past").unwrap();
    built.trees.stray_shard(0, &format!("{id}.7"), b"past").unwrap();
    let past =
        |problem: &Problem| matches!(problem, Problem::PastTheEnd { size: 20480, shards: 2, last: 100 });
    only(&audit(&built).0, past);
    let built = replicated(1);
    set_len(&built.path(0, &built.trees.shard_path("vms/disk", 3)), 5000);
    only(&audit(&built).0, |problem| matches!(problem, Problem::TooLong { length: 5000 }));
}

#[test]
fn xattrs_that_are_missing_are_told() {
    let (block, size) = ("trusted.glusterfs.shard.block-size", "trusted.glusterfs.shard.file-size");
    let mut built = replicated(1);
    built.trees.remove_xattr(0, "vms/disk", size).unwrap();
    only(&audit(&built).0, |problem| matches!(problem, Problem::BadXattr { xattr, .. } if xattr == size));
    built.trees.remove_xattr(0, "vms/disk", block).unwrap();
    only(&audit(&built).0, |problem| matches!(problem, Problem::ShardSizeMissing { shards: 4 }));
    let mut built = replicated(1);
    built.trees.remove_xattr(0, "vms/disk", block).unwrap();
    only(&audit(&built).0, |problem| matches!(problem, Problem::BadXattr { xattr, .. } if xattr == block));
}
