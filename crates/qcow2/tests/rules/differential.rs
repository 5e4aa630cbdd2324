//! Images at random, sound and damaged, against qemu-img: what it opens we open, with the same facts; what it
//! refuses we refuse; or the difference is one of those listed here.

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_qcow2::tables::{BitmapError, ExtensionError, LuksError, SnapshotError};
use stillpoint_qcow2::{Error, Format};
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{BitmapSpec, ImageBuilder, LuksSpec, SnapshotSpec};

/// How many images; each takes a process.
const IMAGES: usize = 300;

fn image() -> impl Strategy<Value = Vec<u8>> {
    let parts = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 12_u32..17, 0_u64..4);
    let built = parts.prop_map(|(v2, snapshots, bitmaps, luks, cluster_bits, bits)| {
        let mut image = if v2 { ImageBuilder::v2() } else { ImageBuilder::v3().incompatible(bits) };
        image = image.cluster_bits(cluster_bits).backing(b"dir/base", Some("raw")).extension(7, b"unknown");
        if snapshots {
            image = image.snapshot(SnapshotSpec::new("1", "one").extra(0, 1 << 20, 5));
            image = image.snapshot(SnapshotSpec::new("2", "two"));
        }
        if bitmaps && !v2 {
            image =
                image.bitmap(BitmapSpec::new("b0")).bitmap(BitmapSpec { flags: 1, ..BitmapSpec::new("b1") });
        }
        if luks {
            image = image.luks(LuksSpec::default());
        }
        (image.build(), 1_usize << cluster_bits)
    });
    // Damage where the structures are: the header and extensions, or the beginning of some cluster.
    let place = prop_oneof![3 => 4_usize..240, 1 => 240_usize..700];
    let damage = (place, 0_usize..14, any::<bool>(), interesting());
    (built, prop::collection::vec(damage, 0..3)).prop_map(|((mut bytes, cluster), damages)| {
        for (place, cluster_number, in_header, value) in damages {
            let at = if in_header { place } else { cluster_number * cluster + place % 80 };
            if let Some(word) = bytes.get_mut(at..at + 4) {
                word.copy_from_slice(&value.to_be_bytes());
            }
        }
        bytes
    })
}

fn interesting() -> impl Strategy<Value = u32> {
    let chosen =
        vec![0, 1, 2, 8, 9, 16, 31, 32, 63, 64, 0x1ff, 0x200, 0x1000, 0x10000, 0x7fff_ffff, u32::MAX];
    prop_oneof![3 => prop::sample::select(chosen), 1 => any::<u32>()]
}

/// Whether we may refuse what qemu-img opens: it reads zeros past the end of the file, and its numbers go round.
fn stricter(error: &Error) -> bool {
    matches!(
        error,
        Error::Io { .. }
            | Error::Snapshot(SnapshotError::PastTheEnd { .. })
            | Error::Bitmap(BitmapError::DirectoryPastTheEnd { .. } | BitmapError::SameName(_))
            | Error::Bitmap(BitmapError::Constraint { field: "table size" | "table offset", .. })
            | Error::Extension(ExtensionError::TooMany)
            | Error::Luks(LuksError::SlotInPayload(_) | LuksError::SlotsOverlap(..))
    )
}

/// Whether qemu-img may refuse what we open: it also reads the L1 and refcount tables and the bitmaps' bits,
/// which tell nothing of what `info` shows, and it opens a data file's name as a block device.
fn later(stderr: &str) -> bool {
    ["Could not read L1 table", "Could not initialize refcount handling", "Could not read bitmap"]
        .iter()
        .any(|text| stderr.contains(text))
}

fn difference(image: &[u8], qemu_img: &QemuImg) -> Option<String> {
    std::fs::write(qemu_img.directory().join("image"), image).expect("it can be written");
    let output = qemu_img.run(["info", "-U", "-f", "qcow2", "--output=json", "image"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let options = InfoOptions::default().format(Some(Format::Qcow2));
    match (ImageInfo::gather(image, &Path::new("image").into(), &options), output.status.success()) {
        (Ok(ours), true) => {
            let theirs: ImageInfo = serde_json::from_slice(&output.stdout).expect("it is JSON");
            let (ours, theirs) =
                (super::limits::without_allocation(ours), super::limits::without_allocation(theirs));
            (ours != theirs).then(|| format!("{ours:?}\nis not\n{theirs:?}"))
        }
        (Ok(_), false) => (!later(&stderr)).then(|| format!("only qemu-img refuses: {stderr}")),
        (Err(error), true) => (!stricter(&error)).then(|| format!("only we refuse: {error}")),
        (Err(error), false) => {
            let text = error.qemu_text()?;
            // QEMU's length of a directory entry goes round when its extra data is told to be huge.
            let goes_round = matches!(error, Error::Bitmap(BitmapError::EntryPastTheEnd(_)))
                && stderr.contains("Bitmap extra data is not supported");
            let same = goes_round || stderr == format!("qemu-img: Could not open 'image': {text}\n");
            (!same && !later(&stderr) && !stricter(&error)).then(|| format!("{stderr:?} is not {text:?}"))
        }
    }
}

#[test]
fn images_at_random_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = QemuImg::find(directory.path()) else { return };
    let seed = std::env::var("STILLPOINT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count =
        std::env::var("STILLPOINT_IMAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(IMAGES);
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() });
    let mut opened = 0;
    let mut differences = Vec::new();
    for number in 0..count {
        let image = image().new_tree(&mut runner).expect("an image can be made").current();
        if let Some(difference) = difference(&image, &qemu_img) {
            let kept = std::env::temp_dir().join(format!("stillpoint-difference-{seed}-{number}.qcow2"));
            std::fs::write(&kept, &image).expect("it can be written");
            differences.push(format!("{}: {difference}", kept.display()));
        }
        opened += usize::from(stillpoint_qcow2::Image::open(&image).is_ok());
    }
    assert!(differences.is_empty(), "of {count} images of seed {seed}:\n{}", differences.join("\n"));
    println!("compared {count} images with qemu-img, of which {opened} are sound");
}
