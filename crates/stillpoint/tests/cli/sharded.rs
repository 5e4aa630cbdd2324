//! Every command over images, on an image in a volume, read from its bricks, and on the same image as a file.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, SnapshotSpec};
use stillpoint_testkit::volume::{BrickTrees, KeptIn, Shape};

use crate::stillpoint;
use crate::volume::is_root;

/// An image in several shards, one of them a hole, and one above it.
fn images() -> [(&'static str, Vec<u8>); 2] {
    let data = |byte: u8| ClusterSpec::Data((0..65536_u32).map(|at| (at / 100) as u8 ^ byte).collect());
    let mut before = SnapshotSpec::new("1", "before").extra(70_000, 1 << 20, u64::MAX);
    before.clusters = vec![(5, data(2))];
    before.vm_state = vec![9; 70_000];
    before.vm_state_size = 70_000;
    let base = ImageBuilder::v3().size(1 << 20).cluster(1, data(1)).cluster(3, ClusterSpec::Zero);
    let base = base.cluster(9, data(3)).snapshot(before);
    let base = base.bitmap(BitmapSpec { bits: vec![1, 3, 9], ..BitmapSpec::new("nightly") });
    let top = ImageBuilder::v3().size(1 << 20).backing(b"disk.qcow2", Some("qcow2")).cluster(2, data(7));
    [("vm/disk.qcow2", base.build()), ("vm/top.qcow2", top.build())]
}

struct Both {
    directory: tempfile::TempDir,
    /// How the volume is named on a command line.
    volume: Vec<String>,
    /// The same, brick by brick.
    bricks: Vec<String>,
}

fn both() -> Both {
    let directory = tempfile::tempdir().expect("a directory");
    let shape = Shape {
        name: "gv1".to_owned(),
        subvolumes: 2,
        replicas: 2,
        shard_size: 64 << 10,
        kept_in: KeptIn::FileSystem,
        ..Shape::default()
    };
    let mut trees = BrickTrees::create(directory.path(), shape).expect("bricks");
    trees.create_directory("vm").expect("a directory");
    fs::create_dir(directory.path().join("vm")).expect("a directory");
    for (name, bytes) in images() {
        trees.create_file(name).expect("a file");
        trees.write(name, 0, &bytes).expect("written");
        fs::write(directory.path().join(name), bytes).expect("written");
    }
    trees.save().expect("saved");
    let spec = directory.path().join("glusterd");
    trees.write_glusterd_directory(&spec).expect("described");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let bricks =
        (0..trees.brick_count()).flat_map(|number| ["--brick".to_owned(), text(trees.brick(number))]);
    Both { volume: vec!["--volume".to_owned(), text(&spec)], bricks: bricks.collect(), directory }
}

impl Both {
    fn run(&self, place: &[String], args: &[&str]) -> Output {
        let mut command = stillpoint();
        command.current_dir(self.directory.path()).args(args).args(place);
        command.output().expect("it runs")
    }

    /// Both answers, which end the same way; `None` where they write the same.
    fn difference(&self, args: &[&str]) -> Option<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let file = self.run(&[], args);
        let ends = |output: &Output| (output.status.code(), text(&output.stderr));
        assert_ne!(file.status.code(), Some(2), "{args:?}: {}", text(&file.stderr));
        for place in [&self.volume, &self.bricks] {
            let volume = self.run(place, args);
            assert_eq!(ends(&volume), ends(&file), "{args:?} {place:?}");
            if volume.stdout != file.stdout {
                return Some((text(&volume.stdout), text(&file.stdout)));
            }
        }
        None
    }
}

#[test]
fn every_command_over_images_answers_for_a_sharded_image_as_for_a_file() {
    if !is_root() {
        return;
    }
    let both = both();
    for args in [
        &["check", "vm/disk.qcow2"][..],
        &["check", "--output", "json", "vm/disk.qcow2"],
        &["check", "--snapshot", "before", "--explain", "vm/disk.qcow2"],
        &["map", "--output", "json", "vm/disk.qcow2"],
        &["map", "--output", "json", "vm/top.qcow2"],
        &["map", "vm/top.qcow2"],
        &["map", "--output", "json", "--snapshot", "1", "vm/disk.qcow2"],
        &["measure", "-O", "qcow2", "vm/top.qcow2"],
        &["measure", "-O", "qcow2", "--output", "json", "-l", "before", "vm/disk.qcow2"],
        &["compare", "vm/disk.qcow2", "vm/top.qcow2"],
        &["compare", "--ranges", "--a-snapshot", "before", "vm/disk.qcow2", "vm/disk.qcow2"],
        &["compare", "-s", "vm/top.qcow2", "vm/top.qcow2"],
        &["snapshots", "vm/disk.qcow2"],
        &["snapshots", "--output", "json", "vm/disk.qcow2"],
        &["bitmaps", "--ranges", "vm/disk.qcow2"],
        &["bitmaps", "--output", "json", "vm/disk.qcow2"],
        &["inspect", "vm/top.qcow2"],
        &["inspect", "--untrusted", "--output", "json", "vm/disk.qcow2"],
        &["info", "--explain", "vm/top.qcow2"],
        &["info", "vm/none.qcow2"],
    ] {
        // What the kernel says of a file that isn't there, and what the volume does, is worded differently.
        if args.contains(&"vm/none.qcow2") {
            let code = |place: &[String]| both.run(place, args).status.code();
            assert_eq!([code(&[]), code(&both.volume), code(&both.bricks)], [Some(1); 3]);
            continue;
        }
        assert_eq!(both.difference(args), None, "{args:?}");
    }
}

/// But for what is allocated: shards are files of their own.
#[test]
fn info_of_a_sharded_chain_is_that_of_the_files() {
    if !is_root() {
        return;
    }
    let both = both();
    let args = ["info", "--backing-chain", "--output", "json", "vm/top.qcow2"];
    let chain = |place: &[String]| {
        let mut chain: Value = serde_json::from_slice(&both.run(place, &args).stdout).expect("JSON");
        for image in chain.as_array_mut().expect("a chain") {
            let allocated = image["actual-size"].take();
            assert!(allocated.as_u64().expect("a size") >= 64 << 10, "{allocated}");
            image["children"][0]["info"]["actual-size"].take();
            // What kind of file system keeps it.
            image["children"][0]["info"]["format-specific"].take();
        }
        chain
    };
    let files = chain(&[]);
    assert_eq!(files.as_array().expect("a chain").len(), 2);
    assert_eq!(chain(&both.volume), files);
    assert_eq!(chain(&both.bricks), files);
}

#[test]
fn what_is_extracted_from_bricks_is_what_is_extracted_from_the_file() {
    if !is_root() {
        return;
    }
    let both = both();
    for args in [
        &["vm/disk.qcow2"][..],
        &["vm/top.qcow2", "--verify"],
        &["--snapshot", "before", "vm/disk.qcow2"],
        &["--snapshot", "before", "--vmstate", "vm/disk.qcow2"],
        &["-O", "qcow2", "-c", "vm/top.qcow2"],
    ] {
        let out = |place: &[String]| {
            let args = [&["extract", "--force"][..], args, &["out"]].concat();
            let output = both.run(place, &args);
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            fs::read(both.directory.path().join("out")).expect("it was made")
        };
        let file = out(&[]);
        assert!(out(&both.volume) == file && out(&both.bricks) == file, "{args:?}");
    }
}
