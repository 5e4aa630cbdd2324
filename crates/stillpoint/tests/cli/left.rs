//! Files without their base or their size, paths of gfids, and xattrs in dumps.

use std::fs;

use stillpoint_testkit::volume::{BrickTrees, Shape};

use crate::volume::{SHARD, content, is_root, json, site_of};
use crate::{stderr, stdout, stillpoint};

#[test]
fn a_deleted_file_is_listed_and_exported_by_its_gfid_and_what_is_lost_is_told() {
    if !is_root() {
        return;
    }
    let mut site = site_of("gv1", Shape { replicas: 2, ..Shape::default() }, &content());
    let gfid = site.trees.delete_base("vm/disk.img").expect("deleted");
    let name = format!("gfid:{gfid}");
    let ls = |args: &[&str]| {
        let mut command = stillpoint();
        command.arg("ls").args(args).arg("--volume").arg(&site.spec);
        command
    };
    assert_eq!(stdout(&mut ls(&["--deleted"])), format!("{name}\n"));
    assert_eq!(stdout(&mut ls(&["--orphans"])), "");
    let long = stdout(&mut ls(&["--deleted", "-l"]));
    assert!(long.contains("size 328457, block size 65536") && long.contains("the last 5"), "{long}");
    let listed = json(&stdout(&mut ls(&["--deleted", "--orphans", "--output", "json"])));
    assert_eq!(listed["left_over"][0]["remains"], "deleted");

    let out = site.spec.with_file_name("out.img");
    let export = |args: &[&str]| {
        let mut command = stillpoint();
        command
            .args(["export", "--output", "json"])
            .args(args)
            .arg("--volume")
            .arg(&site.spec)
            .arg(&name)
            .arg(&out);
        command
    };
    let mut refused = export(&[]);
    refused.assert().code(1);
    assert!(stderr(&mut refused).contains("was deleted"), "{}", stderr(&mut refused));
    let mut command = export(&["--allow-missing"]);
    let report = json(&stdout(&mut command));
    command.assert().code(3);
    // The third shard was written as zeros, and is there.
    assert_eq!(report["missing"][0]["length"].as_u64(), Some(SHARD));
    assert_eq!(report["bytes_missing"].as_u64(), Some(SHARD), "{report}");
    let mut expected = content();
    expected[..SHARD as usize].fill(0);
    assert!(fs::read(&out).expect("exported") == expected);

    site.trees.remove_marker(gfid).expect("removed");
    assert_eq!(stdout(&mut ls(&["--orphans"])), format!("{name}\n"));
    fs::remove_file(&out).expect("removed");
    fs::remove_file(out.with_file_name("out.img.map")).expect("removed");
    let mut command = export(&["--allow-missing", "--size", "400000", "--block-size", "64K"]);
    command.assert().code(3);
    assert_eq!(fs::metadata(&out).expect("exported").len(), 400_000);
}

#[test]
fn a_size_that_is_lost_is_said_and_told_and_belongs_to_a_volume_and_one_file() {
    if !is_root() {
        return;
    }
    let mut site = site_of("gv1", Shape::default(), &content());
    let brick = site.trees.shard_subvolume("vm/disk.img", 0).expect("a layout");
    site.trees.remove_xattr(brick, "vm/disk.img", "trusted.glusterfs.shard.file-size").expect("removed");
    let out = site.spec.with_file_name("out.img");
    let export = |args: &[&str]| {
        let mut command = stillpoint();
        command.args(["export", "--force", "--output", "json"]).args(args).arg("--volume").arg(&site.spec);
        command.arg("vm/disk.img").arg(&out);
        command
    };
    let mut refused = export(&[]);
    refused.assert().code(1);
    assert!(stderr(&mut refused).contains("--file-size"), "{}", stderr(&mut refused));
    let report = json(&stdout(&mut export(&["--size", "auto"])));
    assert!(report["findings"][0].as_str().expect("told").contains("328457 bytes"), "{report}");
    assert!(fs::read(&out).expect("exported") == content());
    let report = json(&stdout(&mut export(&["--size", "100K"])));
    assert_eq!(report["bytes"].as_u64(), Some(102_400));
    let mut info = stillpoint();
    info.args(["info", "--size", "1M", "--volume"]).arg(&site.spec).arg("vm/disk.img").assert().code(0);
    assert!(stdout(&mut info).contains("1 MiB"), "{}", stdout(&mut info));
    stillpoint().args(["info", "--size", "1M", "disk.img"]).assert().code(1);
    for verb in ["ls", "audit"] {
        let mut command = stillpoint();
        command.args([verb, "--file-size", "1M", "--volume"]).arg(&site.spec).assert().code(2);
    }
    let mut several = stillpoint();
    several.args(["export", "--size", "1M", "--into"]).arg(&out).arg("--volume").arg(&site.spec).arg("/");
    several.assert().code(2);
    assert!(stderr(&mut several).contains("of one file"), "{}", stderr(&mut several));
}

#[test]
fn the_paths_of_a_gfid_are_told_and_what_contradicts_them() {
    if !is_root() {
        return;
    }
    let mut site = site_of("gv1", Shape::default(), &content());
    let gfid = |trees: &BrickTrees, brick: usize, path: &str| {
        let value = trees.xattr(brick, path, "trusted.gfid").expect("read").expect("a gfid");
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    };
    let brick = site.trees.shard_subvolume("vm/disk.img", 0).expect("a layout");
    let (disk, vm) = (gfid(&site.trees, brick, "vm/disk.img"), gfid(&site.trees, 0, "vm"));
    let handles = site.trees.brick(0).join(".glusterfs").join(&vm[..2]).join(&vm[2..4]);
    fs::create_dir_all(&handles).expect("a directory");
    if handles.join(&vm).symlink_metadata().is_err() {
        std::os::unix::fs::symlink("../../00/00/00000000-0000-0000-0000-000000000001/vm", handles.join(&vm))
            .expect("a link");
    }
    site.trees
        .set_xattr(
            brick,
            "vm/disk.img",
            "trusted.gfid2path.0123456789abcdef",
            format!("{vm}/disk.img").as_bytes(),
        )
        .expect("set");
    let run = |args: &[&str]| {
        let mut command = stillpoint();
        command.args(args).arg("--volume").arg(&site.spec).arg(format!("gfid:{disk}"));
        command
    };
    assert_eq!(stdout(&mut run(&["locate"])), "vm/disk.img\n");
    assert_eq!(json(&stdout(&mut run(&["locate", "--output", "json"])))["names"][0], "vm/disk.img");
    let mut with_offset = run(&["locate", "--output", "json"]);
    let located = json(&stdout(with_offset.arg("70000")));
    assert_eq!((located["names"][0].as_str(), located["shard"].as_u64()), (Some("vm/disk.img"), Some(1)));
    assert!(stdout(&mut run(&["ls"])).contains("named vm/disk.img"));
    assert_eq!(json(&stdout(&mut run(&["ls", "--output", "json"])))["entries"][0]["names"][0], "vm/disk.img");

    let root = "00000000-0000-0000-0000-000000000001";
    site.trees
        .set_xattr(
            brick,
            "vm/disk.img",
            "trusted.gfid2path.fedcba9876543210",
            format!("{root}/old.img").as_bytes(),
        )
        .expect("set");
    let mut contradicted = stillpoint();
    contradicted.args(["locate", "--volume"]).arg(&site.spec).arg(format!("gfid:{disk}"));
    assert_eq!(stdout(&mut contradicted), "vm/disk.img\n");
    assert!(stderr(&mut contradicted).contains("old.img"), "{}", stderr(&mut contradicted));
    let mut path = stillpoint();
    path.args(["locate", "--volume"]).arg(&site.spec).arg("vm/disk.img").assert().code(2);
}

/// Takes no root: the bricks' xattrs are in dumps only, under names of their own.
#[test]
fn xattrs_come_from_a_dump_that_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let shape = Shape { subvolumes: 2, shard_size: 4096, ..Shape::default() };
    let mut trees = BrickTrees::create(dir.path(), shape).expect("bricks");
    trees.create_file("disk").expect("a file");
    trees.write("disk", 0, &[7; 20_000]).expect("written");
    trees.save().expect("saved");
    let mut dumps = Vec::new();
    for brick in 0..2 {
        let (from, to) =
            (dir.path().join(format!("b{brick}.getfattr")), dir.path().join(format!("x{brick}")));
        fs::rename(from, &to).expect("renamed");
        dumps.push(format!("{}={}", trees.brick(brick).display(), to.display()));
    }
    let spec = dir.path().join("glusterd");
    trees.write_glusterd_directory(&spec).expect("described");
    let out = dir.path().join("out");
    let export = |by_spec: bool, dumps: &[String]| {
        let mut command = stillpoint();
        command.args(["export", "--force"]);
        if by_spec {
            command.arg("--volume").arg(&spec);
        } else {
            command.arg("--brick").arg(trees.brick(0)).arg("--brick").arg(trees.brick(1));
        }
        for dump in dumps {
            command.args(["--xattrs", dump]);
        }
        command.arg("disk").arg(&out);
        command
    };
    for by_spec in [false, true] {
        export(by_spec, &dumps).assert().code(0);
        assert!(fs::read(&out).expect("exported") == [7; 20_000]);
        export(by_spec, &dumps[..1]).assert().code(1);
        export(by_spec, &[format!("/nowhere={}", out.display())]).assert().code(1);
    }
    export(false, &["no-pair".to_owned()]).assert().code(2);
}

#[test]
fn an_earlier_volfile_of_a_log_is_taken_where_it_is_asked_for() {
    if !is_root() {
        return;
    }
    let site = site_of("gv1", Shape { replicas: 2, ..Shape::default() }, &content());
    let logged = |volfile: &str| {
        let line = format!("+{}+", "-".repeat(78));
        let lines = volfile.lines().enumerate().map(|(n, line)| format!("{:>3}: {line}\n", n + 1));
        format!("Final graph:\n{line}\n{}{line}\n", lines.collect::<String>())
    };
    let good = site.trees.client_volfile();
    // As after its bricks were replaced.
    let log = site.spec.with_file_name("mnt.log");
    fs::write(&log, logged(&good) + &logged(&good.replace("/b", "/replaced-b"))).expect("written");
    let locate = |args: &[&str]| {
        let mut command = stillpoint();
        command.arg("locate").args(args).args(["vm/disk.img", "0"]);
        command
    };
    let log = log.to_str().expect("text");
    locate(&["--volume", log]).assert().code(1);
    locate(&["--volume", log, "--log-volfile", "1"]).assert().code(0);
    locate(&["--volume", log, "--log-volfile", "2"]).assert().code(1);
    locate(&["--volume", site.spec.to_str().expect("text"), "--log-volfile", "1"]).assert().code(1);
}
