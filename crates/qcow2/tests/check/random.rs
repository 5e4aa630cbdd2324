//! Damage at random, in images of all kinds, against qemu-img: the same counts and the same words.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, SnapshotSpec};

use crate::oracle::{Answer, ours, theirs};
use crate::verbs;

/// How many images; each takes a process.
const IMAGES: usize = 300;
/// The same where each takes three.
const VERB_IMAGES: usize = 60;

/// Clusters of data, zeros and compressed data, at most two L2 tables of them.
fn clusters(bits: u32, extended: bool, seed: u64) -> Vec<(u64, ClusterSpec)> {
    let size = 1_usize << bits;
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut taken = std::collections::BTreeSet::new();
    (0..8)
        .filter_map(|_| {
            let index = random(1 << 7);
            let bytes = vec![u8::try_from(index % 251).expect("it is below 256"); size];
            let spec = match random(6) {
                0 => ClusterSpec::Zero,
                1 => ClusterSpec::ZeroAllocated(bytes),
                2 => ClusterSpec::deflated(&bytes[..size / 2]),
                3 if extended => ClusterSpec::Subclusters { bytes, allocated: 0xff, zero: 0xff00 },
                _ => ClusterSpec::Data(bytes),
            };
            taken.insert(index).then_some((index, spec))
        })
        .collect()
}

fn image() -> impl Strategy<Value = Vec<u8>> {
    let kind = (any::<bool>(), any::<bool>(), 9_u32..15, 0_u32..7, any::<bool>(), any::<u64>());
    let built = kind.prop_map(|(v2, extended, bits, order, bitmaps, seed)| {
        let extended = extended && !v2;
        let bits = if extended { 14 } else { bits };
        let mut image = if v2 { ImageBuilder::v2() } else { ImageBuilder::v3().refcount_order(order) };
        image = image.cluster_bits(bits).size(128 << bits).incompatible(if extended { 16 } else { 0 });
        for (index, cluster) in clusters(bits, extended, seed) {
            image = image.cluster(index, cluster);
        }
        let snapshot = SnapshotSpec {
            clusters: clusters(bits, extended, seed / 2),
            ..SnapshotSpec::new("1", "one").extra(0, 128 << bits, 5)
        };
        if seed % 3 > 0 {
            image = image.snapshot(snapshot);
        }
        if bitmaps && !v2 {
            image = image.bitmap(BitmapSpec::new("b0"));
        }
        (image.build(), 1_usize << bits)
    });
    let damage = (any::<prop::sample::Index>(), 0_usize..24, word());
    (built, prop::collection::vec(damage, 0..5), prop::option::weighted(0.1, any::<prop::sample::Index>()))
        .prop_map(|((mut bytes, cluster), damages, cut)| {
            let clusters = bytes.len() / cluster;
            for (number, place, value) in damages {
                // The beginning of a cluster is where a table's entries are; the header is left as it is.
                let number = 1 + number.index(clusters - 1);
                let at = number * cluster + place * 8 % cluster;
                let value = match value {
                    Word::Own(value) => value,
                    Word::Cluster(to, flags) => (to.index(clusters + 2) * cluster) as u64 | flags,
                };
                bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
            }
            if let Some(cut) = cut {
                bytes.truncate(cluster + cut.index(bytes.len() - cluster));
            }
            bytes
        })
}

#[derive(Debug, Clone)]
enum Word {
    Own(u64),
    /// A cluster of the file, and flags.
    Cluster(prop::sample::Index, u64),
}

fn word() -> impl Strategy<Value = Word> {
    let flags = vec![0, 1 << 63, 1 << 63, 1 << 63, 1 << 62, 3 << 62, 1, 1 << 63 | 1, 512, 1 << 63 | 512, 2];
    let own = vec![0, 1, 1 << 63, 1 << 62, 1 << 40, 1 << 63 | 1 << 40, 0x0001_0001_0001_0001, u64::MAX, 7];
    prop_oneof![
        2 => prop::sample::select(own).prop_map(Word::Own),
        5 => (any::<prop::sample::Index>(), prop::sample::select(flags)).prop_map(|(to, f)| Word::Cluster(to, f)),
        1 => any::<u64>().prop_map(Word::Own),
    ]
}

/// QEMU tells that a count overflows where it happens, we tell it after the tables: the lines are the same ones.
fn sorted(answer: Answer) -> (i32, String, Vec<String>) {
    let mut lines: Vec<_> = answer.stderr.lines().map(str::to_owned).collect();
    if lines.iter().any(|line| line.contains("overflow cluster")) {
        lines.sort_unstable();
    }
    (answer.code, answer.stdout, lines)
}

/// A seed and a number of images: from the environment, or the usual ones.
fn asked(images: usize) -> (u64, usize, TestRunner) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("STILLPOINT_SEED").unwrap_or(1);
    let count = number("STILLPOINT_IMAGES").map_or(images, |count| usize::try_from(count).unwrap_or(images));
    (seed, count, TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() }))
}

#[test]
fn images_damaged_at_random_are_to_every_verb_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = QemuImg::find(directory.path()) else { return };
    let (seed, count, mut runner) = asked(VERB_IMAGES);
    let mut differences = Vec::new();
    for number in 0..count {
        let image = image().new_tree(&mut runner).expect("an image can be made").current();
        std::fs::write(directory.path().join("image"), &image).expect("it can be written");
        if let Some(difference) = verbs::difference(&qemu_img, "image") {
            let kept = std::env::temp_dir().join(format!("stillpoint-verbs-{seed}-{number}.qcow2"));
            std::fs::write(&kept, &image).expect("it can be written");
            differences.push(format!("{}: {difference}", kept.display()));
        }
    }
    let first: Vec<_> = differences.iter().take(3).cloned().collect();
    assert!(differences.is_empty(), "{} of {count} of seed {seed}:\n{}", differences.len(), first.join("\n"));
}

#[test]
fn images_damaged_at_random_check_as_they_do_with_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = QemuImg::find(directory.path()) else { return };
    let (seed, count, mut runner) = asked(IMAGES);
    let mut differences = Vec::new();
    let mut damaged = 0;
    for number in 0..count {
        let image = image().new_tree(&mut runner).expect("an image can be made").current();
        std::fs::write(directory.path().join("image"), &image).expect("it can be written");
        let json = number % 2 == 0;
        let (ours, theirs) = (ours(&image, "image", json), theirs(&qemu_img, "image", json));
        damaged += usize::from(theirs.code > 1);
        let (ours, theirs) = (sorted(ours), sorted(theirs));
        // What we refuse of a bitmap directory that the file doesn't hold, qemu-img refuses in other words.
        let refused = |answer: &(i32, String, Vec<String>)| answer.0 == 1 && answer.1.is_empty();
        // It gives up at a table past all offsets that a file can have; we take it for what it is, past the end.
        let gives_up = theirs.2.iter().any(|line| {
            line.starts_with("ERROR: I/O error in") || line == "Check failed: Cannot allocate memory"
        });
        if ours != theirs && !gives_up && !(refused(&ours) && refused(&theirs)) {
            let kept = std::env::temp_dir().join(format!("stillpoint-check-{seed}-{number}.qcow2"));
            std::fs::write(&kept, &image).expect("it can be written");
            differences.push(format!("{}:\n{ours:#?}\nis not\n{theirs:#?}", kept.display()));
        }
    }
    let first: Vec<_> = differences.iter().take(3).cloned().collect();
    assert!(differences.is_empty(), "{} of {count} of seed {seed}:\n{}", differences.len(), first.join("\n"));
    assert!(damaged > count / 4, "only {damaged} of {count} images were damaged enough");
}
