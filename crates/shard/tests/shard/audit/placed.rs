//! What lies where it should not, leads nowhere, or belongs to nobody.

use stillpoint_shard::audit::{Problem, Severity};
use stillpoint_testkit::volume::Shape;

use super::super::support::Built;
use super::{audit, audit_of, distributed, gfid, handle, holders, only, replicated, take, with_disk};

const MARKED: &str = ".shard/.remove_me";

fn mark_removed(built: &Built, brick: usize, id: uuid::Uuid) {
    std::fs::create_dir_all(built.path(brick, MARKED)).unwrap();
    std::fs::write(built.path(brick, MARKED).join(id.to_string()), b"").unwrap();
}

#[test]
fn shards_without_a_file_are_orphans_unless_a_handle_or_a_deletion_tells_of_it() {
    let bytes = 4 * 4096;
    for subvolumes in [1, 3] {
        let built = distributed(subvolumes);
        let brick = holders(&built, "vms/disk")[0];
        let id = gfid(&built, brick, "vms/disk");
        std::fs::remove_file(built.path(brick, "vms/disk")).unwrap();
        let (findings, summary) = audit(&built);
        let lost =
            only(&findings, |problem| matches!(problem, Problem::NameLost { shards: 4, base: 4096, .. }));
        assert_eq!((lost.gfid, summary.worst(), findings.len()), (Some(id), Some(Severity::AtRisk), 1));

        let built = distributed(subvolumes);
        take(&built, brick, "vms/disk");
        let (findings, summary) = audit(&built);
        let orphan = |problem: &Problem| matches!(problem, Problem::Orphan { shards: 4, last: 4, bytes: found } if *found == bytes);
        assert_eq!(only(&findings, orphan).gfid, Some(id));
        assert_eq!((summary.worst(), findings.len()), (Some(Severity::Attention), 1));

        mark_removed(&built, brick, id);
        let (findings, summary) = audit(&built);
        let deleted = |problem: &Problem| matches!(problem, Problem::Deleted { shards: 4, bytes: found } if *found == bytes);
        only(&findings, deleted);
        assert_eq!((summary.worst(), findings.len()), (Some(Severity::Harmless), 1));

        let built = distributed(subvolumes);
        mark_removed(&built, brick, id);
        let (findings, _) = audit(&built);
        assert_eq!(
            only(&findings, |problem| matches!(problem, Problem::DeletionBegun)).path,
            Some("vms/disk".into())
        );
    }
}

#[test]
fn a_file_in_the_trash_has_a_name_that_is_not_met() {
    let built = distributed(1);
    std::fs::create_dir(built.path(0, ".trashcan")).unwrap();
    std::fs::rename(built.path(0, "vms/disk"), built.path(0, ".trashcan/disk")).unwrap();
    let (findings, summary) = audit(&built);
    only(&findings, |problem| matches!(problem, Problem::NameNotMet { shards: 4 }));
    assert_eq!((summary.worst(), findings.len()), (Some(Severity::Harmless), 1));
}

#[test]
fn with_bricks_missing_nothing_is_an_orphan_and_what_is_not_known_is_lost() {
    let built = distributed(3);
    let base = holders(&built, "vms/disk")[0];
    let (findings, summary) = audit_of(&built.volume(&[base]).unwrap(), "/");
    only(&findings, |problem| matches!(problem, Problem::OwnerUnknown { .. }));
    assert!(
        !findings.iter().any(|finding| matches!(finding.problem, Problem::Orphan { .. })),
        "{findings:#?}"
    );
    assert_eq!((summary.worst(), summary.is_whole()), (Some(Severity::Lost), false));
    let shards = (1..5).map(|index| holders(&built, &built.trees.shard_path("vms/disk", index))[0]);
    let other = shards.into_iter().find(|brick| *brick != base);
    if let Some(other) = other {
        let (findings, _) = audit_of(&built.volume(&[other]).unwrap(), "/");
        let unknown = only(&findings, |problem| matches!(problem, Problem::ShardsUnknown { .. }));
        assert_eq!(unknown.path, Some("vms/disk".into()));
    }
}

#[test]
fn what_is_no_shard_is_told() {
    let mut built = distributed(1);
    built.trees.stray_shard(0, "notes.txt", b"x").unwrap();
    std::fs::create_dir(built.path(0, ".shard/dir")).unwrap();
    let (findings, summary) = audit(&built);
    assert!(
        findings.iter().all(|finding| matches!(finding.problem, Problem::NoShard { .. })),
        "{findings:#?}"
    );
    assert_eq!((findings.len(), summary.worst()), (2, Some(Severity::Harmless)));
}

#[test]
fn data_on_two_subvolumes_or_on_the_wrong_one_is_told() {
    let mut built = distributed(2);
    let from = holders(&built, "vms/disk")[0];
    built.trees.copy_to(from, 1 - from, "vms/disk").unwrap();
    let (findings, summary) = audit(&built);
    let found = only(&findings, |problem| matches!(problem, Problem::Duplicate { .. }));
    let used = built.trees.subvolume(from);
    assert!(
        matches!(&found.problem, Problem::Duplicate { subvolumes, used: by } if subvolumes.len() == 2 && *by == used)
    );
    assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::AtRisk)));
    take(&built, from, "vms/disk");
    let (findings, summary) = audit(&built);
    only(&findings, |problem| matches!(problem, Problem::Misplaced { .. }));
    assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Attention)));
}

#[test]
fn a_migration_under_way_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let built = distributed(2);
    let brick = holders(&built, "vms/disk")[0];
    std::fs::set_permissions(built.path(brick, "vms/disk"), std::fs::Permissions::from_mode(0o3644)).unwrap();
    only(&audit(&built).0, |problem| matches!(problem, Problem::Migrating { .. }));
}

#[test]
fn link_files_that_lead_to_the_data_are_in_order_and_others_are_told() {
    let shard = |built: &Built| {
        let path = built.trees.shard_path("vms/disk", 1);
        let hashed = built.trees.shard_subvolume("vms/disk", 1).unwrap();
        (path, hashed, (hashed + 1) % 3, (hashed + 2) % 3)
    };
    let moved = || {
        let mut built = distributed(3);
        let (path, hashed, to, third) = shard(&built);
        built.trees.move_shard("vms/disk", 1, to).unwrap();
        (built, path, hashed, to, third)
    };
    let (built, ..) = moved();
    let (findings, summary) = audit(&built);
    assert!(summary.is_clean(), "{findings:#?}");

    let (mut built, path, hashed, _, third) = moved();
    built.trees.make_linkto(hashed, &path, &built.trees.subvolume(third)).unwrap();
    let wrong =
        |problem: &Problem| matches!(problem, Problem::LinkToWrong { data_on, .. } if data_on.len() == 1);
    assert_eq!(only(&audit(&built).0, wrong).shards[0].first, 1);

    let (mut built, path, hashed, ..) = moved();
    built.trees.make_linkto(hashed, &path, "gv1-client-9").unwrap();
    only(
        &audit(&built).0,
        |problem| matches!(problem, Problem::LinkToStranger { target, .. } if target == "gv1-client-9"),
    );

    let (mut built, path, hashed, to, third) = moved();
    built.trees.copy_to(hashed, third, &path).unwrap();
    built.trees.make_linkto(third, &path, &built.trees.subvolume(to)).unwrap();
    let stale = audit(&built);
    only(&stale.0, |problem| matches!(problem, Problem::LinkStale { .. }));
    assert_eq!(stale.1.worst(), Some(Severity::Harmless));

    let (mut built, path, hashed, _, third) = moved();
    built.trees.copy_to(hashed, third, &path).unwrap();
    built.trees.make_linkto(third, &path, &built.trees.subvolume(hashed)).unwrap();
    built.trees.make_linkto(hashed, &path, &built.trees.subvolume(third)).unwrap();
    only(
        &audit(&built).0,
        |problem| matches!(problem, Problem::LinkLoop { subvolumes } if subvolumes.len() == 2),
    );

    let mut built = distributed(3);
    let (path, hashed, to, _) = shard(&built);
    built.trees.make_linkto(hashed, &path, &built.trees.subvolume(to)).unwrap();
    let (findings, summary) = audit(&built);
    only(&findings, |problem| matches!(problem, Problem::LinkToNothing { .. }));
    assert_eq!(summary.worst(), Some(Severity::Lost));
}

#[test]
fn a_link_file_of_another_gfid_than_the_data_is_told() {
    let mut built = distributed(2);
    let path = built.trees.shard_path("vms/disk", 1);
    let hashed = built.trees.shard_subvolume("vms/disk", 1).unwrap();
    built.trees.move_shard("vms/disk", 1, 1 - hashed).unwrap();
    built.trees.set_xattr(hashed, &path, "trusted.gfid", &[9; 16]).unwrap();
    only(
        &audit(&built).0,
        |problem| matches!(problem, Problem::GfidMismatch { copies } if copies.len() == 2),
    );
}

#[test]
fn directories_that_are_missing_or_laid_out_wrong_are_told() {
    let mut built = distributed(3);
    built.trees.create_directory("more").unwrap();
    std::fs::remove_file(handle(&built, 1, "more")).unwrap();
    std::fs::remove_dir(built.path(1, "more")).unwrap();
    let (findings, _) = audit(&built);
    let missing = only(&findings, |problem| matches!(problem, Problem::DirectoryMissing { .. }));
    assert_eq!(missing.path, Some("more".into()));

    for (start, stop, word) in [(5, 6, "no subvolume"), (0, u32::MAX, "several")] {
        let mut built = distributed(3);
        built.trees.set_layout(0, "vms", start, stop).unwrap();
        let (findings, _) = audit(&built);
        let broken = findings.iter().find(|finding| finding.to_string().contains(word));
        let broken = broken.unwrap_or_else(|| panic!("{findings:#?}"));
        assert!(matches!(broken.problem, Problem::LayoutBroken { .. }) && broken.path == Some("vms".into()));
    }
    let mut built = replicated(2);
    built.trees.set_layout(0, "vms", 0, 77).unwrap();
    let (findings, _) = audit(&built);
    assert!(
        findings.iter().any(|finding| matches!(finding.problem, Problem::LayoutBroken { .. })),
        "{findings:#?}"
    );
}

#[test]
fn a_name_that_is_a_file_here_and_a_directory_there_is_told() {
    let mut built = with_disk(Shape { replicas: 2, ..Shape::default() });
    built.trees.create_directory("both").unwrap();
    std::fs::remove_dir(built.path(0, "both")).unwrap();
    std::fs::write(built.path(0, "both"), b"a file").unwrap();
    let (findings, summary) = audit(&built);
    only(&findings, |problem| matches!(problem, Problem::KindsDiffer { kinds } if kinds.len() == 2));
    assert!(summary.worst() >= Some(Severity::AtRisk));
}
