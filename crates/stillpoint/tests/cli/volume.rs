//! Reading from bricks: a volume of two subvolumes with two replicas each, as its bricks would lie on disk.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use serde_json::Value;
use stillpoint_testkit::image::ImageBuilder;
use stillpoint_testkit::volume::{BrickTrees, KeptIn, Shape};

use crate::{stderr, stdout, stillpoint};

pub(crate) const SHARD: u64 = 64 << 10;

pub(crate) struct Site {
    pub(crate) trees: BrickTrees,
    pub(crate) spec: PathBuf,
    _dir: tempfile::TempDir,
}

/// The program takes bricks as they are, with `trusted.*` xattrs, which only root sees.
pub(crate) fn is_root() -> bool {
    let root = fs::metadata("/proc/self").expect("proc").uid() == 0;
    if !root {
        println!("skipped: trusted.* xattrs take root");
    }
    root
}

pub(crate) fn site(name: &str, replicas: usize, content: &[u8]) -> Site {
    site_of(name, Shape { replicas, ..Shape::default() }, content)
}

/// Two subvolumes of this shape.
pub(crate) fn site_of(name: &str, shape: Shape, content: &[u8]) -> Site {
    let dir = tempfile::tempdir().expect("a directory");
    let shape = Shape {
        name: name.to_owned(),
        subvolumes: 2,
        shard_size: SHARD,
        kept_in: KeptIn::FileSystem,
        ..shape
    };
    let mut trees = BrickTrees::create(dir.path(), shape).expect("bricks");
    trees.create_directory("vm").expect("a directory");
    trees.create_file("vm/disk.img").expect("a file");
    trees.write("vm/disk.img", 0, content).expect("written");
    trees.save().expect("saved");
    let spec = dir.path().join("glusterd");
    trees.write_glusterd_directory(&spec).expect("described");
    Site { trees, spec, _dir: dir }
}

pub(crate) fn content() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..5 * SHARD + 777).map(|at| ((at * 31) >> 3) as u8).collect();
    bytes[2 * SHARD as usize..3 * SHARD as usize].fill(0);
    bytes
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn an_export_is_the_file_and_tells_what_it_did() {
    if !is_root() {
        return;
    }
    let site = site("gv1", 2, &content());
    let out = site.spec.with_file_name("out.img");
    let mut command = stillpoint();
    command.args(["export", "--output", "json", "--volume"]).arg(&site.spec).arg("vm/disk.img").arg(&out);
    let report = json(&stdout(&mut command));
    assert_eq!(
        (report["schema_version"].as_u64(), report["bytes"].as_u64()),
        (Some(1), Some(5 * SHARD + 777))
    );
    assert!(fs::read(&out).expect("exported") == content());
    // What is there already stays, unless it is said.
    command.assert().code(1);
    command.arg("--force").assert().code(0);

    // By its bricks alone, by its gfid, by its path on a mount.
    let gfid = format!("gfid:{}", report["gfid"].as_str().expect("a gfid"));
    for name in [gfid.as_str(), "/mnt/gv1/vm/disk.img"] {
        let again = site.spec.with_file_name("again.img");
        let mut command = stillpoint();
        command.arg("export");
        for number in 0..site.trees.brick_count() {
            command.arg("--brick").arg(site.trees.brick(number));
        }
        command.args(["--force", "--mounted-at", "/mnt/gv1", name]).arg(&again).assert().code(0);
        assert!(fs::read(&again).expect("exported") == content());
    }
}

#[test]
fn an_export_without_a_subvolume_names_the_missing_bricks_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let site = site("gv1", 2, &content());
    let out = site.spec.with_file_name("out.img");
    for number in [0, 1] {
        fs::remove_dir_all(site.trees.brick(number)).expect("removed");
    }
    let mut command = stillpoint();
    command.args(["export", "--volume"]).arg(&site.spec).arg("vm/disk.img").arg(&out);
    command.assert().code(1);
    let complaint = stderr(&mut command);
    for number in [0, 1] {
        assert!(complaint.contains(&site.trees.brick(number).display().to_string()), "{complaint}");
    }
    assert!(!out.exists());
}

#[test]
fn locate_names_every_copy() {
    if !is_root() {
        return;
    }
    let site = site("gv1", 2, &content());
    let mut command = stillpoint();
    command.args(["locate", "--output", "json", "--volume"]).arg(&site.spec).args(["vm/disk.img", "70000"]);
    let found = json(&stdout(&mut command));
    assert_eq!((found["shard"].as_u64(), found["offset_in_shard"].as_u64()), (Some(1), Some(70000 - SHARD)));
    let copies = found["state"]["copies"].as_array().expect("copies");
    assert_eq!(copies.len(), 2);
    for copy in copies {
        assert!(fs::metadata(copy["local"].as_str().expect("a path")).is_ok());
    }
    let mut hole = stillpoint();
    hole.args(["locate", "--volume"]).arg(&site.spec).args(["vm/disk.img", &(2 * SHARD).to_string()]);
    assert!(stdout(&mut hole).contains("shard 2"));
    let mut past = stillpoint();
    past.args(["locate", "--volume"]).arg(&site.spec).args(["vm/disk.img", "1T"]);
    past.assert().code(1);
}

#[test]
fn verify_exits_0_where_both_sites_are_the_same_and_names_what_is_not() {
    if !is_root() {
        return;
    }
    let (primary, secondary) = (site("gv1", 2, &content()), site("gv2", 1, &content()));
    let mut command = stillpoint();
    command.args(["verify", "vm/disk.img", "--output", "json", "--primary"]).arg(&primary.spec);
    command.arg("--secondary").arg(&secondary.spec);
    command.assert().code(0);
    let proof = json(&stdout(&mut command));
    assert_eq!((proof["schema_version"].as_u64(), proof["holds"].as_bool()), (Some(1), Some(true)));
    assert_eq!(proof["compared"]["shards"], 6);

    let brick = secondary.trees.shard_subvolume("vm/disk.img", 4).expect("a layout");
    let shard = secondary.trees.brick(brick).join(secondary.trees.shard_path("vm/disk.img", 4));
    let file = fs::File::options().write(true).open(&shard).expect("a shard");
    file.write_all_at(b"tampered", 1000).expect("written");
    command.assert().code(1);
    let proof = json(&stdout(&mut command));
    assert_eq!(proof["holds"], false);
    let named = &proof["differences"][0]["shards"][0];
    assert_eq!((named["index"].as_u64(), named["kind"].as_str()), (Some(4), Some("different")));
    assert_eq!(named["secondary_places"][0]["path"].as_str(), shard.to_str());
    let mut words = stillpoint();
    words
        .args(["verify", "vm/disk.img", "--primary"])
        .arg(&primary.spec)
        .arg("--secondary")
        .arg(&secondary.spec);
    let text = stdout(&mut words);
    assert!(text.contains("FAILS") && text.contains(&shard.display().to_string()), "{text}");
}

#[test]
fn a_chain_in_a_volume_is_followed_within_it() {
    if !is_root() {
        return;
    }
    let mut site = site("gv1", 2, &content());
    let top = ImageBuilder::v3().size(1 << 20).backing(b"disk.img", Some("raw")).build();
    let outside = ImageBuilder::v3().size(1 << 20).backing(b"/etc/passwd", Some("raw")).build();
    for (name, bytes) in [("vm/top.qcow2", top), ("vm/outside.qcow2", outside)] {
        site.trees.create_file(name).expect("a file");
        site.trees.write(name, 0, &bytes).expect("written");
    }
    let mut command = stillpoint();
    command
        .args(["info", "--backing-chain", "--output", "json", "--volume"])
        .arg(&site.spec)
        .arg("vm/top.qcow2");
    command.assert().code(0);
    let chain = json(&stdout(&mut command));
    assert_eq!(chain[0]["full-backing-filename"], "vm/disk.img");
    assert_eq!(
        (chain[1]["filename"].as_str(), chain[1]["format"].as_str()),
        (Some("vm/disk.img"), Some("raw"))
    );

    for allow in [&[][..], &["--allow-any"], &["--mounted-at", "/etc"]] {
        let mut command = stillpoint();
        command
            .args(["info", "--backing-chain", "--volume"])
            .arg(&site.spec)
            .args(allow)
            .arg("vm/outside.qcow2");
        command.assert().code(1);
        assert!(stderr(&mut command).contains("passwd"), "{}", stderr(&mut command));
    }
}

#[test]
fn a_mapping_of_a_brick_that_the_volume_lacks_is_refused() {
    if !is_root() {
        return;
    }
    let site = site("gv1", 1, &content());
    let mut command = stillpoint();
    command
        .args(["locate", "--map", "siteZ:/bricks/b9=/tmp", "--volume"])
        .arg(&site.spec)
        .args(["vm/disk.img", "0"]);
    command.assert().code(1);
    assert!(stderr(&mut command).contains("siteZ:/bricks/b9"), "{}", stderr(&mut command));
}
