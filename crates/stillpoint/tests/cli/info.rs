//! `info` on images of files, with qemu-img as the oracle for its words.

use std::fs;

use serde_json::Value;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};

use crate::{same_as_qemu_img, stderr, stdout, stillpoint};

fn image(bits: u32) -> Vec<u8> {
    ImageBuilder::v3().size(1 << 30).cluster_bits(bits).snapshot(SnapshotSpec::new("1", "before")).build()
}

#[test]
fn json_is_one_object_as_qemu_img_prints_it() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("a.qcow2"), image(16)).expect("written");
    let mut command = stillpoint();
    command.current_dir(dir.path()).args(["info", "--output", "json", "a.qcow2"]).assert().code(0);
    let info: Value = serde_json::from_str(&stdout(&mut command)).expect("JSON");
    assert_eq!((info["format"].as_str(), info["virtual-size"].as_u64()), (Some("qcow2"), Some(1 << 30)));
    assert_eq!(info["snapshots"][0]["name"], "before");
    // It mirrors qemu-img: nothing of ours is in it.
    assert!(info.get("schema_version").is_none());
}

#[test]
fn stdout_and_exit_codes_are_qemu_imgs() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    qemu_img.create("base.qcow2", "", "64M");
    qemu_img.output(["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    fs::write(dir.path().join("made.qcow2"), image(12)).expect("written");
    fs::write(dir.path().join("plain.raw"), "not an image").expect("written");
    fs::write(dir.path().join("cut.qcow2"), &image(16)[..50]).expect("written");
    let cases: &[&[&str]] = &[
        &["info", "-U", "base.qcow2"],
        &["info", "-U", "top.qcow2"],
        &["info", "-U", "--backing-chain", "top.qcow2"],
        &["info", "-U", "--backing-chain", "--output", "json", "top.qcow2"],
        &["info", "-U", "--output", "json", "made.qcow2"],
        &["info", "--object", "secret,id=key,data=still", "-f", "qcow2", "base.qcow2"],
        &["info", "--force-share", "-b", "--format", "qcow2", "--output=json", "top.qcow2"],
        &["info", "plain.raw"],
        &["info", "-f", "raw", "base.qcow2"],
        &["info", "-f", "qcow2", "plain.raw"],
        &["info", "cut.qcow2"],
        &["info", "nothing.qcow2"],
        &["info", "-f", "nonsense", "base.qcow2"],
    ];
    for args in cases {
        let theirs = qemu_img.run(*args);
        let ours = stillpoint().current_dir(dir.path()).args(*args).output().expect("it runs");
        assert_eq!(ours.status.code(), theirs.status.code(), "{args:?}");
        assert_eq!(
            String::from_utf8_lossy(&ours.stdout),
            String::from_utf8_lossy(&theirs.stdout),
            "{args:?}"
        );
        let complaint = String::from_utf8_lossy(&theirs.stderr).replace("qemu-img: ", "stillpoint: ");
        assert_eq!(String::from_utf8_lossy(&ours.stderr), complaint, "{args:?}");
    }
}

/// Images that are missing, or none, anywhere in a chain: the same words, and the same exit codes.
#[test]
fn what_can_not_be_opened_is_told_in_qemu_imgs_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    fs::create_dir(dir.path().join("directory")).expect("a directory");
    fs::write(dir.path().join("text"), "no image").expect("written");
    fs::write(dir.path().join("good.qcow2"), image(16)).expect("written");
    let overlays = [
        ("on-nothing", "missing", "qcow2"),
        ("on-text", "text", "qcow2"),
        ("on-directory", "directory", "raw"),
        ("on-on-nothing", "on-nothing", "qcow2"),
        ("on-on-text", "on-text", "qcow2"),
    ];
    for (name, base, format) in overlays {
        qemu_img.output(["create", "-q", "-u", "-f", "qcow2", "-b", base, "-F", format, name, "1M"]);
    }
    for name in overlays.iter().map(|(name, ..)| *name).chain(["", "directory", "good.qcow2/", "missing"]) {
        let open = ["-U", "-f", "qcow2", name];
        for verb in [&["info", "--backing-chain"][..], &["map"], &["measure", "-O", "qcow2"]] {
            same_as_qemu_img(&qemu_img, &[verb, &open].concat());
        }
        same_as_qemu_img(&qemu_img, &["compare", "-U", "-f", "qcow2", "-F", "qcow2", name, "good.qcow2"]);
        same_as_qemu_img(&qemu_img, &["compare", "-U", "-f", "qcow2", "-F", "qcow2", "good.qcow2", name]);
    }
    for name in ["", "directory", "good.qcow2/", "missing", "text"] {
        same_as_qemu_img(&qemu_img, &["check", "-U", "-f", "qcow2", name]);
    }
    let mut protocol = stillpoint();
    protocol.args(["info", "nbd://example.org/disk"]).assert().code(1);
    assert!(stderr(&mut protocol).contains("'nbd:' is a protocol"), "{}", stderr(&mut protocol));
}

#[test]
fn an_image_is_named_by_its_file_and_not_by_options() {
    let mut command = stillpoint();
    command.args(["info", "--image-opts", "driver=qcow2,file.filename=a.qcow2"]).assert().code(1);
    assert!(stderr(&mut command).contains("name the image's file"), "{}", stderr(&mut command));
}

#[test]
fn a_backing_file_elsewhere_is_opened_only_when_allowed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (images, elsewhere) = (dir.path().join("images"), dir.path().join("elsewhere"));
    for made in [&images, &elsewhere] {
        fs::create_dir(made).expect("a directory");
    }
    fs::write(elsewhere.join("base.raw"), [7; 512]).expect("written");
    let top = ImageBuilder::v3().backing(b"../elsewhere/base.raw", Some("raw")).build();
    fs::write(images.join("top.qcow2"), top).expect("written");
    let info = |options: &[&str]| {
        let mut command = stillpoint();
        command.arg("info").args(options).arg(images.join("top.qcow2"));
        command
    };
    // By itself, nothing that it names is opened.
    info(&[]).assert().code(0);
    info(&["--backing-chain"]).assert().code(1);
    assert!(stderr(&mut info(&["--backing-chain"])).contains("elsewhere/base.raw"));
    let root = elsewhere.display().to_string();
    for allowed in [&["--backing-chain", "--allow-any"][..], &["--backing-chain", "--allow-root", &root]] {
        info(allowed).assert().code(0);
        assert!(stdout(&mut info(allowed)).contains("file format: raw"));
    }
}
