//! Brick trees made to mislead: nothing leads out of a brick, hangs, or is taken for zeros.

use std::os::unix::fs::symlink;
use std::path::Path;

use stillpoint_shard::{BrickMap, EntryKind, FileRef, OpenOptions, ShardError, Topology, Volume};
use stillpoint_storage::Storage;
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, bytes, pattern};

const SHARD: usize = 4096;

fn one_brick() -> (Built, String) {
    let mut built = build(Shape { shard_size: SHARD as u64, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, 3 * SHARD)).unwrap();
    let shard = built.trees.shard_path("disk", 1);
    (built, shard)
}

/// Puts things where a shard belongs, and hands each a fresh path.
fn in_the_place_of(path: &Path, put: impl FnOnce(&Path)) {
    std::fs::remove_file(path).unwrap();
    put(path);
}

#[test]
fn what_is_not_a_regular_file_is_never_read_as_a_shard() {
    type Put = fn(&Path);
    let puts: [(&str, Put); 4] = [
        ("symbolic link", |path| symlink("/etc/passwd", path).unwrap()),
        ("symbolic link", |path| symlink("../disk", path).unwrap()),
        ("directory", |path| std::fs::create_dir(path).unwrap()),
        ("named pipe", |path| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        }),
    ];
    for (what, put) in puts {
        let (built, shard) = one_brick();
        in_the_place_of(&built.path(0, &shard), put);
        let file = built.open("disk", &[]).unwrap();
        let error = bytes(&file).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        // The same in the place of the base.
        let (built, _) = one_brick();
        in_the_place_of(&built.path(0, "disk"), put);
        let error = built.open("disk", &[]).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn with_a_good_replica_the_bad_one_does_no_harm() {
    let mut built = build(Shape { replicas: 2, shard_size: SHARD as u64, ..Shape::default() });
    let model = pattern(1, 3 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    let shard = built.trees.shard_path("disk", 1);
    in_the_place_of(&built.path(0, &shard), |path| symlink("/etc/passwd", path).unwrap());
    assert_eq!(bytes(&built.open("disk", &[]).unwrap()).unwrap(), model);
}

#[test]
fn a_symbolic_link_in_the_place_of_a_directory_is_not_followed() {
    let (mut built, _) = one_brick();
    let outside = tempfile::tempdir().unwrap();
    built.trees.create_directory("vms").unwrap();
    built.trees.create_file("vms/disk").unwrap();
    built.trees.write("vms/disk", 0, b"inside").unwrap();
    std::fs::rename(built.path(0, "vms"), outside.path().join("vms")).unwrap();
    symlink(outside.path().join("vms"), built.path(0, "vms")).unwrap();
    assert!(matches!(built.open("vms/disk", &[]), Err(ShardError::Unknown { .. })));
    // And .shard itself: its shards are not known then, and not zeros.
    std::fs::rename(built.path(0, ".shard"), outside.path().join("shard")).unwrap();
    symlink(outside.path().join("shard"), built.path(0, ".shard")).unwrap();
    let file = built.open("disk", &[]).unwrap();
    let error = bytes(&file).unwrap_err().to_string();
    assert!(error.contains(".shard") && error.contains("not a directory"), "{error}");
}

#[test]
fn a_shard_without_xattrs_is_no_shard() {
    let (mut built, shard) = one_brick();
    built.trees.remove_xattr(0, &shard, "trusted.gfid").unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert!(bytes(&file).unwrap_err().to_string().contains("no trusted.gfid"));
}

#[test]
fn xattrs_that_make_no_sense_are_refused_by_name() {
    let size = |bytes: u64| [bytes.to_be_bytes(), [0; 8], [0; 8], [0; 8]].concat();
    let cases: [(&str, Vec<u8>); 8] = [
        ("trusted.glusterfs.shard.block-size", 0_u64.to_be_bytes().to_vec()),
        ("trusted.glusterfs.shard.block-size", 513_u64.to_be_bytes().to_vec()),
        ("trusted.glusterfs.shard.block-size", vec![1; 7]),
        ("trusted.glusterfs.shard.file-size", size(u64::MAX)),
        ("trusted.glusterfs.shard.file-size", vec![0; 31]),
        ("trusted.gfid", vec![0; 15]),
        ("trusted.gfid", vec![]),
        ("trusted.afr.gv1-client-0", vec![0; 11]),
    ];
    for (name, value) in cases {
        let mut built = build(Shape { replicas: 2, shard_size: SHARD as u64, ..Shape::default() });
        built.trees.create_file("disk").unwrap();
        for brick in 0..2 {
            built.trees.set_xattr(brick, "disk", name, &value).unwrap();
        }
        let error = built.open("disk", &[]).unwrap_err();
        assert!(matches!(error, ShardError::Unknown { .. }), "{name} {value:?}: {error}");
    }
    let (mut built, _) = one_brick();
    built.trees.remove_xattr(0, "disk", "trusted.glusterfs.shard.file-size").unwrap();
    assert!(matches!(built.open("disk", &[]), Err(ShardError::BadXattr { .. })));
}

#[test]
fn a_size_of_exabytes_costs_nothing() {
    let mut built = build(Shape { shard_size: 512, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    built.trees.truncate("disk", i64::MAX as u64).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(file.shard_count(), (i64::MAX as u64).div_ceil(512));
    assert_eq!(stillpoint_storage::extents(&file).count(), 1);
    let mut buf = [0xee; 100];
    file.read_exact_at(i64::MAX as u64 - 100, &mut buf).unwrap();
    assert_eq!(buf, [0; 100]);
    assert!(file.allocated().is_some());
}

#[test]
fn a_root_that_is_no_bricks_is_refused() {
    for (name, value) in [("trusted.gfid", vec![7; 16]), ("trusted.glusterfs.volume-id", vec![1; 15])] {
        let (mut built, _) = one_brick();
        built.trees.set_xattr(0, "", name, &value).unwrap();
        assert!(matches!(built.volume(&[]), Err(ShardError::NoBricks { .. })), "{name}");
    }
}

#[test]
fn a_shard_that_shrinks_while_it_is_read_is_an_error_and_not_zeros() {
    let (built, shard) = one_brick();
    let file = built.open("disk", &[]).unwrap();
    let mut buf = vec![0; SHARD];
    file.read_exact_at(SHARD as u64, &mut buf).unwrap();
    std::fs::File::options().write(true).open(built.path(0, &shard)).unwrap().set_len(0).unwrap();
    let error = file.read_exact_at(SHARD as u64, &mut buf).unwrap_err();
    assert!(error.to_string().contains("changed while it was read"), "{error}");
}

#[test]
fn a_device_is_never_opened_wherever_it_is() {
    let (built, shard) = one_brick();
    let path = built.path(0, &shard);
    std::fs::remove_file(&path).unwrap();
    // The console: opening it would do something, and zeros would not come of it.
    let device = rustix::fs::makedev(5, 1);
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o600),
        device,
    );
    if made.is_err() {
        println!("skipped: making a device takes root");
        return;
    }
    std::fs::rename(&path, built.path(0, "device")).unwrap();
    std::fs::hard_link(built.path(0, "device"), &path).unwrap();
    let volume = built.volume(&[]).unwrap();
    let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
    assert!(bytes(&file).unwrap_err().to_string().contains("a device"));
    assert_eq!(volume.entry(&"device".parse().unwrap()).unwrap().kind, EntryKind::Special);
    assert!(matches!(volume.open_file(&"device".parse().unwrap()), Err(ShardError::Unknown { .. })));
}

#[test]
fn what_leads_out_of_a_brick_is_listed_and_not_followed() {
    let (built, _) = one_brick();
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("secret")).unwrap();
    for (name, target) in
        [("absolute", outside.path()), ("up", Path::new("../../..")), ("self", Path::new("."))]
    {
        symlink(target, built.path(0, name)).unwrap();
    }
    let volume = built.volume(&[]).unwrap();
    let found: Vec<_> = volume.walk("/").unwrap().map(|entry| entry.unwrap()).collect();
    let links = found.iter().filter(|entry| entry.kind == EntryKind::Symlink).count();
    assert_eq!((found.len(), links), (4, 3), "{found:?}");
    for below in ["absolute", "absolute/secret", "up", "self/disk"] {
        assert!(volume.walk(below).unwrap().all(|entry| entry.is_err()), "{below}");
        assert!(volume.open_file(&below.parse().unwrap()).is_err(), "{below}");
    }
}

#[test]
fn handles_and_notes_that_lead_out_of_a_brick_tell_nothing() {
    let (built, _) = one_brick();
    built.trees.save().unwrap();
    let outside = tempfile::tempdir().unwrap();
    for name in [".glusterfs/indices", ".glusterfs/6f", ".glusterfs/ff"] {
        let path = built.path(0, name);
        if path.exists() {
            std::fs::rename(&path, outside.path().join("taken")).unwrap();
        }
        symlink(outside.path(), path).unwrap();
    }
    let topology = Topology::from_bricks(&[built.trees.brick(0)]).unwrap();
    assert_eq!(topology.volume, built.trees.id().to_string());
    let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap();
    let gfid = volume.entry(&"disk".parse().unwrap()).unwrap().gfid.unwrap();
    assert!(volume.entry(&FileRef::Gfid(gfid)).is_err());
}

/// Other files' shards, and names that are nobody's: what is kept is this file's, whatever else there is.
#[test]
fn a_crowded_directory_of_shards_costs_a_pass() {
    let (built, _) = one_brick();
    let model = pattern(1, 3 * SHARD);
    let crowd = if std::env::var_os("STILLPOINT_FULL").is_some_and(|value| value == "1") {
        1_000_000
    } else {
        20_000
    };
    let dir = built.path(0, ".shard");
    let mut name = 0_u32;
    for index in 0..crowd {
        // A file can have some tens of thousands of names; each is an entry all the same.
        if index % 30_000 == 0 {
            name = index;
            std::fs::write(dir.join(format!("crowd-{name}")), b"").unwrap();
        }
        let other = format!("8288bb2d-9cb3-4e0e-ac63-0cd006357ddc.{index}");
        std::fs::hard_link(dir.join(format!("crowd-{name}")), dir.join(other)).unwrap();
    }
    let gfid = built.open("disk", &[]).unwrap().gfid();
    for stray in
        ["..x", &format!("{gfid}."), &format!("{gfid}.01"), &format!("{gfid}.-1"), &format!("{gfid}.x")]
    {
        std::fs::write(dir.join(stray), b"").unwrap();
    }
    let file = built.open("disk", &[]).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    assert!(file.findings().is_empty(), "{:?}", file.findings());
    assert_eq!(built.volume(&[]).unwrap().walk("/").unwrap().count(), 1);
}

#[test]
fn a_dump_that_is_none_or_lies_is_refused_or_leads_nowhere() {
    let (built, _) = one_brick();
    built.trees.save().unwrap();
    let dump = built.dir.path().join("b0.getfattr");
    let good = std::fs::read(&dump).unwrap();
    let open = || {
        let topology = built_topology(&built);
        Volume::open(topology, &BrickMap::default(), OpenOptions::default())
            .and_then(|volume| volume.open_file(&"disk".parse().unwrap()))
            .map_err(std::io::Error::from)
            .and_then(|file| bytes(&file))
    };
    assert_eq!(open().unwrap(), pattern(1, 3 * SHARD));
    let root = b"# file: ../../etc\ntrusted.gfid=0x00000000000000000000000000000001\n\
        trusted.glusterfs.volume-id=0x00571117000000000000000000001234\n";
    for bad in [
        b"".to_vec(),
        good[..good.len() / 2].to_vec(),
        [&good[..], b"\n# file: x\ntrusted.gfid=0x1\n"].concat(),
        // Two roots: whose tree it is can't be told.
        [&good[..], b"\n", root].concat(),
        root.to_vec(),
        vec![0xff; 100_000],
    ] {
        std::fs::write(&dump, &bad).unwrap();
        assert!(open().is_err(), "{} bytes", bad.len());
    }
    std::fs::remove_file(&dump).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &dump, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(open().is_err());
    std::fs::remove_file(&dump).unwrap();
    // What lies outside of the tree, and more about files that aren't there, changes nothing.
    let more = b"\n# file: /etc/passwd\ntrusted.gfid=0x00\n\n# file: b0/../x\nuser.a=\"b\"\n\n# file: b0/none\nuser.a\n";
    std::fs::write(&dump, [&good[..], more].concat()).unwrap();
    assert_eq!(open().unwrap(), pattern(1, 3 * SHARD));
}

/// As glusterd has it, without writing the dumps anew.
fn built_topology(built: &Built) -> Topology {
    Topology::from_volume_info_xml(&built.trees.volume_info_xml(), None).unwrap()
}
