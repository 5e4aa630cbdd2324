//! Each case against our reader, and against qemu-img.

use std::path::Path;

use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_qcow2::{Error, Format};
use stillpoint_testkit::image::oracle::QemuImg;

use crate::cases::{Case, Expect, all};

fn gather(case: &Case, name: &Path) -> Result<ImageInfo, Error> {
    let options = InfoOptions::default().format(Some(Format::Qcow2));
    ImageInfo::gather(&case.image, &name.into(), &options)
}

/// What is wrong with what our reader made of a case.
fn fault(case: &Case) -> Option<String> {
    match (&case.expect, gather(case, Path::new("image"))) {
        (Expect::Opens, Err(error)) => Some(format!("refused: {error}")),
        (Expect::Refused(_) | Expect::RefusedHere, Ok(_)) => Some("opened".into()),
        (Expect::Refused(text), Err(error)) if error.qemu_text().as_deref() != Some(*text) => {
            Some(format!("{:?} is not {text:?}", error.qemu_text()))
        }
        (Expect::Opens, Ok(_)) | (Expect::Refused(_) | Expect::RefusedHere, Err(_)) => None,
    }
}

/// What is different in what qemu-img made of a case.
fn difference(case: &Case, qemu_img: &QemuImg) -> Option<String> {
    std::fs::write(qemu_img.directory().join("image"), &case.image).expect("it can be written");
    let output = qemu_img.run(["info", "-U", "-f", "qcow2", "--output=json", "image"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match &case.expect {
        Expect::Opens if !output.status.success() => Some(stderr),
        Expect::Opens => {
            let ours = gather(case, Path::new("image")).expect("another test sees to it");
            let theirs: ImageInfo = serde_json::from_slice(&output.stdout).expect("it is JSON");
            let (ours, theirs) = (without_allocation(ours), without_allocation(theirs));
            (ours != theirs).then(|| format!("{ours:?}\nis not\n{theirs:?}"))
        }
        Expect::Refused(text) => {
            let expected = format!("qemu-img: Could not open 'image': {text}\n");
            (stderr != expected).then(|| format!("{stderr:?} is not {expected:?}"))
        }
        Expect::RefusedHere => None,
    }
}

#[test]
fn every_limit_holds_at_the_limit_and_one_past_it() {
    let faults: Vec<_> =
        all().iter().filter_map(|case| Some(format!("{}: {}", case.name, fault(case)?))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn qemu_img_opens_and_refuses_the_same_in_the_same_words() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = QemuImg::find(directory.path()) else { return };
    let cases = all();
    let differences: Vec<_> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.name, difference(case, &qemu_img)?)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("compared {} images with qemu-img", cases.len());
}

pub(crate) fn without_allocation(mut info: ImageInfo) -> ImageInfo {
    info.actual_size = None;
    for child in &mut info.children {
        child.info.actual_size = None;
    }
    info
}
