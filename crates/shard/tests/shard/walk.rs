//! Going through a volume's files.

use std::path::{Path, PathBuf};

use stillpoint_shard::{Entry, EntryKind, FileRef, ShardError, Volume};
use stillpoint_testkit::volume::{Change, Shape};

use super::support::{Built, build, pattern};

const SHARD: usize = 4096;

fn filled(shape: Shape) -> Built {
    let mut built = build(Shape { shard_size: SHARD as u64, ..shape });
    let trees = &mut built.trees;
    for dir in ["vms", "vms/a", "vms/b", "empty"] {
        trees.create_directory(dir).unwrap();
    }
    for (name, shards) in [("vms/a/disk", 5), ("vms/b/disk", 1), ("vms/zero", 0), ("top", 2)] {
        trees.create_file(name).unwrap();
        trees.write(name, 0, &pattern(1, shards * SHARD)).unwrap();
    }
    trees.create_plain_file("vms/plain").unwrap();
    trees.write("vms/plain", 0, &[1; 77]).unwrap();
    built
}

fn paths(volume: &Volume, dir: &str) -> Vec<String> {
    let path = |entry: Result<Entry, ShardError>| entry.unwrap().path.to_str().unwrap().to_owned();
    volume.walk(dir).unwrap().map(path).collect()
}

#[test]
fn every_name_is_told_once_in_order_directories_before_what_is_in_them() {
    for (subvolumes, replicas) in [(1, 1), (3, 1), (2, 2)] {
        let built = filled(Shape { subvolumes, replicas, ..Shape::default() });
        std::os::unix::fs::symlink("top", built.path(0, "link")).unwrap();
        let volume = built.volume(&[]).unwrap();
        let all = [
            "empty",
            "link",
            "top",
            "vms",
            "vms/a",
            "vms/b",
            "vms/plain",
            "vms/zero",
            "vms/a/disk",
            "vms/b/disk",
        ];
        assert_eq!(paths(&volume, "/"), all);
        assert_eq!(paths(&volume, "vms/a"), ["vms/a/disk"]);
        assert_eq!(paths(&volume, "empty"), [""; 0]);
        let shallow = |depth| volume.walk("").unwrap().max_depth(depth).count();
        assert_eq!([shallow(1), shallow(2), shallow(3)], [4, 8, 10]);
        let sharded: Vec<_> = volume.sharded_files().map(|entry| entry.unwrap().path).collect();
        assert_eq!(sharded, ["top", "vms/zero", "vms/a/disk", "vms/b/disk"].map(PathBuf::from));
    }
}

#[test]
fn an_entry_tells_what_it_is_by_path_and_by_gfid() {
    let built = filled(Shape { subvolumes: 2, replicas: 2, ..Shape::default() });
    let volume = built.volume(&[]).unwrap();
    let entry = |name: &str| volume.entry(&name.parse().unwrap());
    let disk = entry("/vms/a/disk").unwrap();
    let EntryKind::File { size, shard_size, ref subvolume } = disk.kind else { panic!("{disk:?}") };
    assert_eq!((size, shard_size), (5 * SHARD as u64, Some(SHARD as u64)));
    assert!(subvolume.starts_with("gv1-replicate-"));
    let by_gfid = volume.entry(&FileRef::Gfid(disk.gfid.unwrap())).unwrap();
    assert_eq!((&by_gfid.kind, by_gfid.gfid), (&disk.kind, disk.gfid));
    assert!(matches!(entry("vms/plain").unwrap().kind, EntryKind::File { size: 77, shard_size: None, .. }));
    assert_eq!(entry("vms").unwrap().kind, EntryKind::Directory);
    assert_eq!(entry("/").unwrap().gfid, Some(uuid::Uuid::from_u128(1)));
    for none in ["nothing", "vms/nothing", "no/such", "gfid:8288bb2d-9cb3-4e0e-ac63-0cd006357ddc"] {
        assert!(matches!(entry(none), Err(ShardError::NotFound { .. })), "{none}");
    }
    for bad in ["../x", ".shard", ".glusterfs/indices"] {
        assert!(matches!(entry(bad), Err(ShardError::BadPath { .. })) && volume.walk(bad).is_err(), "{bad}");
    }
}

#[test]
fn link_files_and_names_that_were_deleted_are_no_files() {
    let mut built = filled(Shape { subvolumes: 1, replicas: 2, ..Shape::default() });
    // Brick 0 misses a deletion, and brick 1 says so.
    std::fs::remove_file(built.path(1, "top")).unwrap();
    built.trees.set_blame(1, 0, "", Change::Entry, 1).unwrap();
    assert!(!paths(&built.volume(&[]).unwrap(), "/").contains(&"top".to_owned()));

    let mut built = filled(Shape { subvolumes: 2, ..Shape::default() });
    let holder = usize::from(!built.path(0, "top").exists());
    let (from, to) = (holder, 1 - holder);
    built.trees.copy_to(from, to, "top").unwrap();
    built.trees.make_linkto(to, "top", &format!("gv1-client-{from}")).unwrap();
    let volume = built.volume(&[]).unwrap();
    assert_eq!(paths(&volume, "/").iter().filter(|name| *name == "top").count(), 1);
    let top = volume.entry(&"top".parse().unwrap()).unwrap();
    assert!(
        matches!(top.kind, EntryKind::File { size: 8192, ref subvolume, .. } if *subvolume == format!("gv1-client-{from}"))
    );
}

#[test]
fn what_missing_bricks_may_have_is_told_once_and_what_is_there_is_listed() {
    let built = filled(Shape { subvolumes: 3, ..Shape::default() });
    let volume = built.volume(&[1]).unwrap();
    let (mut known, mut errors) = (Vec::new(), Vec::new());
    for entry in volume.walk("/").unwrap() {
        match entry {
            Ok(entry) => known.push(entry.path),
            Err(error) => errors.push(error),
        }
    }
    assert!(known.contains(&PathBuf::from("vms/a")), "{known:?}");
    let names = |error: &&ShardError| error.to_string().contains("which names");
    assert_eq!(errors.iter().filter(names).count(), 1, "{errors:?}");
    assert!(errors.iter().all(|error| error.to_string().contains("/b1")), "{errors:?}");
}

#[test]
fn a_tree_that_is_deeper_than_any_path_ends() {
    let built = filled(Shape::default());
    let mut dir = built.path(0, "empty");
    let mut gfid = 0_u128;
    for _ in 0..40 {
        dir.push("d".repeat(250));
        gfid += 1;
        // Without xattrs: what is not a directory of the volume is an error, and not gone into.
        if std::fs::create_dir(&dir).is_err() {
            break;
        }
    }
    let volume = built.volume(&[]).unwrap();
    let walked: Vec<_> = volume.walk("/").unwrap().collect();
    assert!(gfid > 10 && walked.iter().filter(|entry| entry.is_err()).count() == 1, "{walked:?}");
    assert!(walked.iter().flatten().any(|entry| entry.path == Path::new("vms/b/disk")));
}
