//! `check` of every image of the matrix: the same counts, in the same words, as qemu-img's.

use stillpoint_qcow2::check::{CheckJson, CheckOptions, CheckReport, Scope};
use stillpoint_storage::FileStorage;

use crate::{matrix, qemu_img};

#[test]
fn every_image_of_the_matrix_checks_as_it_does_with_qemu_img() {
    let Some(matrix) = matrix() else { return };
    for (number, image) in matrix.images().iter().enumerate() {
        let storage = FileStorage::open(matrix.path(image)).expect("it is there");
        let report = CheckReport::gather(&storage, &CheckOptions::default());
        let report = report.unwrap_or_else(|error| panic!("{error}\n{}", image.script()));
        let json = qemu_img(matrix, &["check", "-U", "--output=json"], image);
        let theirs: CheckJson =
            serde_json::from_slice(&json.stdout).expect("their JSON reads into the model");
        // An encrypted image is named to qemu-img by options, and shows under those.
        let text = String::from_utf8(json.stdout).expect("text");
        assert_eq!(report.to_json(&theirs.filename) + "\n", text, "{}", image.script());
        assert_eq!(theirs.to_json() + "\n", text, "and comes out again as it was");
        assert_eq!(report.qemu_lines().count(), json.stderr.iter().filter(|&&byte| byte == b'\n').count());
        // The text says the same of the same numbers: a part of the images will do, and none that takes a key.
        if number % 4 > 0 || !json.status.success() || theirs.filename != image.name {
            continue;
        }
        let human = qemu_img(matrix, &["check", "-U"], image);
        assert_eq!(report.to_text(), String::from_utf8_lossy(&human.stdout), "{}", image.script());
    }
}

#[test]
fn every_snapshot_of_the_matrix_is_sound_by_itself() {
    let Some(matrix) = matrix() else { return };
    let mut snapshots = 0;
    for image in matrix.images() {
        let storage = FileStorage::open(matrix.path(image)).expect("it is there");
        for name in image.snapshots.iter().map(String::as_str) {
            let options = CheckOptions::default().scope(Scope::Snapshot(name.into()));
            let report = CheckReport::gather(&storage, &options).expect("it opens");
            assert!(report.is_sound(), "{name}: {:?}\n{}", report.findings, image.script());
            snapshots += 1;
        }
    }
    assert!(snapshots > 0, "the matrix has snapshots");
}
