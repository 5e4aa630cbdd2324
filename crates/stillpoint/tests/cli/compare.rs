//! `compare` on images of files, with qemu-img as the oracle for its words.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};

use crate::{stderr, stdout, stillpoint};

fn data(byte: u8) -> ClusterSpec {
    ClusterSpec::Data(vec![byte; 65536])
}

/// Images of 64 MiB with some data, and some that differ from the first a little.
fn images(dir: &Path) {
    let write = |name: &str, image: ImageBuilder| {
        fs::write(dir.join(name), image.build()).expect("it can be written");
    };
    let plain = || {
        let clusters = (16..200).map(|index| (index, data(7)));
        clusters.fold(ImageBuilder::v3().size(64 << 20), |image, (index, spec)| image.cluster(index, spec))
    };
    write("a.qcow2", plain());
    write("same.qcow2", plain().cluster(900, ClusterSpec::Zero));
    write("larger.qcow2", plain().size(80 << 20));
    write("larger-differs.qcow2", plain().size(80 << 20).cluster(1100, data(1)));
    let mut other = vec![7; 65536];
    other[1000] = 8;
    let clusters = (16..200).map(|index| (index, data(7))).filter(|(index, _)| *index != 100);
    let differs =
        clusters.fold(ImageBuilder::v3().size(64 << 20), |image, (index, spec)| image.cluster(index, spec));
    write("differs.qcow2", differs.cluster(100, ClusterSpec::Data(other)));
    write(
        "unaligned.qcow2",
        ImageBuilder::v3().size(64 << 20).cluster(3, data(7)).patch_u64(0x20018, 0x1200),
    );
    write("damaged.qcow2", plain().cluster(3, ClusterSpec::Compressed(vec![0xff; 40])));
    fs::write(dir.join("zeros.raw"), vec![0; 1 << 20]).expect("it can be written");
    fs::write(dir.join("odd.raw"), vec![0; (1 << 20) + 100]).expect("it can be written");
}

#[test]
fn stdout_and_exit_codes_are_qemu_imgs() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    images(dir.path());
    let cases: &[&[&str]] = &[
        &["compare", "a.qcow2", "a.qcow2"],
        &["compare", "-U", "a.qcow2", "same.qcow2"],
        &["compare", "-s", "a.qcow2", "same.qcow2"],
        &["compare", "-p", "a.qcow2", "same.qcow2"],
        &["compare", "-p", "a.qcow2", "larger.qcow2"],
        &["compare", "-p", "larger.qcow2", "a.qcow2"],
        &["compare", "-p", "-s", "a.qcow2", "larger.qcow2"],
        &["compare", "-p", "-q", "a.qcow2", "larger.qcow2"],
        &["compare", "-q", "a.qcow2", "differs.qcow2"],
        &["compare", "-p", "a.qcow2", "differs.qcow2"],
        &["compare", "a.qcow2", "larger-differs.qcow2"],
        &["compare", "-p", "larger-differs.qcow2", "a.qcow2"],
        &["compare", "-F", "raw", "a.qcow2", "zeros.raw"],
        &["compare", "-f", "raw", "-F", "raw", "zeros.raw", "odd.raw"],
        &["compare", "-f", "raw", "a.qcow2", "same.qcow2"],
        &["compare", "-f", "bogus", "a.qcow2", "same.qcow2"],
        &["compare", "-F", "bogus", "a.qcow2", "same.qcow2"],
        &["compare", "-F", "qcow2", "a.qcow2", "zeros.raw"],
        &["compare", "-T", "none", "a.qcow2", "same.qcow2"],
        &["compare", "-T", "bogus", "a.qcow2", "same.qcow2"],
        &["compare", "a.qcow2", "nothing.qcow2"],
        &["compare", "nothing.qcow2", "a.qcow2"],
    ];
    for args in cases {
        let theirs = qemu_img.run(*args);
        let ours = stillpoint().current_dir(dir.path()).args(*args).output().expect("it runs");
        assert_eq!(
            String::from_utf8_lossy(&ours.stdout),
            String::from_utf8_lossy(&theirs.stdout),
            "{args:?}"
        );
        let complaint = String::from_utf8_lossy(&theirs.stderr).replace("qemu-img: ", "stillpoint: ");
        assert_eq!(String::from_utf8_lossy(&ours.stderr), complaint, "{args:?}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{args:?}");
    }
    // What a qemu-img's library says before it differs from what we say of the cause; the last line doesn't.
    for name in ["damaged.qcow2", "unaligned.qcow2"] {
        for args in [["compare", "a.qcow2", name], ["compare", name, "a.qcow2"], ["compare", "-s", "a.qcow2"]]
        {
            let theirs = qemu_img.run(args);
            let ours = stillpoint().current_dir(dir.path()).args(args).output().expect("it runs");
            assert_eq!(ours.status.code(), theirs.status.code(), "{args:?}");
            if args[1] != "-s" {
                let last = |bytes: &[u8]| {
                    let text = String::from_utf8_lossy(bytes);
                    text.lines().last().unwrap_or_default().replace("qemu-img: ", "stillpoint: ")
                };
                assert_eq!(last(&ours.stderr), last(&theirs.stderr), "{args:?}");
            }
        }
    }
}

#[test]
fn every_range_that_differs_between_a_snapshot_and_now_is_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut before = SnapshotSpec::new("1", "before");
    before.clusters = vec![(1, data(1)), (5, data(2))];
    let image = ImageBuilder::v3().size(1 << 20).cluster(1, data(1)).cluster(9, data(3)).snapshot(before);
    fs::write(dir.path().join("disk.qcow2"), image.build()).expect("written");
    let compare = |options: &[&str]| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).arg("compare").args(options).args(["disk.qcow2", "disk.qcow2"]);
        command
    };
    compare(&["--ranges"]).assert().code(0);
    assert_eq!(stdout(&mut compare(&["--ranges"])), "Images are identical.\n");
    let with = &["--ranges", "--a-snapshot", "before"];
    compare(with).assert().code(1);
    assert_eq!(
        stdout(&mut compare(with)),
        "0x50000 0x10000\n0x90000 0x10000\n2 ranges differ, 131072 bytes in all\n"
    );
    let json = stdout(&mut compare(&["--ranges", "--output", "json", "--b-snapshot", "1"]));
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (found["identical"].as_bool(), found["ranges"][1]["start"].as_u64()),
        (Some(false), Some(0x90000))
    );
    assert_eq!(found["bytes_different"].as_u64(), Some(131_072));
    compare(&["--a-snapshot", "none"]).assert().code(2);
    assert!(stderr(&mut compare(&["--a-snapshot", "none"])).contains("no snapshot 'none'"));
    let json = stdout(&mut compare(&["--output", "json", "--b-snapshot", "1"]));
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(found["first_difference"].as_u64(), Some(0x50000));
}
