//! `info` of every image: the same JSON and the same text, of the image alone and of its chain.

use std::ffi::OsStr;
use std::path::Path;

use stillpoint_qcow2::info::{ImageInfo, chain_to_json, chain_to_text};
use stillpoint_qcow2::{Chain, Name};
use stillpoint_testkit::image::matrix::{Matrix, MatrixImage};
use stillpoint_testkit::image::oracle::QemuImg;

use super::{chain, matrix};

/// What qemu-img says of the image by its name: no key is needed for that.
fn theirs(matrix: &Matrix, image: &MatrixImage, arguments: &[&str]) -> String {
    let path = matrix.path(image);
    let arguments = ["info", "-U"].iter().chain(arguments).map(OsStr::new).chain([path.as_os_str()]);
    let output = QemuImg::at(matrix.directory()).run(arguments);
    assert!(output.status.success(), "{output:?}\n{}", image.script());
    String::from_utf8(output.stdout).expect("text")
}

/// Without the hint that XFS keeps for an open file, which is nothing of the image's.
fn without_hint(text: &str) -> String {
    let hint = "    Format specific information:\n        extent size hint: 1048576\n";
    let text = text.replace(hint, "");
    text.lines()
        .filter(|line| !line.contains("\"extent-size-hint\""))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn infos(chain: &Chain) -> Vec<ImageInfo> {
    ImageInfo::of_chain(chain).expect("each layer tells its facts")
}

#[test]
fn every_image_and_every_chain_tells_the_same_facts() {
    let Some(matrix) = matrix() else { return };
    let mut layers = 0;
    for image in matrix.images() {
        let chain = chain(matrix, image);
        let top = chain.layers()[0].image().expect("it is one");
        let name = Name::from(Path::new(&matrix.path(image)));
        let ours = ImageInfo::of_image(top, &name).expect("it keeps the rules");
        let json = theirs(matrix, image, &["--output=json"]);
        assert_eq!(without_hint(&ours.to_json()), without_hint(&json), "{}", image.script());
        let read: ImageInfo = serde_json::from_str(&json).expect("their JSON reads into the model");
        assert_eq!(format!("{}\n", read.to_json()), json, "and comes out again as it was");
        assert_eq!(without_hint(&ours.to_text()), without_hint(&theirs(matrix, image, &[])));

        let all = infos(&chain);
        layers += all.len();
        if all.len() == 1 {
            continue;
        }
        let json = theirs(matrix, image, &["--backing-chain", "--output=json"]);
        assert_eq!(without_hint(&chain_to_json(&all)), without_hint(&json), "{}", image.script());
        let text = theirs(matrix, image, &["--backing-chain"]);
        assert_eq!(without_hint(&chain_to_text(&all)), without_hint(&text), "{}", image.script());
    }
    println!("compared {} images with qemu-img, {layers} layers", matrix.images().len());
}
