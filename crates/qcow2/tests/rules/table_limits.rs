//! Limits of tables that are not in the header's own cluster, at the limit and one past it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;

use stillpoint_qcow2::tables::{HeaderError, MappingError, SnapshotError};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Disk, Error, Format, Image, Source};
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec, offset};

/// Bytes of a snapshot table, at most.
const MOST: u64 = 64 << 20;
/// Where a snapshot table can be: behind what the builder writes.
const TABLE: u64 = 1 << 20;

/// A sparse image with a snapshot table of `MOST` bytes and `more`: ids and names of zeros, as long as they get.
fn with_table(path: &Path, more: u64) -> u32 {
    let mut file = File::create(path).expect("it can be made");
    let entry_len = |names: u64| (40 + names).next_multiple_of(8);
    let longest = 2 * 65535;
    let full = MOST / entry_len(longest);
    let last = MOST - full * entry_len(longest) - 40 + more;
    let count = u32::try_from(full + 1).expect("few");
    let image =
        ImageBuilder::v3().patch_u32(offset::SNAPSHOTS, count).patch_u64(offset::SNAPSHOTS_OFFSET, TABLE);
    file.write_all(&image.build()).expect("it can be written");
    let mut at = TABLE;
    for names in std::iter::repeat_n(longest, usize::try_from(full).expect("few")).chain([last]) {
        let id = names.min(65535);
        let lengths = u32::try_from(id << 16 | (names - id)).expect("16 bits each");
        // The two lengths are at 12 of an entry.
        file.write_all_at(&lengths.to_be_bytes(), at + 12).expect("it can be written");
        at += entry_len(names);
    }
    file.set_len(at).expect("it can be longer");
    count
}

#[test]
fn a_snapshot_table_has_64_mib_and_no_byte_more() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("image");
    let qemu_img = QemuImg::find(directory.path());
    for more in [0, 1] {
        let count = with_table(&path, more);
        let found = Image::open(Source::open(&path).expect("it was made").storage);
        match (more, found) {
            (0, Ok(image)) => assert_eq!(image.snapshots().len(), usize::try_from(count).expect("few")),
            (1, Err(Error::Snapshot(SnapshotError::PastTheEnd { entry, .. }))) => {
                assert_eq!(entry + 1, count)
            }
            (_, found) => panic!("{more} bytes past the limit: {:?}", found.map(drop)),
        }
        if let Some(qemu_img) = &qemu_img {
            let theirs = qemu_img.run(["snapshot", "-U", "-l", "image"]);
            assert_eq!(theirs.status.success(), more == 0, "{theirs:?}");
        }
    }
}

#[test]
fn a_snapshots_l1_table_has_32_mib_and_no_entry_more() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("image");
    let qemu_img = QemuImg::find(directory.path());
    let builder = ImageBuilder::v3().snapshot(SnapshotSpec::new("1", "one"));
    let bytes = builder.clone().build();
    let at = usize::try_from(offset::SNAPSHOTS_OFFSET).expect("short");
    let table = u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    for (entries, fits) in [(4_194_304, true), (4_194_305, false), (u32::MAX, false)] {
        // The number of entries is at 8 of the snapshot's own.
        std::fs::write(&path, builder.clone().patch_u32(table + 8, entries).build())
            .expect("it can be written");
        // All of a table that is as long is in the file: QEMU reads it.
        let file = File::options().write(true).open(&path).expect("it was made");
        file.set_len(128 << 20).expect("it can be longer");
        let source = Source::open(&path).expect("it was made");
        let chain = Chain::open(source, Some(Format::Qcow2), &AnyFile, &ChainOptions::default());
        let chain = chain.expect("the table is only told of");
        let snapshot = chain.layers()[0].image().and_then(|image| image.snapshot("1")).expect("it is there");
        let found = Disk::open_snapshot(&chain, snapshot, &AnyFile);
        match found {
            Ok(_) => assert!(fits, "{entries}"),
            Err(Error::Mapping(MappingError::L1Size { entries: told, .. })) => {
                assert!(!fits && told == entries, "{entries}");
            }
            Err(error) => panic!("{entries}: {error}"),
        }
        if let Some(qemu_img) = &qemu_img {
            let theirs = qemu_img.run(["convert", "-U", "-l", "one", "-O", "raw", "image", "out"]);
            assert_eq!(theirs.status.success(), fits, "{entries}: {theirs:?}");
        }
    }
}

/// The end of a table has 63 bits.
#[test]
fn tables_end_before_the_largest_offset_that_there_is() {
    const LAST: u64 = 0x7fff_ffff_ffff_0000;
    let refused = |image: ImageBuilder| match Image::open(image.build()) {
        Err(Error::Header(error @ HeaderError::TableOffset { .. })) => Some(error.qemu_text()),
        // It isn't there, but it might be.
        Err(Error::Io { .. } | Error::Snapshot(_)) | Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    let l1 = |at| ImageBuilder::v3().patch_u64(offset::L1_OFFSET, at);
    assert_eq!(refused(l1(LAST)), None);
    assert_eq!(refused(l1(LAST).patch_u32(offset::L1_SIZE, 8191)), None);
    let text = Some("Active L1 table offset invalid".to_owned());
    assert_eq!(refused(l1(LAST).patch_u32(offset::L1_SIZE, 8192)), text);
    let refcounts = |at| ImageBuilder::v3().patch_u64(offset::REFCOUNT_OFFSET, at);
    assert_eq!(refused(refcounts(LAST - 0x10000)), None);
    let text = Some("Reference count table offset invalid".to_owned());
    assert_eq!(refused(refcounts(LAST)), text);
    let snapshots = |count| {
        let image = ImageBuilder::v3().patch_u64(offset::SNAPSHOTS_OFFSET, LAST);
        image.patch_u32(offset::SNAPSHOTS, count)
    };
    // 40 bytes each.
    assert_eq!(refused(snapshots(1638)), None);
    assert_eq!(refused(snapshots(1639)), Some("Snapshot table offset invalid".to_owned()));
}
