//! Symbolic links: compared, and told from DHT's link files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use stillpoint_shard::EntryKind;
use stillpoint_shard::audit::{Problem, Severity};

use super::super::support::Built;
use super::{audit, audit_of, dispersed, distributed, handle, holders, only, replicated};

fn with_link(mut built: Built) -> Built {
    built.trees.create_symlink("vms/link", "../elsewhere").unwrap();
    built
}

#[test]
fn a_link_that_is_the_same_everywhere_is_clean() {
    for built in [distributed(3), replicated(2), dispersed(3, 1)] {
        let built = with_link(built);
        let (findings, summary) = audit(&built);
        assert!(summary.is_clean(), "{findings:#?}");
        let volume = built.volume(&[]).unwrap();
        assert!(audit_of(&volume, "vms/link").1.is_clean());
    }
}

/// After a rename a link file leads to where the symbolic link is, pipes and devices likewise.
#[test]
fn a_renamed_link_has_a_link_file_and_is_a_link_all_the_same() {
    for special in [false, true] {
        let mut built = distributed(2);
        let id = built.trees.create_symlink("vms/link", "elsewhere").unwrap();
        let hashed = (0..2).find(|&brick| built.path(brick, "vms/link").symlink_metadata().is_ok()).unwrap();
        let other = 1 - hashed;
        // Where it hashes to there is the link file, and the link where its former name did.
        let old = handle(&built, hashed, "vms/link");
        let new = built.trees.brick(other).join(old.strip_prefix(built.trees.brick(hashed)).unwrap());
        fs::create_dir_all(new.parent().unwrap()).unwrap();
        fs::remove_file(&old).unwrap();
        fs::remove_file(built.path(hashed, "vms/link")).unwrap();
        let target = built.trees.subvolume(other);
        built.trees.make_linkto(hashed, "vms/link", &target).unwrap();
        fs::hard_link(built.path(hashed, "vms/link"), &old).unwrap();
        let link = built.path(other, "vms/link");
        if special {
            rustix::fs::mkfifoat(rustix::fs::CWD, &link, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        } else {
            symlink("elsewhere", &link).unwrap();
        }
        fs::hard_link(&link, &new).unwrap();
        built.trees.set_xattr(other, "vms/link", "trusted.gfid", id.as_bytes()).unwrap();

        let volume = built.volume(&[]).unwrap();
        let kinds: Vec<EntryKind> = volume
            .walk("vms")
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path.ends_with("link"))
            .map(|entry| entry.kind)
            .collect();
        let kind = if special { EntryKind::Special } else { EntryKind::Symlink };
        assert_eq!(kinds, std::slice::from_ref(&kind));
        assert_eq!(volume.entry(&"vms/link".parse().unwrap()).unwrap().kind, kind);
        let (findings, summary) = audit(&built);
        assert!(summary.is_clean(), "{findings:#?}");
    }
}

/// A file that somebody gave the mode of a link file is a file.
#[test]
fn an_empty_file_with_a_link_files_mode_is_a_file() {
    let mut built = distributed(1);
    built.trees.create_plain_file("vms/odd").unwrap();
    fs::set_permissions(built.path(0, "vms/odd"), fs::Permissions::from_mode(0o1000)).unwrap();
    let volume = built.volume(&[]).unwrap();
    let entry = volume.entry(&"vms/odd".parse().unwrap()).unwrap();
    assert!(matches!(entry.kind, EntryKind::File { size: 0, .. }), "{entry:?}");
    assert!(audit(&built).1.is_clean());
}

#[test]
fn links_that_differ_are_told() {
    /// What is done to it, and the problem that it makes.
    type Case = (fn(&mut Built), fn(&Problem) -> bool, Severity);
    let changes: [Case; 5] = [
        (
            |built| fs::remove_file(handle(built, 0, "vms/link")).unwrap(),
            |problem| matches!(problem, Problem::HandleMissing { bricks } if bricks.len() == 1),
            Severity::Attention,
        ),
        (
            |built| {
                let handle = handle(built, 0, "vms/link");
                fs::remove_file(&handle).unwrap();
                symlink("other", handle).unwrap();
            },
            |problem| matches!(problem, Problem::HandleOther { bricks } if bricks.len() == 1),
            Severity::AtRisk,
        ),
        (
            |built| {
                let (handle, link) = (handle(built, 0, "vms/link"), built.path(0, "vms/link"));
                fs::remove_file(&handle).unwrap();
                fs::remove_file(&link).unwrap();
                symlink("/etc/passwd", &link).unwrap();
                fs::hard_link(link, handle).unwrap();
            },
            |problem| matches!(problem, Problem::TargetsDiffer { targets } if targets[0].1 == "/etc/passwd"),
            Severity::AtRisk,
        ),
        (
            |built| built.trees.set_xattr(0, "vms/link", "trusted.gfid", &[7; 16]).unwrap(),
            |problem| matches!(problem, Problem::GfidMismatch { copies } if copies.len() == 2),
            Severity::AtRisk,
        ),
        (
            |built| {
                fs::remove_file(handle(built, 0, "vms/link")).unwrap();
                fs::remove_file(built.path(0, "vms/link")).unwrap();
            },
            |problem| matches!(problem, Problem::CopyMissing { bricks } if bricks.len() == 1),
            Severity::Attention,
        ),
    ];
    for (number, (change, is_it, severity)) in changes.into_iter().enumerate() {
        let mut built = with_link(replicated(2));
        change(&mut built);
        let (findings, _) = audit(&built);
        let found = only(&findings, is_it);
        assert_eq!(found.severity(), severity, "{number}: {findings:#?}");
        assert_eq!(found.path, Some("vms/link".into()), "{number}: {findings:#?}");
    }
}

#[test]
fn a_link_that_lost_its_name_is_told_and_one_that_a_brick_missed_the_deletion_of() {
    let built = with_link(distributed(2));
    let holder = (0..2).find(|&brick| built.path(brick, "vms/link").symlink_metadata().is_ok()).unwrap();
    fs::remove_file(built.path(holder, "vms/link")).unwrap();
    let (findings, summary) = audit(&built);
    only(
        &findings,
        |problem| matches!(problem, Problem::SymlinkNameLost { target } if target == "../elsewhere"),
    );
    assert_eq!((findings.len(), summary.worst()), (1, Some(Severity::Attention)));

    let mut built = replicated(2);
    built.trees.create_symlink("vms/link", "x").unwrap();
    fs::remove_file(handle(&built, 0, "vms/link")).unwrap();
    fs::remove_file(built.path(0, "vms/link")).unwrap();
    built.trees.set_blame(0, 1, "vms", stillpoint_testkit::volume::Change::Entry, 1).unwrap();
    let (findings, _) = audit(&built);
    only(
        &findings,
        |problem| matches!(problem, Problem::StaleName { bricks } if bricks[..] == [built.name(1)]),
    );
    assert!(holders(&built, "vms/link").is_empty(), "it leads to nothing");
}
