//! What is extracted of any image is what the model says, raw and as a fresh image, and QEMU finds nothing wrong.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use stillpoint_qcow2::extract::{
    ExtractError, ExtractOptions, Extracted, Step, Watch, extract, extract_bytes,
};
use stillpoint_qcow2::tables::Compression;
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, DiskOptions, Format, GuestView, Resolver, Source};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::plan::{Made, Plan};

use crate::plans::{Files, difference, noise, plans};

/// Every way in which a disk can be written.
fn ways() -> Vec<ExtractOptions> {
    let raw = ExtractOptions::default().verify(true).overwrite(true);
    let qcow2 = raw.clone().format(Format::Qcow2);
    vec![
        raw.clone(),
        raw.threads(1),
        qcow2.clone(),
        qcow2.clone().cluster_bits(9),
        qcow2.clone().cluster_bits(12).compression(Some(Compression::Zlib)),
        qcow2.clone().compression(Some(Compression::Zlib)).threads(3),
        qcow2.clone().compression(Some(Compression::Zstd)),
        qcow2.cluster_bits(21).compression(Some(Compression::Zstd)),
    ]
}

pub(crate) fn go_on(_: Step) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn view(chain: &Chain, snapshot: Option<usize>, resolver: &dyn Resolver) -> GuestView {
    let image = chain.layers()[0].image().expect("it is one");
    let snapshot = snapshot.map(|number| &image.snapshots()[number]);
    GuestView::open(chain, snapshot, resolver, &DiskOptions::default()).expect("it keeps the rules")
}

/// Reads a file that was extracted.
fn read(path: &Path, format: Format) -> Vec<u8> {
    let source = Source::open(path).expect("it is there");
    let chain = Chain::open(source, Some(format), &AnyFile, &ChainOptions::default()).expect("it is alone");
    assert_eq!(chain.layers().len(), 1);
    let disk = stillpoint_qcow2::Disk::open(&chain, &AnyFile).expect("it keeps the rules");
    let mut bytes = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
    disk.read_exact_at(0, &mut bytes).expect("it can be read");
    bytes
}

/// The disks of a plan's top image, and what must be in them.
fn disks(made: &Made) -> Vec<(Option<usize>, Vec<u8>)> {
    let snapshots = made.snapshots.iter().enumerate();
    let snapshots = snapshots.map(|(number, snapshot)| (Some(number), snapshot.disk.clone()));
    std::iter::once((None, made.disk.clone())).chain(snapshots).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_disk_is_extracted_as_the_model_has_it(bytes in plans(), way in 0_usize..8) {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let target = directory.path().join("out");
        let files = Files(Plan::of(&bytes).make());
        let chain = files.chain();
        for (snapshot, expected) in disks(&files.0) {
            let options = &ways()[way];
            let view = view(&chain, snapshot, &files);
            let done = extract(&view, &target, options, &go_on).expect("it can be extracted");
            prop_assert_eq!(done.size, expected.len() as u64);
            prop_assert_eq!(done.file_size, target.metadata().expect("it is there").len());
            prop_assert_eq!(difference(&read(&target, options.format), &expected), None, "{:?}", options);
        }
    }
}

/// From files, so that the kernel copies what it can, and with QEMU as the judge of what was written.
#[test]
fn qemu_img_finds_what_was_extracted_sound_and_the_same() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = QemuImg::find(directory.path()) else { return };
    let target = directory.path().join("out");
    let (mut disks_done, mut by_kernel) = (0, 0);
    for seed in 100..108 {
        let made = Plan::of(&noise(seed, 300)).make();
        for file in &made.files {
            std::fs::write(directory.path().join(&file.name), &file.bytes).expect("it can be written");
        }
        let top = Source::open(directory.path().join("0")).expect("it was written");
        let options = ChainOptions::default();
        let chain = Chain::open(top, Some(Format::Qcow2), &AnyFile, &options).expect("it keeps the rules");
        for (number, (snapshot, expected)) in disks(&made).into_iter().enumerate() {
            let options = &ways()[(number + usize::try_from(seed).expect("small")) % 8];
            let done = extract(&view(&chain, snapshot, &AnyFile), &target, options, &go_on);
            by_kernel += done.expect("it can be extracted").by_kernel;
            if options.format == Format::Qcow2 {
                let checked = qemu_img.run(["check", "-f", "qcow2", "out"]);
                let said = String::from_utf8_lossy(&checked.stderr);
                assert!(checked.status.success(), "seed {seed} {options:?}: {said}");
            }
            qemu_img.output(["convert", "-f", options.format.name(), "-O", "raw", "out", "again"]);
            let again = std::fs::read(directory.path().join("again")).expect("it was made");
            assert_eq!(difference(&again, &expected), None, "seed {seed} {options:?}");
            disks_done += 1;
        }
    }
    println!(
        "qemu-img found {disks_done} extracted disks sound; the kernel copied {by_kernel} bytes of them"
    );
    assert!(by_kernel > 0, "nothing was copied by the kernel");
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("it can be listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it can be").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn nothing_is_left_of_a_disk_that_can_not_be_read_and_an_old_file_stays() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("disk");
    let bad = stillpoint_testkit::image::ClusterSpec::Compressed(vec![0xff; 40]);
    let good = stillpoint_testkit::image::ClusterSpec::Data(vec![7; 65536]);
    let image = stillpoint_testkit::image::ImageBuilder::v3().cluster(0, good).cluster(3, bad);
    std::fs::write(&path, image.build()).expect("it can be written");
    let chain =
        Chain::open(Source::open(&path).expect("it is there"), None, &AnyFile, &ChainOptions::default())
            .expect("it keeps the rules");
    let target = directory.path().join("out");
    std::fs::write(&target, "old").expect("it can be written");
    for options in ways() {
        let failed = extract(&view(&chain, None, &AnyFile), &target, &options, &go_on);
        assert!(matches!(failed, Err(ExtractError::Read { .. } | ExtractError::Map(_))), "{failed:?}");
        let refused = extract(&view(&chain, None, &AnyFile), &target, &options.overwrite(false), &go_on);
        assert!(matches!(refused, Err(ExtractError::TargetExists { .. })), "{refused:?}");
        assert_eq!(std::fs::read(&target).expect("it is there"), b"old");
        assert_eq!(names(directory.path()), ["disk", "out"]);
    }
}

#[test]
fn a_disk_too_large_for_its_clusters_is_refused() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("disk");
    // One L1 table of 32 MiB is for 128 GiB of clusters of 512 bytes.
    let image = stillpoint_testkit::image::ImageBuilder::v3().size((128 << 30) + 512);
    std::fs::write(&path, image.build()).expect("it can be written");
    let chain =
        Chain::open(Source::open(&path).expect("it is there"), None, &AnyFile, &ChainOptions::default())
            .expect("it keeps the rules");
    let options = ExtractOptions::default().format(Format::Qcow2).cluster_bits(9);
    let target = directory.path().join("out");
    let refused = extract(&view(&chain, None, &AnyFile), &target, &options, &go_on);
    assert!(matches!(refused, Err(ExtractError::TooLarge { .. })), "{refused:?}");
    extract(&view(&chain, None, &AnyFile), &target, &options.cluster_bits(10), &go_on)
        .expect("larger ones do");
}

/// A disk with 4 KiB here and there took sixteen times the room and the time of its data.
#[test]
fn what_is_zeros_in_a_larger_cluster_is_not_written() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("disk");
    let mut image = stillpoint_testkit::image::ImageBuilder::v3().cluster_bits(12).size(4 << 20);
    for number in 0..64 {
        image = image.cluster(number * 16, stillpoint_testkit::image::ClusterSpec::Data(vec![7; 4096]));
    }
    std::fs::write(&path, image.build()).expect("it can be written");
    let source = Source::open(&path).expect("it is there");
    let chain = Chain::open(source, None, &AnyFile, &ChainOptions::default()).expect("it keeps the rules");
    let view = view(&chain, None, &AnyFile);
    let target = directory.path().join("out");
    let options = ExtractOptions::default().format(Format::Qcow2).verify(true);
    let done = extract(&view, &target, &options, &go_on).expect("it can be extracted");
    // The tables are a few blocks.
    assert!(done.written + done.by_kernel < 64 * 4096 + 10 * 4096, "{done:?}");
    assert!(done.file_size >= 64 * 65536, "{done:?}");
}

type Way<'a> = Box<dyn Fn(&Watch<'_>) -> Result<Extracted, ExtractError> + 'a>;

/// Ended at any step, in each way: nothing is left, and what was there before is as it was.
#[test]
fn what_is_cancelled_leaves_nothing_wherever_it_was() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("disk");
    let mut image = stillpoint_testkit::image::ImageBuilder::v3().cluster_bits(12).size(1 << 20);
    for number in 0..40 {
        let bytes = vec![7; 4096];
        let cluster = if number % 2 == 0 {
            stillpoint_testkit::image::ClusterSpec::Data(bytes)
        } else {
            stillpoint_testkit::image::ClusterSpec::deflated(&bytes)
        };
        image = image.cluster(number * 3, cluster);
    }
    std::fs::write(&path, image.build()).expect("it can be written");
    let source = Source::open(&path).expect("it is there");
    let chain = Chain::open(source, None, &AnyFile, &ChainOptions::default()).expect("it keeps the rules");
    let view = view(&chain, None, &AnyFile);
    let target = directory.path().join("out");
    std::fs::write(&target, "old").expect("it can be written");
    let mut all: Vec<Way<'_>> = vec![Box::new(|watch| extract_bytes(view.disk(), &target, true, watch))];
    for options in ways() {
        let (view, target) = (&view, &target);
        all.push(Box::new(move |watch| extract(view, target, &options, watch)));
    }
    for (number, way) in all.iter().enumerate() {
        // All of the first steps, and some of the others.
        for last in (0_u64..8).chain((8..).step_by(5)) {
            let calls = AtomicU64::new(0);
            let done = way(&|_| match calls.fetch_add(1, Ordering::Relaxed) {
                call if call < last => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            });
            if done.is_ok() {
                assert!(last > 3, "way {number} was asked {last} times only");
                break;
            }
            assert!(matches!(done, Err(ExtractError::Cancelled)), "{done:?}");
            assert_eq!(names(directory.path()), ["disk", "out"], "way {number}, after {last}");
            assert_eq!(std::fs::read(&target).expect("it is there"), b"old");
        }
        std::fs::write(&target, "old").expect("it can be written");
    }
}
