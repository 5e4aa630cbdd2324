//! Exports that go on where they were, that leave out what isn't known, and of many files at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use serde_json::Value;
use stillpoint_testkit::image::oracle::available;

use crate::volume::{SHARD, Site, content, is_root, json, site};
use crate::{stderr, stdout, stillpoint};

fn export(site: &Site) -> assert_cmd::Command {
    let mut command = stillpoint();
    command.args(["export", "--output", "json", "--volume"]).arg(&site.spec);
    command
}

/// The bricks of the subvolume that doesn't hold the base, gone for a while.
struct Away(Vec<(PathBuf, PathBuf)>);

impl Away {
    fn put(site: &Site) -> Self {
        let base = site.trees.shard_subvolume("vm/disk.img", 0).expect("a layout");
        let moved = site.trees.members(1 - base).map(|number| {
            let brick = site.trees.brick(number).to_owned();
            let away = brick.with_extension("away");
            fs::rename(&brick, &away).expect("moved");
            (brick, away)
        });
        Self(moved.collect())
    }

    fn bring_back(self) {
        self.0.iter().for_each(|(brick, away)| fs::rename(away, brick).expect("moved back"));
    }
}

/// What GNU ddrescue's own tool finds in a mapfile: `(rescued, bad)` in bytes. `None` where it isn't installed.
fn by_ddrescuelog(mapfile: &Path) -> Option<(u64, u64)> {
    if !available("ddrescuelog") {
        return None;
    }
    let output = Program::new("ddrescuelog").arg("-t").arg(mapfile).output().expect("it was found");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    // `     rescued:   327 kB,    in    2 areas  ( 80.00%)`: only the areas of each kind are told exactly.
    let blocks = |kind: &str| -> u64 {
        let listed = Program::new("ddrescuelog").args(["-b1", &format!("-l{kind}")]).arg(mapfile).output();
        String::from_utf8(listed.expect("it runs").stdout).expect("text").lines().count() as u64
    };
    assert!(text.contains("rescued:"), "{text}");
    Some((blocks("+"), blocks("-")))
}

#[test]
fn what_isnt_known_is_left_out_by_name_and_filled_in_once_its_bricks_are_back() {
    if !is_root() {
        return;
    }
    let site = site("gv1", 2, &content());
    let out = site.spec.with_file_name("out.img");
    let mapfile = out.with_file_name("out.img.map");
    let away = Away::put(&site);
    let mut command = export(&site);
    command.arg("--allow-missing").arg("vm/disk.img").arg(&out);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = json(&String::from_utf8(output.stdout).expect("text"));
    let missing = report["bytes_missing"].as_u64().expect("a number");
    assert!(missing > 0 && missing < content().len() as u64, "{report:#}");
    let parts = report["missing"].as_array().expect("parts");
    assert!(parts[0]["reason"].as_str().expect("a text").contains("bricks missing"), "{report:#}");
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.contains("are missing"), "{complaint}");
    // What there is, is right; what there isn't, is a hole.
    let mut wanted = content();
    for part in parts {
        let (offset, length) = (part["offset"].as_u64(), part["length"].as_u64());
        let (offset, length) = (offset.expect("a number") as usize, length.expect("a number") as usize);
        wanted[offset..offset + length].fill(0);
    }
    assert!(fs::read(&out).expect("it is there") == wanted);
    if let Some(found) = by_ddrescuelog(&mapfile) {
        assert_eq!(found, (content().len() as u64 - missing, missing));
    }
    // A manifest has no digest of it, and says so.
    let (second, manifest) = (out.with_file_name("second.img"), out.with_file_name("manifest.json"));
    let mut command = export(&site);
    command.arg("--allow-missing").arg("--manifest").arg(&manifest).arg("vm/disk.img").arg(&second);
    command.assert().code(3);
    let told = json(&fs::read_to_string(&manifest).expect("it is there"));
    let reason = told["disks"][0]["layers"][0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with(&format!("{missing} of its")), "{told:#}");
    // Without leave, it is an error, and what was done stays.
    let mut strict = export(&site);
    strict.arg("--resume").arg("vm/disk.img").arg(&out);
    strict.assert().code(1);
    assert!(mapfile.exists());

    away.bring_back();
    let report = json(&stdout(export(&site).arg("--resume").arg("vm/disk.img").arg(&out)));
    assert_eq!(report["bytes_missing"], 0);
    assert_eq!(report["bytes_before"].as_u64(), Some(content().len() as u64 - missing));
    assert!(fs::read(&out).expect("it is there") == content());
    assert!(!mapfile.exists(), "there is nothing left to go on with");
    // Now it is a file like any other.
    let mut again = export(&site);
    again.arg("--resume").arg("vm/disk.img").arg(&out).assert().code(1);
}

#[test]
fn a_mapfile_of_ones_own_stays_and_is_not_taken_for_another_files() {
    if !is_root() {
        return;
    }
    let mut one = site("gv1", 1, &content());
    one.trees.create_file("vm/other.img").expect("a file");
    one.trees.write("vm/other.img", 0, &content()).expect("written");
    one.trees.save().expect("saved");
    let (out, mapfile) = (one.spec.with_file_name("out.img"), one.spec.with_file_name("progress"));
    let mut command = export(&one);
    command.arg("--mapfile").arg(&mapfile).arg("vm/disk.img").arg(&out).assert().code(0);
    if let Some(found) = by_ddrescuelog(&mapfile) {
        assert_eq!(found, (content().len() as u64, 0));
    }
    let mut command = export(&one);
    command.arg("--mapfile").arg(&mapfile).arg("vm/other.img").arg(&out).assert().code(1);
    assert!(stderr(&mut command).contains("of another copy"), "{}", stderr(&mut command));
    assert!(fs::read(&out).expect("it is there") == content());
}

#[test]
fn all_files_below_a_directory_are_exported_with_their_paths() {
    if !is_root() {
        return;
    }
    let mut site = site("gv1", 2, &content());
    site.trees.create_directory("vm/deep").expect("a directory");
    site.trees.create_file("vm/deep/small").expect("a file");
    site.trees.write("vm/deep/small", 0, b"small").expect("written");
    site.trees.create_file("elsewhere").expect("a file");
    site.trees.save().expect("saved");
    let into = site.spec.with_file_name("restore");
    // What is named twice is copied once.
    let report = json(&stdout(export(&site).arg("--into").arg(&into).args(["vm", "vm/disk.img"])));
    assert_eq!(report["files"].as_array().expect("files").len(), 2, "{report:#}");
    assert!(fs::read(into.join("vm/disk.img")).expect("it is there") == content());
    assert_eq!(fs::read(into.join("vm/deep/small")).expect("it is there"), b"small");
    assert!(!into.join("elsewhere").exists());
    // What is not there keeps nothing else, and is the only thing that is not.
    let there = into.with_file_name("again");
    let mut command = export(&site);
    let output = command.arg("--into").arg(&there).args(["nope", "vm"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = json(&String::from_utf8(output.stdout).expect("text"));
    let failed: Vec<_> =
        report["files"].as_array().expect("files").iter().map(|file| !file["error"].is_null()).collect();
    assert_eq!(failed, [true, false, false], "{report:#}");
    assert!(fs::read(there.join("vm/disk.img")).expect("it is there") == content());
    export(&site).arg("--into").arg(&there).arg("nope").assert().code(1);
    // A directory has no one file to go to.
    let mut command = export(&site);
    command.arg("vm").arg(into.join("x")).assert().code(1);
    assert!(stderr(&mut command).contains("--into"), "{}", stderr(&mut command));
    // Which command line can't be meant is a usage error.
    export(&site).args(["vm", "vm/disk.img"]).arg(into.join("x")).assert().code(2);
    stillpoint().args(["export", "vm/disk.img"]).arg(into.join("x")).assert().code(2);
}

#[test]
fn many_files_go_into_a_directory_with_a_manifest_and_one_that_fails_keeps_no_other() {
    if !is_root() {
        return;
    }
    let mut site = site("gv1", 2, &content());
    site.trees.create_file("vm/second.img").expect("a file");
    site.trees.write("vm/second.img", SHARD + 5, b"second").expect("written");
    site.trees.save().expect("saved");
    let into = site.spec.with_file_name("restore");
    let manifest = site.spec.with_file_name("manifest.json");
    let mut command = export(&site);
    command.arg("--into").arg(&into).arg("--manifest").arg(&manifest).args(["vm/disk.img", "vm/second.img"]);
    let report = json(&stdout(&mut command));
    assert!(fs::read(into.join("vm/disk.img")).expect("it is there") == content());
    assert_eq!(fs::read(into.join("vm/second.img")).expect("it is there").len() as u64, SHARD + 11);
    let kept: Value = json(&fs::read_to_string(&manifest).expect("written"));
    for (number, size) in [content().len() as u64, SHARD + 11].into_iter().enumerate() {
        assert_eq!(report["files"][number]["bytes"], size);
        let layer = &kept["disks"][number]["layers"][0];
        assert_eq!((&layer["size"], &layer["digest"]), (&size.into(), &report["files"][number]["digest"]));
    }
    // One is there already; the other is made.
    fs::remove_file(into.join("vm/disk.img")).expect("removed");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = json(&String::from_utf8(output.stdout).expect("text"));
    assert!(report["files"][1]["error"].as_str().expect("an error").contains("exists"), "{report:#}");
    assert!(fs::read(into.join("vm/disk.img")).expect("it is there") == content());
}
