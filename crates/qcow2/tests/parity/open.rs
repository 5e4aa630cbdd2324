//! Images while a QEMU has them open and writes to them: each verb says what qemu-img says at that moment.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use stillpoint_qcow2::check::{CheckOptions, CheckReport};
use stillpoint_qcow2::compare::{CompareOptions, Verdict, verdict};
use stillpoint_qcow2::info::ImageInfo;
use stillpoint_qcow2::map::{GuestMap, MapOptions, json};
use stillpoint_qcow2::measure::{Layout, Measure};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, DiskOptions, GuestView, Source};
use stillpoint_storage::{FileStorage, Storage};
use stillpoint_testkit::image::matrix::{Compat, DataFile, Encryption, Matrix, MatrixImage};
use stillpoint_testkit::image::oracle::{QemuImg, Writer};

use super::matrix;

/// What qemu-img prints about the image, whatever it finds. It looks for a data file of a relative name where it runs, not
/// where the image is.
fn theirs(arguments: &[&str], path: &Path) -> String {
    let qemu_img = QemuImg::at(path.parent().expect("it is in a directory"));
    let output = qemu_img.run(arguments.iter().map(OsStr::new).chain([path.as_os_str()]));
    String::from_utf8(output.stdout).expect("text")
}

/// Copies the image, with what it stands on and its data file, to a directory.
fn copy(matrix: &Matrix, image: &MatrixImage, to: &Path) {
    let stem = image.name.trim_end_matches(".qcow2");
    for entry in fs::read_dir(matrix.directory()).expect("it is there") {
        let name = entry.expect("it can be read").file_name();
        if name.to_str().is_some_and(|name| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')))
        {
            fs::copy(matrix.directory().join(&name), to.join(&name)).expect("it can be copied");
        }
    }
}

fn open(path: &Path) -> Chain {
    let source = Source::open(path).expect("it is there");
    Chain::open(source, None, &AnyFile, &ChainOptions::default()).expect("it is sound")
}

fn same_everywhere(image: &MatrixImage, path: &Path, scratch: &Path) {
    let script = || image.script();
    let chain = open(path);
    let top = chain.layers()[0].image().expect("it is one");

    let info = ImageInfo::of_image(top, &path.into()).expect("it keeps the rules");
    let json_info = theirs(&["info", "-U", "--output=json"], path);
    let mut read: ImageInfo = serde_json::from_str(&json_info).expect("their JSON reads into the model");
    // The file grows under both.
    read.actual_size = info.actual_size;
    read.children.clone_from(&info.children);
    assert_eq!(info, read, "{}", script());

    let storage = FileStorage::open(path).expect("it is there");
    let report = CheckReport::gather(&storage, &CheckOptions::default()).expect("the header is sound");
    let name = path.to_str().expect("text");
    let json_check = theirs(&["check", "-U", "-f", "qcow2", "--output=json"], path);
    assert_eq!(report.to_json(name) + "\n", json_check, "{}", script());

    let map = GuestMap::open(&chain, &AnyFile, &MapOptions::default()).expect("it is sound");
    let ours = json::to_string(map.extents(), 0).expect("it is sound");
    assert_eq!(ours, theirs(&["map", "-U", "-f", "qcow2", "--output=json"], path), "{}", script());

    let bitmaps = top.bitmaps().expect("they are sound");
    let bitmaps = (image.features.compat == Compat::V3).then_some(&bitmaps[..]);
    // Whoever has the image open uses its bitmaps, and those can't be measured.
    if image.bitmaps.is_empty() {
        let ours = Measure::of_extents(map.size(), map.extents(), bitmaps, &Layout::default());
        let ours = ours.expect("it is sound").expect("it can be").to_json() + "\n";
        let arguments = ["measure", "-U", "-f", "qcow2", "-O", "qcow2", "--output=json"];
        assert_eq!(ours, theirs(&arguments, path), "{}", script());
    }

    let raw = scratch.join("theirs.raw");
    let convert = ["convert", "-U", "-f", "qcow2", "-O", "raw", name];
    theirs(&convert, &raw);
    let expected = fs::read(&raw).expect("it was made");
    let view = GuestView::open(&chain, None, &AnyFile, &DiskOptions::default()).expect("it is sound");
    let mut bytes = vec![0xee; expected.len()];
    view.disk().read_exact_at(0, &mut bytes).expect("it is sound");
    assert_eq!(view.size(), expected.len() as u64, "{}", script());
    assert_eq!(bytes.iter().zip(&expected).position(|(a, b)| a != b), None, "{}", script());

    let source = Source::open(&raw).expect("it was made");
    let copy = Chain::open(source, Some(stillpoint_qcow2::Format::Raw), &AnyFile, &ChainOptions::default());
    let copy = copy.expect("it is raw");
    let copy = GuestView::open(&copy, None, &AnyFile, &DiskOptions::default()).expect("it is raw");
    for strict in [false, true] {
        let found = verdict(&view, &copy, strict, &CompareOptions::default(), &mut |_| {});
        let found = found.expect("all can be read");
        let mut compare = vec!["compare", "-U", "-f", "qcow2", "-F", "raw", name];
        compare.extend(strict.then_some("-s"));
        assert_eq!(format!("{found}\n"), theirs(&compare, &raw), "strict {strict}\n{}", script());
        assert!(strict || found == Verdict::Identical, "{}", script());
    }
}

#[test]
fn images_that_a_qemu_has_open_are_the_same_to_every_verb() {
    let Some(matrix) = matrix() else { return };
    let mut count = 0;
    let plain = matrix.images().iter().filter(|image| image.features.encryption == Encryption::None);
    // One in nine, a number that is no divisor of how many there are of a kind.
    for image in plain.step_by(9) {
        let directory = tempfile::tempdir().expect("a directory");
        copy(matrix, image, directory.path());
        let path = directory.path().join(&image.name);
        if image.features.data_file != DataFile::None {
            assert!(directory.path().join(format!("{}.data", image.name)).exists(), "{}", image.script());
        }
        let mut writer = Writer::open(&path);
        for round in 0..2_u64 {
            writer.write(&format!("write -P 7 {} 20k", round * 300_032));
            writer.write(&format!("write -z {} 8k", round * 200_192 + 512));
            same_everywhere(image, &path, directory.path());
        }
        writer.close();
        same_everywhere(image, &path, directory.path());
        count += 1;
    }
    println!("compared {count} images while a QEMU wrote to them");
    assert!(count > 20);
}
