//! `map` on images of files, with qemu-img as the oracle for its words.

use std::fs;

use serde_json::Value;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};

use crate::{same_as_qemu_img, stderr, stdout, stillpoint};

fn image() -> ImageBuilder {
    let data = |byte| ClusterSpec::Data(vec![byte; 65536]);
    let mut snapshot = SnapshotSpec::new("1", "before").extra(0, 1 << 20, 0);
    snapshot.clusters = vec![(0, data(1))];
    ImageBuilder::v3().cluster(2, data(2)).cluster(3, ClusterSpec::Zero).snapshot(snapshot)
}

#[test]
fn stdout_stderr_and_exit_codes_are_qemu_imgs() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("written");
    write("data.qcow2", &image().build());
    let compressed = ClusterSpec::deflated(&[5; 65536]);
    write("compressed.qcow2", &image().cluster(5, compressed).build());
    write("base.raw", &[7; 100_000]);
    write("top.qcow2", &image().backing(b"base.raw", Some("raw")).build());
    write("empty.raw", b"");
    write("cut.qcow2", &image().build()[..50]);
    for file in ["data.qcow2", "compressed.qcow2", "top.qcow2", "base.raw"] {
        for options in [
            &[][..],
            &["--output=json"],
            &["--start-offset", "64k", "--max-length", "100000", "--output", "json"],
            &["-s", "0x21000", "-l", "1.5k"],
            &["-s", "1G", "--output", "json"],
        ] {
            let format = if file.ends_with("raw") { "raw" } else { "qcow2" };
            let arguments = [&["map", "-U", "-f", format], options, &[file]].concat();
            same_as_qemu_img(&qemu_img, &arguments);
        }
    }
    for arguments in [
        &["map", "-U", "-f", "raw", "--output=json", "empty.raw"][..],
        &["map", "-U", "-f", "raw", "empty.raw"],
        &["map", "-U", "cut.qcow2"],
        &["map", "-U", "nothing.qcow2"],
        &["map", "-f", "nonsense", "data.qcow2"],
        &["map", "--start-offset", "x", "data.qcow2"],
        &["map", "--start-offset", "-1", "data.qcow2"],
        &["map", "--max-length", "-1", "data.qcow2"],
        &["map", "--max-length", "9E", "data.qcow2"],
    ] {
        same_as_qemu_img(&qemu_img, arguments);
    }
}

#[test]
fn a_snapshot_and_one_layer_are_mapped_where_qemu_img_maps_neither() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("base.raw"), [7; 65536]).expect("written");
    let top = image().backing(b"base.raw", Some("raw")).build();
    fs::write(dir.path().join("top.qcow2"), top).expect("written");
    let map = |options: &[&str]| -> Value {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(["map", "--output", "json"]).args(options).arg("top.qcow2");
        serde_json::from_str(&stdout(&mut command)).expect("JSON")
    };
    let chain = map(&[]);
    assert_eq!((&chain[0]["depth"], &chain[0]["data"]), (&1.into(), &true.into()), "{chain}");
    let one = map(&["--one-layer"]);
    // What a backing file may have is neither data nor zeros.
    assert_eq!(
        (&one[0]["present"], &one[0]["zero"], &one[0]["data"]),
        (&false.into(), &false.into(), &false.into())
    );
    for snapshot in ["1", "before"] {
        let map = map(&["--snapshot", snapshot]);
        assert_eq!((&map[0]["depth"], &map[0]["length"]), (&0.into(), &65536.into()), "{map}");
    }
    let mut none = stillpoint();
    none.current_dir(dir.path()).args(["map", "--snapshot", "nobody", "top.qcow2"]);
    none.assert().code(1);
    assert!(stderr(&mut none).contains("nobody"));
}

#[test]
fn a_table_that_is_damaged_ends_the_map_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut bytes = image().build();
    let word = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let l1 = usize::try_from(word(&bytes, 40)).expect("small");
    let l2 = usize::try_from(word(&bytes, l1) & 0x00ff_ffff_ffff_fe00).expect("small");
    bytes[l2 + 4 * 8 + 6] = 2;
    fs::write(dir.path().join("bad.qcow2"), &bytes).expect("written");
    let mut map = stillpoint();
    map.current_dir(dir.path()).args(["map", "--output", "json", "bad.qcow2"]);
    map.assert().code(1);
    // What was known before is told, as qemu-img does.
    assert!(stdout(&mut map).starts_with("[{ \"start\": 0,"));
    assert!(
        stderr(&mut map).contains("Could not read file metadata: the cluster of 0x40000"),
        "{}",
        stderr(&mut map)
    );
}
