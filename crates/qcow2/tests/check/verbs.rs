//! What the other verbs make of a damaged image, theirs and ours side by side: info, map, and the guest's bytes.

use std::path::Path;

use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_qcow2::map::{GuestMap, MapOptions, json};
use stillpoint_qcow2::tables::{MappingError, SnapshotError};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Disk, Error, Format, Source};
use stillpoint_storage::{FileStorage, Storage};
use stillpoint_testkit::image::oracle::QemuImg;

use crate::damage::Bytes;

/// Where the two differ, if they do, in what can't be explained.
pub(crate) fn difference(qemu_img: &QemuImg, name: &str) -> Option<String> {
    let path = qemu_img.directory().join(name);
    info(qemu_img, name, &path)
        .or_else(|| map(qemu_img, name, &path))
        .or_else(|| bytes(qemu_img, name, &path))
}

/// What qemu-img says with these arguments: stdout or, if it fails, stderr.
fn theirs(qemu_img: &QemuImg, arguments: &[&str]) -> Result<String, String> {
    let output = qemu_img.run(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn info(qemu_img: &QemuImg, name: &str, path: &Path) -> Option<String> {
    let storage = FileStorage::open(path).expect("it is there");
    let options = InfoOptions::default().format(Some(Format::Qcow2));
    let ours = ImageInfo::gather(&storage, &Path::new(name).into(), &options);
    let theirs = theirs(qemu_img, &["info", "-U", "-f", "qcow2", "--output=json", name]);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let theirs: ImageInfo = serde_json::from_str(&theirs).expect("JSON");
            let same = without_allocation(ours.clone()) == without_allocation(theirs.clone());
            (!same).then(|| format!("info: {ours:?}\nis not\n{theirs:?}"))
        }
        (Err(ours), Err(theirs)) => {
            assert_tells_what(&ours);
            let text = ours.qemu_text()?;
            let expected = format!("qemu-img: Could not open '{name}': {text}\n");
            (theirs != expected && !later(&theirs)).then(|| format!("info: {expected}is not\n{theirs}"))
        }
        (Ok(_), Err(theirs)) => (!later(&theirs)).then(|| format!("info: only qemu-img refuses: {theirs}")),
        (Err(ours), Ok(_)) => (!stricter(&ours, path)).then(|| format!("info: only we refuse: {ours}")),
    }
}

fn without_allocation(mut info: ImageInfo) -> ImageInfo {
    info.actual_size = None;
    for child in &mut info.children {
        child.info.actual_size = None;
    }
    info
}

fn open(path: &Path) -> Result<Chain, Error> {
    let source = Source::open(path).expect("it is there");
    let options = ChainOptions::default().detect_backing_format(true);
    Chain::open(source, Some(Format::Qcow2), &AnyFile, &options)
}

fn map(qemu_img: &QemuImg, name: &str, path: &Path) -> Option<String> {
    let ours = open(path).and_then(|chain| GuestMap::open(&chain, &AnyFile, &MapOptions::default()));
    let output = qemu_img.run(["map", "-U", "-f", "qcow2", "--output=json", name]);
    let stderr = String::from_utf8(output.stderr).expect("text");
    let opened = !stderr.contains("Could not open");
    let map = match ours {
        Err(error) => {
            assert_tells_what(&error);
            return (opened && !stricter(&error, path)).then(|| format!("map: only we refuse: {error}"));
        }
        Ok(_) if !opened => {
            return (!later(&stderr)).then(|| format!("map: only qemu-img refuses: {stderr}"));
        }
        Ok(map) => map,
    };
    let mut ours = Vec::new();
    let error = json::write(map.extents(), 0, &mut ours).expect("memory").err();
    if let Some(error) = &error {
        assert_tells_where(error);
        if stricter(error, path) {
            // What is told before the place is the same.
            return (!output.stdout.starts_with(&ours))
                .then(|| format!("map: something else before {error}"));
        }
    }
    // Where the bits of subclusters contradict each other, QEMU gives up what comes right before them, too.
    let contradiction = matches!(error, Some(Error::Mapping(MappingError::Subclusters { .. })));
    let same_text = output.stdout == ours || contradiction && ours.starts_with(&output.stdout);
    let same = same_text && output.status.success() == error.is_none();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (!same).then(|| format!("map: {}{error:?}\nis not\n{}{stderr}", text(&ours), text(&output.stdout)))
}

fn bytes(qemu_img: &QemuImg, name: &str, path: &Path) -> Option<String> {
    let out = qemu_img.directory().join("out.raw");
    let ours = open(path).and_then(|chain| Disk::open(&chain, &AnyFile));
    let theirs = theirs(qemu_img, &["convert", "-U", "-f", "qcow2", "-O", "raw", name, "out.raw"]);
    let disk = match (ours, &theirs) {
        (Ok(disk), _) => disk,
        (Err(error), theirs) => {
            assert_tells_what(&error);
            return (theirs.is_ok() && !stricter(&error, path))
                .then(|| format!("bytes: only we refuse: {error}"));
        }
    };
    let mut bytes = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
    let read = disk.read_exact_at(0, &mut bytes);
    match (read, theirs) {
        (Ok(()), Ok(_)) => {
            let expected = std::fs::read(out).expect("it was made");
            (bytes != expected).then(|| {
                let at = bytes.iter().zip(&expected).position(|(a, b)| a != b);
                format!("bytes: {} and {}, other ones from {at:?}", bytes.len(), expected.len())
            })
        }
        (Err(error), theirs) => {
            let error = error.downcast::<Error>().expect("it is ours");
            assert_tells_where(&error);
            (theirs.is_ok() && !stricter(&error, path)).then(|| format!("bytes: only we refuse: {error}"))
        }
        (Ok(()), Err(theirs)) => (!later(&theirs)).then(|| format!("bytes: only qemu-img refuses: {theirs}")),
    }
}

/// What could not be opened is told with the structure that is at fault.
fn assert_tells_what(error: &Error) {
    let text = error.to_string();
    let structures = [
        "QFI",
        "version",
        "feature",
        "header",
        "table",
        "extension",
        "bitmap",
        "snapshot",
        "cluster",
        "backing",
        "disk",
        "opening",
        "refcount",
    ];
    assert!(structures.iter().any(|structure| text.contains(structure)), "{text}");
}

/// What could not be read is told with its place.
fn assert_tells_where(error: &Error) {
    assert!(error.to_string().contains("0x"), "{error}");
}

/// Whether we may refuse what qemu-img takes: it reads zeros past the end of the file.
fn stricter(error: &Error, path: &Path) -> bool {
    match error {
        Error::Mapping(MappingError::PastTheEnd { .. } | MappingError::L1PastTheEnd { .. }) => true,
        Error::Mapping(MappingError::L2Offset { offset, .. }) => {
            let image = Bytes::read(path);
            offset.0 + (1 << image.get32(20)) > image.len()
        }
        Error::Snapshot(SnapshotError::PastTheEnd { .. }) => true,
        _ => false,
    }
}

/// Whether qemu-img may refuse what we read: it opens refcounts and bitmaps first, which no guest data needs.
fn later(stderr: &str) -> bool {
    let refcounts = stderr.contains("Could not initialize refcount handling");
    refcounts || stderr.to_lowercase().contains("bitmap")
}
