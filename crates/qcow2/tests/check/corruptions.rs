//! Damage to the tables of clusters and refcounts: what QEMU's own tests do to images (060, 080, 108, 112, 121, 138,
//! 214, 220 among them), and more.

use stillpoint_testkit::image::oracle::QemuImg;

use crate::damage::{Bytes, COMPRESSED, COPIED, DATA, make};
use crate::oracle::{difference, find};
use crate::verbs;

/// What it is, options of the image, and what is done to it.
pub(crate) type Case = (&'static str, &'static str, fn(&mut Bytes));

/// Makes an image for each case, damages it, and compares.
pub(crate) fn all_agree(qemu_img: &QemuImg, make: impl Fn(&QemuImg, &str) -> Bytes, cases: &[Case]) {
    let mut differences = Vec::new();
    let mut made: Option<(&str, Vec<u8>)> = None;
    for (name, options, damage) in cases {
        let mut bytes = make_or_copy(qemu_img, options, &mut made, &make);
        damage(&mut bytes);
        bytes.write();
        for difference in
            [difference(qemu_img, "image"), verbs::difference(qemu_img, "image")].into_iter().flatten()
        {
            differences.push(format!("{name} ({options}): {difference}"));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

/// Images with the same options are made once.
fn make_or_copy<'o>(
    qemu_img: &QemuImg,
    options: &'o str,
    made: &mut Option<(&'o str, Vec<u8>)>,
    make: impl Fn(&QemuImg, &str) -> Bytes,
) -> Bytes {
    if let Some((with, all)) = made
        && *with == options
    {
        let mut bytes = Bytes::read(&qemu_img.directory().join("image"));
        bytes.all.clone_from(all);
        return bytes;
    }
    let bytes = make(qemu_img, options);
    *made = Some((options, bytes.all.clone()));
    bytes
}

#[test]
fn damaged_tables_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    let cases: &[Case] = &[
        ("sound", "", |_| {}),
        ("dirty", "", |b| b.put64(72, 1)),
        ("corrupt", "", |b| b.put64(72, 2)),
        ("dirty and corrupt", "", |b| b.put64(72, 3)),
        ("L1 with reserved bits", "", |b| b.edit(b.l1(), |entry| entry | 3 | 1 << 56)),
        ("L1 not aligned", "", |b| b.edit(b.l1(), |entry| entry + 512)),
        ("L1 past the end", "", |b| b.put64(b.l1(), COPIED | 1 << 40)),
        ("L1 past the end, not aligned, reserved", "", |b| b.put64(b.l1(), COPIED | 1 << 40 | 512 | 1)),
        ("L1 as far as it gets", "", |b| b.put64(b.l1(), COPIED | 0x00ff_ffff_ffff_0000)),
        ("L1 to the end", "", |b| b.put64(b.l1(), COPIED | b.len())),
        ("L1 to the header", "", |b| b.put64(b.l1(), COPIED)),
        ("L1 with reserved bits only", "", |b| b.put64(b.l1(), 2)),
        ("L1 to itself", "", |b| b.put64(b.l1(), COPIED | b.l1())),
        ("L1 to the refcount block", "", |b| b.put64(b.l1(), COPIED | b.block())),
        ("L1 without COPIED", "", |b| b.edit(b.l1(), |entry| entry & !COPIED)),
        ("L1 that is longer", "", |b| b.put32(36, 20_000)),
        ("L1 that is too long", "", |b| b.put32(36, 4_194_305)),
        ("L1 that is empty", "", |b| b.put32(36, 0)),
        ("L1 table past the end", "", |b| b.put64(40, 0x100_0000)),
        ("L1 table at the end", "", |b| b.put64(40, b.len())),
        ("L1 table not aligned", "", |b| b.edit(40, |at| at + 512)),
        ("an L2 table thrice", "", |b| {
            let entry = b.get64(b.l1());
            b.put32(36, 3);
            b.put64(b.l1() + 8, entry);
            b.put64(b.l1() + 16, entry | 2);
            b.put64(b.l2() + 8, COPIED | 0x5_0200);
        }),
        ("L2 with reserved bits", "", |b| b.edit(b.l2(), |entry| entry | 2 | 1 << 61)),
        ("L2 with reserved bits, nothing else", "", |b| b.put64(b.l2() + 64, 1 << 61)),
        ("L2 with COPIED, nothing else", "", |b| b.put64(b.l2() + 64, COPIED)),
        ("L2 with zeros and COPIED", "", |b| b.put64(b.l2() + 64, COPIED | 1)),
        ("data not aligned", "", |b| b.edit(b.l2(), |entry| entry + 512)),
        ("zeros not aligned", "", |b| b.edit(b.l2(), |entry| (entry + 512) | 1)),
        ("data past the end", "", |b| b.put64(b.l2(), COPIED | 1 << 40)),
        ("data at the end", "", |b| b.put64(b.l2(), COPIED | b.len())),
        ("data as far as it gets", "", |b| b.put64(b.l2(), COPIED | 0x00ff_ffff_ffff_0000)),
        ("zeros past the end", "", |b| b.put64(b.l2(), COPIED | 1 << 40 | 1)),
        ("data in the header", "", |b| b.put64(b.l2() + 64, COPIED | 512)),
        ("data in the refcount table", "", |b| b.put64(b.l2(), COPIED | 0x1_0000)),
        ("data in the refcount block", "", |b| b.put64(b.l2(), COPIED | b.block())),
        ("data in the L1 table", "", |b| b.put64(b.l2(), COPIED | b.l1())),
        ("data in the L2 table", "", |b| b.put64(b.l2(), COPIED | b.l2())),
        ("data twice", "", |b| b.put64(b.l2() + 64, COPIED | 0x5_0000)),
        ("data without COPIED", "", |b| b.edit(b.l2(), |entry| entry & !COPIED)),
        ("data that is compressed and COPIED", "", |b| b.edit(b.l2(), |entry| entry | COMPRESSED)),
        ("zeros in version 2", "compat=0.10", |b| b.edit(b.l2(), |entry| entry | 1)),
        ("compressed with low bits", "", |b| b.put64(b.l2(), COMPRESSED | 0x5_0003)),
        ("compressed past the end", "", |b| b.put64(b.l2(), COMPRESSED | b.len())),
        ("compressed up to the end", "", |b| b.put64(b.l2(), COMPRESSED | (b.len() - 512))),
        ("compressed over the end", "", |b| b.put64(b.l2(), COMPRESSED | 9 << 54 | (b.len() - 512))),
        ("compressed over two clusters", "", |b| b.put64(b.l2(), COMPRESSED | 5 << 54 | 0x5_ff00)),
        ("a leak", "", |b| b.put64(b.l2(), 0)),
        ("a refcount of 0", "", |b| b.put16(b.block() + 10, 0)),
        ("a refcount of 7", "", |b| b.put16(b.block() + 10, 7)),
        ("a refcount of 65535", "", |b| b.put16(b.block() + 10, 65535)),
        ("a refcount behind the end", "", |b| b.put16(b.block() + 100, 1)),
        ("refcounts of the tables", "", |b| b.put64(b.block(), 0)),
        ("refcount table with reserved bits", "", |b| b.edit(b.reftable(), |entry| entry | 1)),
        ("block not aligned", "", |b| b.edit(b.reftable(), |entry| entry | 512)),
        ("block past the end", "", |b| b.put64(b.reftable(), 1 << 40)),
        ("another block past the end", "", |b| b.put64(b.reftable() + 8, 1 << 40)),
        ("a block twice", "", |b| b.put64(b.reftable() + 8, b.block())),
        ("a block that is an L2 table", "", |b| b.put64(b.reftable(), b.l2())),
        ("a block that is the header", "", |b| b.put64(b.reftable() + 8, 1)),
        ("no block", "", |b| b.put64(b.reftable(), 0)),
        ("two clusters of refcount table", "", |b| b.put32(56, 2)),
        ("too many clusters of refcount table", "", |b| b.put32(56, 100)),
        ("far too many", "", |b| b.put32(56, 129)),
        ("block as far as it gets", "", |b| b.put64(b.reftable(), 0x7fff_ffff_ffff_0000)),
        ("refcount table in the header", "", |b| b.put64(48, 0)),
        ("refcount table over the L1 table", "", |b| b.put64(48, b.l1())),
        ("refcount table past the end", "", |b| b.put64(48, 0x100_0000)),
        ("refcount table not aligned", "", |b| b.edit(48, |at| at + 512)),
        ("cut in the data", "", |b| b.resize(0x6_8000)),
        ("cut in the L2 table", "", |b| b.resize(0x4_8000)),
        ("cut in the refcount block", "", |b| b.resize(0x2_0100)),
        ("cut before the L1 table", "", |b| b.resize(0x1_8000)),
        ("cut at an odd length", "", |b| b.resize(0x8_0001)),
        ("longer by a bit", "", |b| b.resize(0x9_0064)),
        ("longer by clusters", "", |b| b.resize(0x20_0000)),
        ("longer, with data over the end", "", |b| {
            b.resize(0x9_0064);
            b.put64(b.l2() + 160, COPIED | 0x9_0000);
            b.put64(b.l2() + 168, COPIED | 0x9_0200);
        }),
    ];
    all_agree(&qemu_img, |qemu_img, options| make(qemu_img, options, DATA), cases);
}

#[test]
fn refcounts_of_all_widths_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    fn overflow(b: &mut Bytes) {
        let entry = b.get64(b.l2());
        for i in 20..320 {
            b.put64(b.l2() + i * 8, entry);
        }
    }
    let cases: &[Case] = &[
        ("1 bit", "refcount_bits=1", |b| b.put(b.block(), &[0x2d])),
        ("1 bit overflows", "refcount_bits=1", |b| {
            let entry = b.get64(b.l2());
            b.put64(b.l2() + 64, entry);
            b.put64(b.l2() + 72, entry);
        }),
        ("2 bits", "refcount_bits=2", |b| b.put(b.block(), &[0x1b])),
        ("2 bits overflow", "refcount_bits=2", |b| {
            let entry = b.get64(b.l2());
            (20..24).for_each(|i| b.put64(b.l2() + i * 8, entry));
        }),
        ("4 bits", "refcount_bits=4", |b| b.put(b.block(), &[0x1b, 0xf0])),
        ("8 bits", "refcount_bits=8", |b| b.put(b.block() + 1, &[0, 255, 2])),
        ("8 bits overflow", "refcount_bits=8", overflow),
        ("16 bits with many references", "", overflow),
        ("32 bits", "refcount_bits=32", |b| b.put32(b.block() + 20, u32::MAX)),
        ("64 bits", "refcount_bits=64", |b| b.put64(b.block() + 40, u64::MAX)),
        ("64 bits, more than an image can have", "refcount_bits=64", |b| b.put64(b.block() + 40, 1 << 63)),
        ("small clusters", "cluster_size=512", |b| b.put16(b.block() + 40, 3)),
        ("large clusters", "cluster_size=2M", |b| b.put16(b.block() + 4, 3)),
    ];
    all_agree(&qemu_img, |qemu_img, options| make(qemu_img, options, DATA), cases);
}

#[test]
fn headers_that_are_refused_are_refused_in_qemu_imgs_words() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    let cases: &[Case] = &[
        ("no magic", "", |b| b.put32(0, 0)),
        ("version 4", "", |b| b.put32(4, 4)),
        ("cluster bits", "", |b| b.put32(20, 22)),
        ("header length", "", |b| b.put32(100, 90)),
        ("unknown feature", "", |b| b.put64(72, 1 << 40)),
        ("refcount width", "", |b| b.put32(96, 7)),
        ("refcount table", "", |b| b.put32(56, u32::MAX)),
        ("no refcount table", "", |b| b.put32(56, 0)),
        ("L1 length", "", |b| b.put32(36, u32::MAX)),
        ("L1 offset", "", |b| b.put64(40, u64::MAX)),
        ("disk size", "", |b| b.put64(24, 1 << 50)),
        ("backing name", "", |b| {
            b.put64(8, 0x400);
            b.put32(16, u32::MAX);
        }),
    ];
    all_agree(&qemu_img, |qemu_img, options| make(qemu_img, options, &[]), cases);
}
