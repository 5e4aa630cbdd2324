//! `map` of every image: the same JSON and the same text.

use std::fs;

use stillpoint_qcow2::map::{GuestMap, MapExtent, MapOptions, json, text};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Source};
use stillpoint_testkit::image::matrix::{Encryption, MatrixImage};
use stillpoint_testkit::image::oracle::{QemuImg, Writer};

use super::{chain, matrix, qemu_img, qemu_img_says};

fn map(chain: &Chain, image: &MatrixImage) -> GuestMap {
    let map = GuestMap::open(chain, &AnyFile, &MapOptions::default());
    map.unwrap_or_else(|error| panic!("{error:?}\n{}", image.script()))
}

/// What both programs say of an image, the same if they look at the same file.
///
/// Where an image is preallocated, a map tells of the file's own holes, and the kernel takes an unwritten block for data
/// as soon as somebody has read it: another test does, and both are asked again.
fn both<T: PartialEq>(mut ours: impl FnMut() -> T, mut theirs: impl FnMut() -> T) -> (T, T) {
    let mut said = (ours(), theirs());
    for _ in 0..5 {
        if said.0 == said.1 {
            break;
        }
        said = (ours(), theirs());
    }
    said
}

#[test]
fn every_image_maps_to_the_same_json() {
    let Some(matrix) = matrix() else { return };
    for image in matrix.images() {
        let chain = chain(matrix, image);
        let (ours, theirs) = both(
            || json::to_string(map(&chain, image).extents(), 0).expect("it is sound"),
            || qemu_img_says(matrix, &["map", "-U", "--output=json"], image),
        );
        assert_eq!(ours, theirs, "{}", image.script());
        let read: Vec<MapExtent> = serde_json::from_str(&theirs).expect("their JSON reads into the model");
        let again = json::to_string(read.into_iter().map(Ok), 0).expect("nothing fails");
        assert_eq!(again, theirs, "and comes out again as it was");
    }
}

#[test]
fn every_range_of_an_image_maps_to_the_same_json() {
    let Some(matrix) = matrix() else { return };
    for (number, image) in matrix.images().iter().enumerate().step_by(3) {
        let chain = chain(matrix, image);
        let map = map(&chain, image);
        let start = map.size() / 7 + (number as u64 % 5) * 100;
        let length = map.size() / 3 + (number as u64 % 3) * 77;
        let (from, most) = (start.to_string(), length.to_string());
        let arguments =
            ["map", "-U", "--output=json", "--start-offset", from.as_str(), "--max-length", most.as_str()];
        let (ours, theirs) = both(
            || json::to_string(map.extents_in(start, length), start).expect("it is sound"),
            || qemu_img_says(matrix, &arguments, image),
        );
        assert_eq!(ours, theirs, "{start} {length}\n{}", image.script());
    }
}

#[test]
fn every_image_maps_to_the_same_text_or_is_refused_at_the_same_place() {
    let Some(matrix) = matrix() else { return };
    for image in matrix.images() {
        let chain = chain(matrix, image);
        let map = map(&chain, image);
        // The names of files are as each program was told the image's.
        let directory = format!("{}/", matrix.directory().display());
        let (ours, theirs) = both(
            || {
                let mut text = Vec::new();
                let complete = text::write(&map, map.extents(), &mut text).expect("memory");
                (
                    String::from_utf8(text).expect("text").replace(&directory, ""),
                    complete.err().map(|error| error.to_string()),
                )
            },
            || {
                let said = qemu_img(matrix, &["map", "-U"], image);
                let error = String::from_utf8_lossy(&said.stderr);
                let error = error.strip_prefix("qemu-img: ").map(|error| error.trim_end().to_owned());
                assert_eq!(error.is_none(), said.status.success(), "{}", image.script());
                (String::from_utf8_lossy(&said.stdout).into_owned(), error)
            },
        );
        assert_eq!(ours, theirs, "{}", image.script());
    }
}

/// QEMU maps no snapshot. But it makes one the active disk, and maps that.
#[test]
fn every_snapshot_maps_as_it_does_when_it_is_the_active_disk() {
    let Some(matrix) = matrix() else { return };
    let options = MapOptions::default().host_holes(false).one_layer(true);
    for image in matrix.images().iter().filter(|image| image.features.encryption == Encryption::None) {
        for name in &image.snapshots {
            let directory = tempfile::tempdir().expect("a directory");
            let qemu_img = QemuImg::at(directory.path());
            let copy = directory.path().join("copy.qcow2");
            fs::copy(matrix.path(image), &copy).expect("it can be copied");
            let ours = {
                let chain = chain(matrix, image);
                let first = chain.layers()[0].image().expect("an image");
                let snapshot = first.snapshot(name).expect("it is there");
                let map = GuestMap::open_snapshot(&chain, snapshot, &AnyFile, &options).expect("it is sound");
                json::to_string(map.extents(), 0).expect("it is sound")
            };
            // Only the tables matter; the backing file isn't beside the copy.
            qemu_img.output(["rebase", "-u", "-f", "qcow2", "-b", "", "copy.qcow2"]);
            for bitmap in &image.bitmaps {
                qemu_img.output(["bitmap", "--remove", "-f", "qcow2", "copy.qcow2", bitmap]);
            }
            qemu_img.output(["snapshot", "-a", name, "copy.qcow2"]);
            let theirs = qemu_img.output(["map", "-U", "--output=json", "-f", "qcow2", "copy.qcow2"]);
            let theirs: Vec<MapExtent> = serde_json::from_slice(&theirs).expect("JSON");
            // Their map of the copy takes what nothing has for zeros, and may see holes of the host's file.
            let ours: Vec<MapExtent> = serde_json::from_str(&ours).expect("JSON");
            assert_eq!(places(&ours), places(&theirs), "{name}\n{}", image.script());
        }
    }
}

/// What is where: extents without what the host's file or a backing file says, merged again.
fn places(extents: &[MapExtent]) -> Vec<(u64, u64, bool, bool, bool, Option<u64>)> {
    let mut places: Vec<(u64, u64, bool, bool, bool, Option<u64>)> = Vec::new();
    for extent in extents {
        let next =
            (extent.start, extent.length, extent.present, extent.data, extent.compressed, extent.offset);
        if let Some(last) = places.last_mut()
            && (last.2, last.3, last.4) == (next.2, next.3, next.4)
            && last.5.map(|offset| offset + last.1) == next.5
        {
            last.1 += next.1;
            continue;
        }
        places.push(next);
    }
    places
}

#[test]
fn a_disk_that_qemu_has_open_and_writes_to_maps_the_same() {
    let Some(_) = matrix() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let qemu_img = QemuImg::at(directory.path());
    qemu_img.create("open.qcow2", "cluster_size=4k,lazy_refcounts=on", "8M");
    let path = directory.path().join("open.qcow2");
    let mut writer = Writer::open(&path);
    for round in 0..4_u64 {
        writer.write(&format!("write -P 7 {} 20k", round * 1_000_448));
        writer.write(&format!("write -z {} 8k", round * 500_224));
        let theirs = qemu_img.output(["map", "-U", "--output=json", "-f", "qcow2", "open.qcow2"]);
        let source = Source::open(&path).expect("it is there");
        let chain = Chain::open(source, None, &AnyFile, &ChainOptions::default()).expect("it is sound");
        let ours = GuestMap::open(&chain, &AnyFile, &MapOptions::default()).expect("it is sound");
        let ours = json::to_string(ours.extents(), 0).expect("it is sound");
        assert_eq!(ours, String::from_utf8(theirs).expect("text"), "round {round}");
    }
    writer.close();
}
