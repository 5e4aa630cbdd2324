//! Keys of encrypted images on the command line, with qemu-img as the oracle.

use std::fs;
use std::path::Path;

use stillpoint_testkit::image::oracle::{QemuImg, available};

use crate::{stderr, stdout, stillpoint};

const SECRET: &str = "secret,id=key,data=still";
const OPTS: &str = "driver=qcow2,encrypt.key-secret=key,file.filename=locked.qcow2";

/// An encrypted image with data, and the same disk as it is.
fn make(qemu_img: &QemuImg, dir: &Path) {
    let options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=1";
    qemu_img.create("locked.qcow2", options, "1M");
    qemu_img.output(["bitmap", "--add", "-g", "64k", "--object", SECRET, "--image-opts", OPTS, "nightly"]);
    qemu_img.io(&["--object", SECRET, "--image-opts", OPTS], &["write -P 7 64k 200k"]);
    let mut plain = vec![0; 1 << 20];
    plain[64 << 10..264 << 10].fill(7);
    fs::write(dir.join("plain.raw"), plain).expect("written");
    fs::write(dir.join("key.txt"), "still\n").expect("written");
    fs::write(dir.join("key.raw"), "still").expect("written");
}

#[test]
fn an_encrypted_image_is_read_with_its_passphrase_and_refused_without() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()).filter(|_| available("qemu-io")) else { return };
    make(&qemu_img, dir.path());
    let run = |args: &[&str]| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(args);
        command
    };
    let plain = fs::read(dir.path().join("plain.raw")).expect("it was made");
    for (out, key) in [
        ("a.raw", ["--passphrase-file", "key.txt"]),
        ("b.raw", ["--object", "secret,id=any,data=still"]),
        ("c.raw", ["--object", "secret,id=key,file=key.raw,format=raw"]),
    ] {
        run(&["extract", key[0], key[1], "locked.qcow2", out]).assert().code(0);
        assert!(fs::read(dir.path().join(out)).expect("it was made") == plain, "{key:?}");
    }
    run(&[
        "extract",
        "-O",
        "qcow2",
        "--verify",
        "--passphrase-file",
        "key.txt",
        "locked.qcow2",
        "open.qcow2",
    ])
    .assert()
    .code(0);
    qemu_img.output(["compare", "-q", "open.qcow2", "plain.raw"]);
    run(&["compare", "--passphrase-file", "key.txt", "locked.qcow2", "plain.raw"]).assert().code(0);
    run(&["compare", "--passphrase-file", "key.txt", "locked.qcow2", "locked.qcow2"]).assert().code(0);

    // QEMU takes a file as it is, the line feed too.
    let mut wrong = run(&["compare", "--object", "secret,id=key,file=key.txt", "locked.qcow2", "plain.raw"]);
    wrong.assert().code(2);
    let said = "stillpoint: Could not open 'locked.qcow2': Invalid password, cannot unlock any keyslot\n";
    assert_eq!(stderr(&mut wrong), said);
    let mut without = run(&["extract", "locked.qcow2", "d.raw"]);
    without.assert().code(1);
    assert!(stderr(&mut without).contains("passphrase"), "{}", stderr(&mut without));
    assert!(!dir.path().join("d.raw").exists());

    // Bits are not encrypted: who has no key is told them, too, where QEMU doesn't open the image.
    let mut bitmaps = run(&["bitmaps", "--ranges", "locked.qcow2"]);
    bitmaps.assert().code(0);
    assert_eq!(stdout(&mut bitmaps), "nightly: granularity 65536, flags auto\n  65536 262144\n");
    assert!(!qemu_img.run(["map", "locked.qcow2"]).status.success());
}

#[test]
fn a_secret_that_cannot_be_had_is_refused_as_qemu_img_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    fs::write(dir.path().join("a.raw"), [0; 512]).expect("written");
    for object in [
        "secret,id=a",
        "secret,data=a",
        "colour,id=a",
        "secret,id=a,file=missing",
        "secret,id=a,data=x,file=y",
    ] {
        let args = ["compare", "--object", object, "a.raw", "a.raw"];
        let theirs = qemu_img.run(args);
        let ours = stillpoint().current_dir(dir.path()).args(args).output().expect("it runs");
        let complaint = String::from_utf8_lossy(&theirs.stderr).replace("qemu-img: ", "stillpoint: ");
        assert_eq!(String::from_utf8_lossy(&ours.stderr), complaint, "{object}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{object}");
    }
}
