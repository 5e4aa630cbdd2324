//! `snapshots`, with qemu-img as the oracle for its text.

use std::fs;

use serde_json::Value;
use stillpoint_testkit::image::oracle::{QemuImg, save_vm_state};
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};

use crate::{stderr, stdout, stillpoint};

#[test]
fn text_and_exit_codes_are_qemu_imgs() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    qemu_img.create("none.qcow2", "", "4M");
    qemu_img.create("taken.qcow2", "", "4M");
    for name in ["one", "a name that is longer than its column", "tab\tand é"] {
        qemu_img.output(["snapshot", "-c", name, "taken.qcow2"]);
    }
    qemu_img.create("machine.qcow2", "", "4M");
    // Where there is no QEMU, there is nothing in it.
    let _ = save_vm_state(&dir.path().join("machine.qcow2"), &["on"]);
    let mut spec = SnapshotSpec::new("id", "made").extra(123 << 40, 1 << 30, u64::MAX);
    (spec.date_sec, spec.vm_clock_nsec) = (u32::MAX, u64::MAX);
    fs::write(dir.path().join("made.qcow2"), ImageBuilder::v3().snapshot(spec).build()).expect("written");
    fs::write(dir.path().join("plain.raw"), [0; 512]).expect("written");
    for name in ["none.qcow2", "taken.qcow2", "machine.qcow2", "made.qcow2", "plain.raw", "missing", "cut"] {
        if name == "cut" {
            fs::write(dir.path().join(name), &ImageBuilder::v3().build()[..50]).expect("written");
        }
        let theirs = qemu_img.run(["snapshot", "-U", "-l", name]);
        let ours =
            stillpoint().current_dir(dir.path()).args(["snapshots", "-U", name]).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("qemu-img: ", "stillpoint: ");
        assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{name}");
        assert_eq!(text(&ours.stderr), text(&theirs.stderr), "{name}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{name}");
    }
}

#[test]
fn json_has_all_that_is_stored_of_a_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("made.qcow2");
    let mut spec = SnapshotSpec::new("7", "made").extra(5 << 32, 1 << 20, 99);
    (spec.date_sec, spec.vm_clock_nsec) = (1_700_000_000, 1_500_000_000);
    let image = ImageBuilder::v3().snapshot(spec).snapshot(SnapshotSpec::new("8", "old")).build();
    fs::write(&path, image).expect("written");
    let mut command = stillpoint();
    command.args(["snapshots", "--output", "json"]).arg(&path).assert().code(0);
    let listed: Value = serde_json::from_str(&stdout(&mut command)).expect("JSON");
    assert_eq!(listed["schema_version"], 1);
    let made = &listed["snapshots"][0];
    assert_eq!((&made["id"], &made["name"]), (&"7".into(), &"made".into()));
    assert_eq!(made["vm_state_size"], 5_u64 << 32);
    assert_eq!((&made["disk_size"], &made["icount"]), (&(1_u64 << 20).into(), &99.into()));
    assert_eq!((&made["date_sec"], &made["vm_clock_nsec"]), (&1_700_000_000.into(), &1_500_000_000.into()));
    let old = listed["snapshots"][1].as_object().expect("an object");
    assert!(!old.contains_key("disk_size") && old.contains_key("l1_offset"));
}

#[test]
fn no_key_is_needed_and_nothing_is_said_on_stderr() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("luks.qcow2");
    let image = ImageBuilder::v3().luks(stillpoint_testkit::image::LuksSpec::default());
    fs::write(&path, image.snapshot(SnapshotSpec::new("1", "locked")).build()).expect("written");
    let mut command = stillpoint();
    command.arg("snapshots").arg(&path).assert().code(0);
    assert!(stdout(&mut command).contains("locked"));
    assert_eq!(stderr(&mut command), "");
}
