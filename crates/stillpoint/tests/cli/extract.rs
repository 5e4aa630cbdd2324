//! `extract` on images of files.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};

use crate::{stderr, stdout, stillpoint};

fn data(byte: u8) -> ClusterSpec {
    ClusterSpec::Data((0..65536_u32).map(|i| (i / 100) as u8 ^ byte).collect())
}

fn image(dir: &Path) {
    let mut before = SnapshotSpec::new("1", "before").extra(100_000, 1 << 20, u64::MAX);
    before.clusters = vec![(5, data(2))];
    before.vm_state = vec![9; 100_000];
    before.vm_state_size = 100_000;
    let image = ImageBuilder::v3().size(1 << 20).cluster(1, data(1)).cluster(9, data(3));
    let image = image.snapshot(before).snapshot(SnapshotSpec::new("2", "stateless"));
    fs::write(dir.join("disk.qcow2"), image.build()).expect("written");
}

fn extract(dir: &Path, args: &[&str]) -> assert_cmd::Command {
    let mut command = stillpoint();
    command.current_dir(dir).arg("extract").args(args);
    command
}

#[test]
fn what_is_extracted_is_what_qemu_img_converts() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    image(dir.path());
    let read = |name: &str| fs::read(dir.path().join(name)).expect("it was made");
    for (options, snapshot) in [
        (&["--verify"][..], None),
        (&["--snapshot", "before"], Some("before")),
        (&["--snapshot", "1", "-O", "qcow2"], Some("before")),
        (&["-O", "qcow2", "-c", "--verify"], None),
        (&["-O", "qcow2", "-c", "--compression-type", "zstd", "--cluster-size", "4k"], None),
    ] {
        let args: Vec<&str> = options.iter().copied().chain(["--force", "disk.qcow2", "out"]).collect();
        extract(dir.path(), &args).assert().code(0);
        let mut convert = vec!["convert", "-O", "raw"];
        convert.extend(snapshot.iter().flat_map(|name| ["-l", name]));
        qemu_img.output(convert.into_iter().chain(["disk.qcow2", "expected"]));
        let format = if options.contains(&"qcow2") { "qcow2" } else { "raw" };
        if format == "qcow2" {
            qemu_img.output(["check", "-q", "out"]);
        }
        qemu_img.output(["convert", "-f", format, "-O", "raw", "out", "again"]);
        assert!(read("again") == read("expected"), "{options:?}");
    }
}

#[test]
fn a_snapshots_vm_state_is_extracted_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    image(dir.path());
    let args = ["--snapshot", "before", "--vmstate", "--output", "json", "disk.qcow2", "state"];
    let report: Value = serde_json::from_str(&stdout(&mut extract(dir.path(), &args))).expect("JSON");
    assert_eq!((report["kind"].as_str(), report["size"].as_u64()), (Some("vmstate"), Some(100_000)));
    assert!(fs::read(dir.path().join("state")).expect("it was made") == vec![9; 100_000]);
    let args = ["--snapshot", "stateless", "--vmstate", "disk.qcow2", "state2"];
    extract(dir.path(), &args).assert().code(1);
    assert!(stderr(&mut extract(dir.path(), &args)).contains("has no VM state"));
    extract(dir.path(), &["--vmstate", "disk.qcow2", "state2"]).assert().code(2);
}

#[test]
fn a_file_that_exists_is_replaced_only_when_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    image(dir.path());
    fs::write(dir.path().join("out"), "old").expect("written");
    extract(dir.path(), &["disk.qcow2", "out"]).assert().code(1);
    assert!(stderr(&mut extract(dir.path(), &["disk.qcow2", "out"])).contains("out exists"));
    assert_eq!(fs::read(dir.path().join("out")).expect("it is there"), b"old");
    let told = stdout(&mut extract(dir.path(), &["--force", "disk.qcow2", "out"]));
    assert!(told.starts_with("disk.qcow2: 1048576 bytes to out: "), "{told}");
    assert_eq!(fs::metadata(dir.path().join("out")).expect("it is there").len(), 1 << 20);
    for wrong in [
        &["-c", "disk.qcow2", "new"][..],
        &["--snapshot", "none", "disk.qcow2", "new"],
        &["nothing.qcow2", "new"],
    ] {
        extract(dir.path(), wrong).assert().code(1);
    }
    extract(dir.path(), &["--cluster-size", "3k", "disk.qcow2", "new"]).assert().code(2);
    assert!(!dir.path().join("new").exists());
}
