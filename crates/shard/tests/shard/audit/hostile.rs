//! Brick trees made to mislead: an audit ends, stays within the bricks, and tells.

use std::os::unix::fs::symlink;
use std::path::Path;

use stillpoint_shard::audit::Problem;
use stillpoint_testkit::volume::Shape;

use super::super::support::{Built, pattern};
use super::{audit, distributed, replicated, with_disk};

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
}

#[test]
fn what_takes_the_place_of_files_and_directories_is_told_and_not_followed() {
    type Put = fn(&Path);
    let puts: [Put; 4] = [
        |path| symlink("/etc/passwd", path).unwrap(),
        |path| symlink("..", path).unwrap(),
        |path| std::fs::create_dir(path).unwrap(),
        pipe,
    ];
    for (number, put) in puts.into_iter().enumerate() {
        for target in ["vms/disk", "shard", "vms", ".shard", ".glusterfs", "handle"] {
            let built = replicated(2);
            let path = match target {
                "shard" => built.path(0, &built.trees.shard_path("vms/disk", 1)),
                "handle" => super::handle(&built, 0, "vms/disk"),
                other => built.path(0, other),
            };
            if path.is_dir() {
                std::fs::remove_dir_all(&path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            put(&path);
            let (findings, summary) = audit(&built);
            assert!(!summary.is_clean(), "{number} in the place of {target}: {findings:#?}");
        }
    }
}

#[test]
fn names_that_are_nearly_shards_and_many_of_them_end() {
    let mut built = distributed(1);
    for name in [
        "00000000-0000-0000-0000-000000000000.18446744073709551615",
        "00000000-0000-0000-0000-000000000000.18446744073709551616",
        "ffffffff-ffff-ffff-ffff-ffffffffffff.1",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF.1",
        "be318638-e8a0-4c6d-977d-7a937aa84806.1",
        "..1",
        "\u{1b}[2J",
    ] {
        built.trees.stray_shard(0, name, b"x").unwrap();
    }
    let (findings, _) = audit(&built);
    let of = |kind: fn(&Problem) -> bool| findings.iter().filter(|found| kind(&found.problem)).count();
    assert_eq!(of(|problem| matches!(problem, Problem::Orphan { .. })), 3, "{findings:#?}");
    assert_eq!(of(|problem| matches!(problem, Problem::NoShard { .. })), 4, "{findings:#?}");
    assert!(findings.iter().all(|finding| !finding.to_string().contains('\u{1b}')));

    // As many gfids as names: each an orphan, told as it is found.
    let built = distributed(1);
    for number in 0..4000_u32 {
        let name = format!("{number:08x}-0000-4000-8000-000000000000.{}", u64::MAX - u64::from(number));
        std::fs::File::create(built.path(0, &format!(".shard/{name}"))).unwrap();
    }
    let (findings, summary) = audit(&built);
    assert_eq!((findings.len(), summary.findings.attention), (4000, 4000));
}

#[test]
fn a_size_of_exabytes_and_counts_without_end_cost_nothing() {
    let mut built = with_disk(Shape { replicas: 2, ..Shape::default() });
    for brick in 0..2 {
        let size = [i64::MAX as u64, 0, u64::MAX, 0].map(u64::to_be_bytes).concat();
        built.trees.set_xattr(brick, "vms/disk", "trusted.glusterfs.shard.file-size", &size).unwrap();
    }
    let (findings, summary) = audit(&built);
    assert!(findings.iter().any(|found| matches!(found.problem, Problem::FewBlocks { .. })), "{findings:#?}");
    assert_eq!(summary.shards, 4);
}

fn unreadable(built: &Built) {
    // Nobody but root is kept out by a mode; a directory deeper than can be gone into keeps everybody out.
    let mut dir = built.path(0, "vms");
    for _ in 0..15 {
        dir.push("d".repeat(250));
        if std::fs::create_dir(&dir).is_err() {
            break;
        }
    }
}

#[test]
fn a_tree_without_xattrs_inside_is_told_and_the_rest_is_audited() {
    let built = distributed(1);
    unreadable(&built);
    let (findings, summary) = audit(&built);
    assert!(findings.iter().any(|found| matches!(found.problem, Problem::BadCopy { .. })), "{findings:#?}");
    assert!(!summary.is_whole() && summary.shards == 4, "{summary:#?}");
}

#[test]
fn different_problems_in_every_shard_are_told_in_bounded_pieces() {
    let mut built = replicated(2);
    built.trees.write("vms/disk", 0, &pattern(3, 1200 * 4096)).unwrap();
    for index in 1..1200_u64 {
        let path = built.trees.shard_path("vms/disk", index);
        super::set_len(&built.path(1, &path), 4096 - index);
    }
    let (findings, _) = audit(&built);
    let lengths =
        findings.iter().filter(|found| matches!(found.problem, Problem::LengthsDiffer { .. })).count();
    assert_eq!(lengths, 1199);
}
