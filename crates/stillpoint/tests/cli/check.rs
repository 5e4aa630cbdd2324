//! `check` on images of files, with qemu-img as the oracle for its words.

use std::fs;

use serde_json::Value;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};

use crate::{stderr, stdout, stillpoint};

/// Where the L2 table is that the entry of the L1 table at `l1` points to.
fn l2(image: &[u8], l1: usize) -> usize {
    let entry = u64::from_be_bytes(image[l1..l1 + 8].try_into().expect("8 bytes"));
    usize::try_from(entry & 0x00ff_ffff_ffff_fe00).expect("images are small")
}

fn word(image: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_be_bytes(image[at..at + 8].try_into().expect("8 bytes")))
        .expect("images are small")
}

fn image() -> ImageBuilder {
    let data = |byte| ClusterSpec::Data(vec![byte; 65536]);
    let mut snapshot = SnapshotSpec::new("1", "before").extra(0, 1 << 20, 0);
    snapshot.clusters = vec![(0, data(1))];
    ImageBuilder::v3().cluster(0, data(2)).cluster(3, data(3)).snapshot(snapshot)
}

#[test]
fn stdout_stderr_and_exit_codes_are_qemu_imgs() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    let sound = image().build();
    let entry = l2(&sound, word(&sound, 40));
    let block = word(&sound, word(&sound, 48));
    let write = |name: &str, image: &[u8]| fs::write(dir.path().join(name), image).expect("written");
    write("sound.qcow2", &sound);
    let mut leaked = sound.clone();
    leaked[entry..entry + 8].fill(0);
    write("leaked.qcow2", &leaked);
    let mut corrupt = leaked.clone();
    corrupt[entry + 30] |= 2;
    write("corrupt.qcow2", &corrupt);
    let mut unaligned = sound.clone();
    let table = word(&sound, 48);
    unaligned[table + 6] |= 2;
    write("unaligned.qcow2", &unaligned);
    let mut refcount = sound.clone();
    refcount[block + 1] = 3;
    write("refcount.qcow2", &refcount);
    write("many.qcow2", &image().patch_u32(60, 65537).build());
    write("table.qcow2", &image().patch_u64(64, 512).build());
    write("cut.qcow2", &sound[..50]);
    write("plain.raw", b"not an image");
    let names = ["sound", "leaked", "corrupt", "unaligned", "refcount", "many", "table", "cut"]
        .map(|n| format!("{n}.qcow2"));
    let mut cases: Vec<Vec<&str>> = Vec::new();
    for name in &names {
        cases.push(vec!["check", "-U", "-f", "qcow2", name]);
        cases.push(vec!["check", "-U", "-f", "qcow2", "--output=json", name]);
    }
    cases.push(vec!["check", "-q", "-U", "corrupt.qcow2"]);
    cases.push(vec!["check", "-T", "none", "sound.qcow2"]);
    cases.push(vec!["check", "-T", "nonsense", "sound.qcow2"]);
    cases.push(vec!["check", "plain.raw"]);
    cases.push(vec!["check", "-f", "qcow2", "plain.raw"]);
    cases.push(vec!["check", "-f", "raw", "sound.qcow2"]);
    cases.push(vec!["check", "nothing.qcow2"]);
    cases.push(vec!["check", "-f", "nonsense", "sound.qcow2"]);
    for args in cases {
        let theirs = qemu_img.run(&args);
        let ours = stillpoint().current_dir(dir.path()).args(&args).output().expect("it runs");
        assert_eq!(
            String::from_utf8_lossy(&ours.stdout),
            String::from_utf8_lossy(&theirs.stdout),
            "{args:?}"
        );
        let complaint = String::from_utf8_lossy(&theirs.stderr).replace("qemu-img: ", "stillpoint: ");
        assert_eq!(String::from_utf8_lossy(&ours.stderr), complaint, "{args:?}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{args:?}");
    }
}

#[test]
fn a_snapshot_is_judged_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let sound = image().build();
    let snapshots = word(&sound, 64);
    let in_snapshot = l2(&sound, word(&sound, snapshots));
    let in_active = l2(&sound, word(&sound, 40));
    let write = |name: &str, at: usize| {
        let mut damaged = sound.clone();
        damaged[at] |= 0x40;
        damaged[at + 5] |= 0x7f;
        fs::write(dir.path().join(name), damaged).expect("written");
    };
    write("active.qcow2", in_active);
    write("snapshot.qcow2", in_snapshot);
    let code = |args: &[&str], name: &str| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).arg("check").args(args).arg(name);
        command.output().expect("it runs").status.code()
    };
    for (name, active, snapshot) in [("active.qcow2", 2, 0), ("snapshot.qcow2", 0, 2)] {
        assert_eq!(code(&[], name), Some(2), "{name}");
        assert_eq!(code(&["--active"], name), Some(active), "{name}");
        assert_eq!(code(&["--snapshot", "before"], name), Some(snapshot), "{name}");
        assert_eq!(code(&["--snapshot", "1"], name), Some(snapshot), "{name}");
        assert_eq!(code(&["--snapshot", "nothing"], name), Some(1), "{name}");
    }
}

#[test]
fn explain_tells_place_cause_and_consequence() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut damaged = image().build();
    let entry = l2(&damaged, word(&damaged, 40));
    damaged[entry + 24..entry + 32].copy_from_slice(&(1_u64 << 63 | 1 << 40).to_be_bytes());
    fs::write(dir.path().join("a.qcow2"), damaged).expect("written");
    let check = |more: &[&str]| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(["check", "--explain", "a.qcow2"]).args(more);
        command
    };
    check(&[]).assert().code(2);
    let text = stdout(&mut check(&[]));
    assert!(text.contains("the cluster of 0x30000 of the guest's disk in the active disk"), "{text}");
    assert!(text.contains("go past the end of the file"), "{text}");
    assert!(text.contains("guest data there can't be read"), "{text}");
    let json: Value = serde_json::from_slice(&check(&["--output", "json"]).output().expect("it runs").stdout)
        .expect("JSON");
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["corruptions"], 2);
}

#[test]
fn what_would_write_is_refused() {
    for args in [&["check", "-r", "all", "x"][..], &["check", "--image-opts", "driver=qcow2"]] {
        let mut command = stillpoint();
        command.args(args).assert().code(1);
        assert!(stderr(&mut command).contains("not supported"), "{args:?}");
    }
}
