//! From a gfid to the paths of its file.

use std::path::{Path, PathBuf};

use stillpoint_shard::{Finding, Names};
use stillpoint_testkit::volume::Shape;
use uuid::Uuid;

use super::support::{Built, build};

const ROOT: &str = "00000000-0000-0000-0000-000000000001";

fn gfid_of(built: &Built, brick: usize, path: &str) -> Uuid {
    Uuid::from_slice(&built.trees.xattr(brick, path, "trusted.gfid").unwrap().unwrap()).unwrap()
}

/// Makes the handle of a directory lead to `name` in the directory `parent`.
fn link(built: &Built, gfid: Uuid, parent: &str, name: &str) {
    for brick in 0..built.trees.brick_count() {
        let text = gfid.to_string();
        let dir = built.path(brick, ".glusterfs").join(&text[..2]).join(&text[2..4]);
        std::fs::create_dir_all(&dir).unwrap();
        let handle = dir.join(&text);
        if handle.symlink_metadata().is_ok() {
            std::fs::remove_file(&handle).unwrap();
        }
        let target = format!("../../{}/{}/{parent}/{name}", &parent[..2], &parent[2..4]);
        std::os::unix::fs::symlink(target, handle).unwrap();
    }
}

/// Gives each copy of a file a name of its own.
fn name(built: &mut Built, path: &str, number: u32, parent: &str, name: &str) {
    for brick in 0..built.trees.brick_count() {
        if built.path(brick, path).exists() {
            let key = format!("trusted.gfid2path.{number:016x}");
            built.trees.set_xattr(brick, path, &key, format!("{parent}/{name}").as_bytes()).unwrap();
        }
    }
}

/// `a/b/disk` on two subvolumes of two bricks.
fn built() -> (Built, Uuid) {
    let mut built = build(Shape { subvolumes: 2, replicas: 2, ..Shape::default() });
    built.trees.create_directory("a").unwrap();
    built.trees.create_directory("a/b").unwrap();
    let gfid = built.trees.create_file("a/b/disk").unwrap();
    let (a, b) = (gfid_of(&built, 0, "a"), gfid_of(&built, 0, "a/b"));
    link(&built, a, ROOT, "a");
    link(&built, b, &a.to_string(), "b");
    name(&mut built, "a/b/disk", 1, &b.to_string(), "disk");
    (built, gfid)
}

fn names(built: &Built, gfid: Uuid) -> Names {
    built.volume(&[]).unwrap().names_of(gfid).unwrap()
}

#[test]
fn a_file_and_a_directory_are_found_by_the_names_that_they_keep() {
    let (built, gfid) = built();
    let found = names(&built, gfid);
    assert_eq!((found.paths, found.findings), (vec![PathBuf::from("a/b/disk")], vec![]));
    assert_eq!(names(&built, gfid_of(&built, 0, "a/b")).paths, [Path::new("a/b")]);
    assert_eq!(names(&built, ROOT.parse().unwrap()).paths, [Path::new("/")]);
    // One brick is enough.
    let with_one = built.volume(&[1, 3]).unwrap().names_of(gfid).unwrap();
    assert_eq!(with_one.paths, [Path::new("a/b/disk")]);
}

#[test]
fn a_name_that_the_tree_contradicts_is_a_finding_and_no_path() {
    let (mut built, gfid) = built();
    let b = gfid_of(&built, 0, "a/b").to_string();
    built.trees.create_file("a/b/other").unwrap();
    name(&mut built, "a/b/disk", 2, &b, "other");
    name(&mut built, "a/b/disk", 3, &b, "gone");
    name(&mut built, "a/b/disk", 4, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "nowhere");
    let found = names(&built, gfid);
    assert_eq!(found.paths, [Path::new("a/b/disk")]);
    let told: Vec<(&str, bool)> = found
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::NameContradicted { path, problem, .. } => (path.as_str(), problem.contains("nothing")),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [("a/b/gone", true), ("a/b/other", false)]);
    let nothing = names(&built, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".parse().unwrap());
    assert!(nothing.paths.is_empty() && matches!(nothing.findings[..], [Finding::NoName { .. }]));
}

#[test]
fn handles_that_lead_in_circles_or_out_end() {
    let (mut built, gfid) = built();
    let (a, b) = (gfid_of(&built, 0, "a"), gfid_of(&built, 0, "a/b"));
    link(&built, a, &b.to_string(), "a");
    let found = names(&built, gfid);
    assert!(found.paths.is_empty() && matches!(found.findings[..], [Finding::NoName { .. }]), "{found:?}");
    link(&built, a, ROOT, "..");
    assert!(names(&built, gfid).paths.is_empty());
    // Two bricks that differ: each path is looked at.
    link(&built, a, ROOT, "a");
    name(&mut built, "a/b/disk", 1, &b.to_string(), "../../etc/passwd");
    assert!(names(&built, gfid).paths.is_empty());
}
