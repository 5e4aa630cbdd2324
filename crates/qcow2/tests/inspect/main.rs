//! Accounts of images, and verdicts over those of strangers.

use std::io::{self, Read};

use proptest::prelude::*;
use stillpoint_qcow2::Format;
use stillpoint_qcow2::inspect::{Account, Care, InspectOptions, Outcome, Verdict};
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, LuksSpec, SnapshotSpec, offset};

fn options() -> InspectOptions {
    InspectOptions::default().filename("/images/disk.qcow2")
}

fn judge(image: &[u8]) -> Verdict {
    Verdict::of_storage(image, &options())
}

fn says(account: &Account, care: Care, text: &str) -> bool {
    account.statements.iter().any(|statement| {
        statement.care == care && (statement.fact.contains(text) || statement.meaning.contains(text))
    })
}

/// An image that is larger than what is kept of a stream.
fn large() -> ImageBuilder {
    let mut image = ImageBuilder::v3().size(16 << 20);
    for cluster in 0..100 {
        image = image.cluster(cluster, ClusterSpec::Data(vec![1; 65536]));
    }
    image
}

#[test]
fn plain_images_are_safe() {
    let data = ClusterSpec::Data(vec![7; 65536]);
    for image in [
        ImageBuilder::v3(),
        ImageBuilder::v2(),
        ImageBuilder::v3().cluster(1, data),
        ImageBuilder::v3().bitmap(BitmapSpec::new("b")),
        ImageBuilder::v3().snapshot(SnapshotSpec::new("1", "one").extra(0, 1 << 20, 0)),
        ImageBuilder::v3().luks(LuksSpec::default()),
        ImageBuilder::v3().backing(b"", Some("raw")),
        ImageBuilder::v3().incompatible(1),
        ImageBuilder::v3().extension(7, b"unknown").compatible(1 << 40),
        large(),
    ] {
        let verdict = judge(&image.build());
        assert_eq!(verdict.outcome, Outcome::Safe, "{}", verdict.account.to_text());
    }
    assert_eq!(judge(b"any bytes at all").outcome, Outcome::Safe);
}

#[test]
fn whatever_leads_outside_of_an_image_is_unsafe_and_named() {
    for (image, name) in [
        (ImageBuilder::v3().backing(b"/etc/shadow", Some("raw")), "/etc/shadow"),
        (ImageBuilder::v3().backing(b"base.qcow2", None), "base.qcow2"),
        (ImageBuilder::v3().backing(b"nbd://host/disk", Some("raw")), "protocol"),
        (ImageBuilder::v3().backing(b"json:{\"driver\":\"nbd\"}", Some("raw")), "json:"),
        (ImageBuilder::v2().backing(b"../base", None), "not followed unless"),
        (ImageBuilder::v3().data_file(b"/dev/sda", true), "/dev/sda"),
        (ImageBuilder::v3().data_file(b"", false), "doesn't name"),
        (large().backing(b"/etc/shadow", Some("raw")), "/etc/shadow"),
    ] {
        let image = image.build();
        let streamed = Verdict::of_stream(&image[..], &options()).expect("memory can be read");
        for verdict in [judge(&image), streamed] {
            assert_eq!(verdict.outcome, Outcome::Unsafe, "{name}: {}", verdict.account.to_text());
            assert!(says(&verdict.account, Care::Unsafe, name), "{name}: {}", verdict.account.to_text());
        }
    }
}

#[test]
fn a_backing_file_in_the_own_directory_is_told_apart_from_one_elsewhere() {
    let account = |name: &[u8]| judge(&ImageBuilder::v3().backing(name, Some("raw")).build()).account;
    assert!(says(&account(b"base.raw"), Care::Unsafe, "below the image's own directory"));
    assert!(says(&account(b"/images/deeper/base.raw"), Care::Unsafe, "below the image's own directory"));
    for outside in [&b"../base.raw"[..], b"/etc/passwd", b"deeper/../../base.raw", b"/images/../etc/passwd"] {
        assert!(says(&account(outside), Care::Unsafe, "outside of the image's own directory"), "{outside:?}");
    }
}

#[test]
fn what_is_damaged_or_not_understood_is_unsafe() {
    let sound = large().build();
    let word = |at: usize| u64::from_be_bytes(sound[at..at + 8].try_into().expect("8 bytes"));
    let l1 = usize::try_from(word(40)).expect("it is small");
    let mut beyond = sound.clone();
    beyond[l1..l1 + 8].copy_from_slice(&(1_u64 << 63 | 1 << 40).to_be_bytes());
    for (image, what) in [
        (beyond, "damaged"),
        (sound[..sound.len() / 2].to_vec(), "damaged"),
        (large().incompatible(2).build(), "corrupt bit"),
        (large().incompatible(1 << 50).build(), "features"),
        (large().patch_u32(offset::CLUSTER_BITS, 40).build(), "clusters of 2^40"),
        (b"KDMV some vmdk".to_vec(), "vmdk"),
        (
            large().snapshot(SnapshotSpec::new("1", "x")).patch_u32(offset::SNAPSHOTS, 65537).build(),
            "snapshot",
        ),
    ] {
        let verdict = judge(&image);
        assert_eq!(verdict.outcome, Outcome::Unsafe, "{what}: {}", verdict.account.to_text());
        assert!(says(&verdict.account, Care::Unsafe, what), "{what}: {}", verdict.account.to_text());
    }
}

#[test]
fn limits_and_expected_formats_hold_for_files_and_streams() {
    let image = large().build();
    let raw = vec![3; 5 << 20];
    let small = options().max_size(1 << 20);
    for bytes in [&image, &raw] {
        for verdict in
            [Verdict::of_storage(bytes, &small), Verdict::of_stream(&bytes[..], &small).expect("memory")]
        {
            assert_eq!(verdict.outcome, Outcome::Unsafe, "{}", verdict.account.to_text());
            assert!(
                says(&verdict.account, Care::Unsafe, "1 MiB are let in"),
                "{}",
                verdict.account.to_text()
            );
        }
    }
    for (bytes, format) in [(&image, Format::Raw), (&raw, Format::Qcow2)] {
        let wrong = options().format(Some(format));
        assert_eq!(Verdict::of_storage(bytes, &wrong).outcome, Outcome::Unsafe);
        assert_eq!(Verdict::of_stream(&bytes[..], &wrong).expect("memory").outcome, Outcome::Unsafe);
    }
    assert_eq!(Verdict::of_stream(&raw[..], &options()).expect("memory").outcome, Outcome::Safe);
}

/// A stream that counts what is read of it, and gives it in small pieces.
struct Counted<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(4096).min(self.bytes.len());
        let read = (&self.bytes[..len]).read(buf)?;
        self.bytes = &self.bytes[read..];
        self.read += read;
        Ok(read)
    }
}

#[test]
fn a_stream_is_judged_by_its_beginning_and_never_called_safe_for_that_alone() {
    let image = large().build();
    assert!(image.len() > 5 << 20);
    let mut stream = Counted { bytes: &image, read: 0 };
    let verdict = Verdict::of_stream(&mut stream, &options()).expect("memory can be read");
    assert_eq!(verdict.outcome, Outcome::Incomplete, "{}", verdict.account.to_text());
    assert_eq!(stream.read, image.len());

    let mut stream = Counted { bytes: &image, read: 0 };
    let header_only = options().header_only(true);
    assert_eq!(Verdict::of_stream(&mut stream, &header_only).expect("memory").outcome, Outcome::Safe);
    assert_eq!(stream.read, 4 << 20);

    let hostile = large().backing(b"/etc/shadow", Some("raw")).build();
    let mut stream = Counted { bytes: &hostile, read: 0 };
    assert_eq!(Verdict::of_stream(&mut stream, &options()).expect("memory").outcome, Outcome::Unsafe);
    assert_eq!(stream.read, 4 << 20);

    let cut = Verdict::of_stream(&image[..5 << 20], &options()).expect("memory");
    assert_eq!(cut.outcome, Outcome::Unsafe, "{}", cut.account.to_text());
    assert!(says(&cut.account, Care::Unsafe, "past the end"));
}

#[test]
fn tables_at_the_beginning_of_a_stream_are_looked_at_and_the_others_counted() {
    // Longer than what is kept, with its tables in that.
    let build = |image: ImageBuilder| {
        let mut bytes = image.build();
        bytes.resize(5 << 20, 0);
        bytes
    };
    let image = || {
        let data = || ClusterSpec::Data(vec![1; 65536]);
        ImageBuilder::v3().size(16 << 20).cluster(0, data()).cluster(2, data())
    };
    let sound = build(image());
    let word = |at: u64| {
        let at = usize::try_from(at).expect("short");
        u64::from_be_bytes(sound[at..at + 8].try_into().expect("eight bytes"))
    };
    let l1 = word(40);
    let l2 = word(l1) & 0x00ff_ffff_ffff_fe00;
    let verdict = Verdict::of_stream(&sound[..], &options()).expect("memory");
    let told = "1 of 1 entries of the L1 table, and 1 L2 tables, but not 0";
    assert!(says(&verdict.account, Care::Notable, told), "{}", verdict.account.to_text());
    assert_eq!((verdict.outcome, judge(&sound).outcome), (Outcome::Incomplete, Outcome::Safe));
    let later = Verdict::of_stream(&large().build()[..], &options()).expect("memory");
    assert!(says(&later.account, Care::Notable, "0 of 1 entries of the L1 table"));
    let end = sound.len() as u64;
    for (at, entry, damage) in [
        (l1, 1 << 63 | end.next_multiple_of(65536), "entry 0 of the L1 table points to"),
        (l1, 1 << 63 | 512, "entry 0 of the L1 table points to 512, where no cluster begins"),
        (l1, 1 << 63 | l2 | 1, "entry 0 of the L1 table has reserved bits: 0x1"),
        (l2 + 16, 1 << 63 | 1 << 40, "entry 2 of the L2 table at"),
        (l2 + 8, 1 << 63 | 1 << 20 | 512, "entry 1 of the L2 table at"),
        (l2 + 8, 1 << 62 | 1 << 40, "past the end of the image"),
    ] {
        let image = build(image().patch_u64(at, entry));
        let stream = Verdict::of_stream(&image[..], &options()).expect("memory");
        assert_eq!(stream.outcome, Outcome::Unsafe, "{damage}");
        assert!(says(&stream.account, Care::Unsafe, damage), "{damage}: {}", stream.account.to_text());
        assert_eq!(judge(&image).outcome, Outcome::Unsafe, "{damage}");
    }
}

#[test]
fn a_table_that_is_told_of_again_and_again_is_looked_at_once() {
    let mut image = ImageBuilder::v3().size(1 << 40).build();
    let l1 =
        usize::try_from(u64::from_be_bytes(image[40..48].try_into().expect("eight bytes"))).expect("short");
    image.resize(5 << 20, 0);
    for entry in image[l1..l1 + 2048 * 8].as_chunks_mut().0 {
        *entry = (1 << 63 | 3_u64 << 20).to_be_bytes();
    }
    let verdict = Verdict::of_stream(&image[..], &options()).expect("memory");
    let told = "2048 of 2048 entries of the L1 table, and 1 L2 tables, but not 0";
    assert!(says(&verdict.account, Care::Notable, told), "{}", verdict.account.to_text());
}

#[test]
fn a_small_stream_is_judged_as_wholly_as_a_file() {
    let image = ImageBuilder::v3().cluster(1, ClusterSpec::Data(vec![1; 65536])).build();
    let streamed = Verdict::of_stream(Counted { bytes: &image, read: 0 }, &options()).expect("memory");
    assert_eq!(streamed, judge(&image));
    assert_eq!(streamed.outcome, Outcome::Safe);
}

#[test]
fn features_are_explained() {
    let luks = ImageBuilder::v3().luks(LuksSpec::default()).incompatible(1).compatible(1 | 1 << 9);
    let image = luks.feature_name(1, 9, "shiny").refcount_order(5).extension(0x1234, b"abc").build();
    let text = judge(&image).account.to_text();
    for part in [
        "qcow2 image, version 3",
        "refcounts have 32 bits",
        "LUKS",
        "dirty bit",
        "lazy",
        "compatible feature bit 9 is set, which the image calls \"shiny\"",
        "extension 0x00001234 of 3 bytes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_to_a_header_makes_a_stream_safer_than_the_file(
        damage in prop::collection::vec((0_usize..600, any::<u8>()), 0..4),
    ) {
        let mut image = ImageBuilder::v3().backing(b"x", Some("raw")).build();
        for (at, byte) in damage {
            image[at] = byte;
        }
        let (file, stream) = (judge(&image), Verdict::of_stream(&image[..], &options()).expect("memory"));
        prop_assert_eq!(stream, file);
        image.resize(5 << 20, 0);
        let stream = Verdict::of_stream(&image[..], &options()).expect("memory");
        prop_assert!(stream.outcome != Outcome::Safe || judge(&image).outcome == Outcome::Safe);
    }
}
