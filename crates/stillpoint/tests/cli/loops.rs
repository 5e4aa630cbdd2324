//! A chain that comes back to itself: every verb ends, and those that follow it say so. qemu-img 10 ends with `info` only.

use std::fs;
use std::time::Duration;

use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};

use crate::{same_as_qemu_img, stillpoint};

/// Two images on each other, one on itself, and one on those two.
fn stage() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let data = ClusterSpec::Data(vec![7; 65536]);
    for (name, backing) in [("a", "b"), ("b", "a"), ("self", "self"), ("top", "a")] {
        let image = ImageBuilder::v3().cluster(2, data.clone()).backing(backing.as_bytes(), Some("qcow2"));
        fs::write(dir.path().join(name), image.build()).expect("written");
    }
    dir
}

#[test]
fn every_verb_that_follows_a_chain_finds_that_it_has_no_end() {
    let dir = stage();
    for image in ["a", "self", "top"] {
        for arguments in [
            &["info", "--backing-chain", image][..],
            &["map", image],
            &["map", "--output=json", image],
            &["measure", "-O", "qcow2", image],
            &["compare", image, image],
            &["extract", image, "out"],
            &["extract", "-O", "qcow2", image, "out"],
        ] {
            let mut command = stillpoint();
            command.current_dir(dir.path()).timeout(Duration::from_secs(60)).args(arguments);
            let output = command.output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code().is_some_and(|code| code > 0), "{arguments:?}: {output:?}");
            assert!(said.contains("no end") || said.contains("infinite loop"), "{arguments:?}: {said}");
            assert!(!dir.path().join("out").exists(), "{arguments:?}");
        }
    }
}

#[test]
fn what_looks_at_one_image_only_is_not_kept_from_it() {
    let dir = stage();
    for image in ["a", "self", "top"] {
        for arguments in [
            &["info", image][..],
            &["info", "--explain", image],
            &["check", image],
            &["map", "--one-layer", image],
            &["snapshots", image],
            &["bitmaps", image],
        ] {
            let mut command = stillpoint();
            command.current_dir(dir.path()).timeout(Duration::from_secs(60)).args(arguments);
            let output = command.output().expect("it ends");
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
    }
}

#[test]
fn info_says_it_as_qemu_img_does() {
    let dir = stage();
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    for image in ["a", "self", "top"] {
        same_as_qemu_img(&qemu_img, &["info", "-U", "--backing-chain", image]);
    }
}
