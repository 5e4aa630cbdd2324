//! Damage to snapshot tables, bitmaps, subclusters, compressed clusters and images with a data file.

use crate::corruptions::{Case, all_agree};
use crate::damage::{Bytes, COMPRESSED, COPIED, DATA, make};
use crate::oracle::{find, qemu_io};
use stillpoint_testkit::image::oracle::QemuImg;

fn with_snapshots(qemu_img: &QemuImg, options: &str) -> Bytes {
    let image = make(qemu_img, options, DATA);
    image.write();
    qemu_img.output(["snapshot", "-c", "one", "image"]);
    qemu_io(qemu_img.directory(), "image", &["write -P 9 0 64k", "write -P 8 5M 64k"]);
    qemu_img.output(["snapshot", "-c", "two", "image"]);
    Bytes::read(&qemu_img.directory().join("image"))
}

fn with_bitmaps(qemu_img: &QemuImg, options: &str) -> Bytes {
    make(qemu_img, options, DATA);
    qemu_img.output(["bitmap", "--add", "image", "b0"]);
    qemu_img.output(["bitmap", "--add", "-g", "512", "image", "b1"]);
    qemu_io(qemu_img.directory(), "image", &["write -P 9 0 64k"]);
    Bytes::read(&qemu_img.directory().join("image"))
}

#[test]
fn damaged_snapshots_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    let cases: &[Case] = &[
        ("sound", "", |_| {}),
        ("sound, of version 2", "compat=0.10", |_| {}),
        ("L1 not aligned", "", |b| b.edit(b.snapshots(), |l1| l1 + 512)),
        ("L1 too long", "", |b| b.put32(b.snapshots() + 8, 4_194_305)),
        ("L1 too long and not aligned", "", |b| {
            b.put32(b.snapshots() + 8, 4_194_305);
            b.edit(b.snapshots(), |l1| l1 + 512);
        }),
        ("L1 into the data", "", |b| b.put32(b.snapshots() + 8, 8194)),
        ("L1 empty", "", |b| b.put32(b.snapshots() + 8, 0)),
        ("L1 past the end", "", |b| b.put64(b.snapshots(), 1 << 40)),
        ("L1 at the end", "", |b| b.put64(b.snapshots(), b.len())),
        ("L1 of the other snapshot", "", |b| {
            let other = b.get64(b.snapshots() + 72);
            b.put64(b.snapshots(), other);
        }),
        ("L1 of the active disk", "", |b| b.put64(b.snapshots(), b.l1())),
        ("too much extra data", "", |b| b.put32(b.snapshots() + 36, 1025)),
        ("extra data that isn't enough", "", |b| b.put32(b.snapshots() + 36, 15)),
        ("extra data without instructions", "", |b| b.put32(b.snapshots() + 36, 16)),
        ("no extra data, of version 2", "compat=0.10", |b| {
            b.put32(60, 1);
            b.put32(b.snapshots() + 36, 0);
        }),
        ("no extra data", "", |b| {
            b.put32(60, 1);
            b.put32(b.snapshots() + 36, 0);
        }),
        ("a long name", "", |b| b.put16(b.snapshots() + 14, 65535)),
        ("more snapshots than there are", "", |b| b.put32(60, 3)),
        ("as many as may be", "", |b| b.put32(60, 65536)),
        ("more than may be", "", |b| b.put32(60, 65537)),
        ("many more than may be, nowhere", "", |b| {
            b.put32(60, u32::MAX);
            b.put64(64, 512);
        }),
        ("none", "", |b| b.put32(60, 0)),
        ("table not aligned", "", |b| b.edit(64, |at| at + 512)),
        ("table past the end", "", |b| b.put64(64, 1 << 40)),
        ("table at the end", "", |b| b.put64(64, b.len())),
        ("table in the header", "", |b| b.put64(64, 0)),
        ("COPIED set in a snapshot", "", |b| {
            let l1 = b.get64(b.snapshots());
            b.edit(l1, |entry| entry | COPIED);
        }),
        ("a snapshot's L2 with reserved bits", "", |b| {
            let l2 = b.get64(b.get64(b.snapshots())) & !COPIED;
            b.edit(l2 + 8, |entry| entry | 2);
        }),
        ("data in a snapshot's L2 table", "", |b| {
            let l2 = b.get64(b.get64(b.snapshots())) & !COPIED;
            b.put64(b.l2() + 64, COPIED | l2);
        }),
        ("data in the snapshot table", "", |b| b.put64(b.l2() + 64, COPIED | b.snapshots())),
        ("a snapshot's L2 is the active one's", "", |b| {
            let active = b.get64(b.l1());
            let l1 = b.get64(b.snapshots());
            b.put64(l1, active);
            b.edit(b.l2() + 16, |_| COPIED | 0x5_0200);
        }),
    ];
    all_agree(&qemu_img, with_snapshots, cases);
}

#[test]
fn a_snapshot_table_that_is_too_long_is_refused_as_qemu_img_does() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    for (count, extra, id, name) in [(1100_u32, 16_u32, 0_u16, 65535_u16), (513, 16, 65535, 65535)] {
        let mut image = make(&qemu_img, "", DATA);
        let table = image.len();
        image.put32(60, count);
        image.put64(64, table);
        for _ in 0..count {
            let at = image.len();
            let names = u64::from(extra) + u64::from(id) + u64::from(name);
            image.resize((at + 40 + names).next_multiple_of(8));
            image.put16(at + 12, id);
            image.put16(at + 14, name);
            image.put32(at + 36, extra);
        }
        image.write();
        assert_eq!(crate::oracle::difference(&qemu_img, "image"), None, "{count} snapshots");
    }
}

#[test]
fn damaged_bitmaps_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    fn entry(bytes: &Bytes) -> u64 {
        bytes.get64(bytes.bitmaps() + 16)
    }
    fn table(bytes: &Bytes) -> u64 {
        bytes.get64(entry(bytes))
    }
    let cases: &[Case] = &[
        ("sound", "", |_| {}),
        ("in use", "", |b| b.put32(entry(b) + 12, 1)),
        ("not believed", "", |b| b.put64(88, 0)),
        ("bits past the end", "", |b| b.put64(table(b), 1 << 40)),
        ("bits at the end", "", |b| b.put64(table(b), b.len())),
        ("bits in the header", "", |b| b.put64(table(b), 0)),
        ("bits where data is", "", |b| b.put64(table(b), 0x5_0000)),
        ("ones without bits", "", |b| b.put64(table(b), 1)),
        ("reserved bits", "", |b| b.edit(table(b), |entry| entry | 2)),
        ("bits not aligned", "", |b| b.edit(table(b), |entry| entry + 512)),
        ("ones with bits", "", |b| b.edit(table(b), |entry| entry | 1)),
        ("in use, reserved bits", "", |b| {
            b.put32(entry(b) + 12, 1);
            b.edit(table(b), |entry| entry | 2);
        }),
        ("in use, bits not aligned", "", |b| {
            b.put32(entry(b) + 12, 1);
            b.edit(table(b), |entry| entry + 512);
        }),
        ("in use, ones with bits", "", |b| {
            b.put32(entry(b) + 12, 1);
            b.edit(table(b), |entry| entry | 1);
        }),
        ("in use, with damage before", "", |b| {
            b.put32(entry(b) + 12, 1);
            b.edit(table(b), |entry| entry | 1);
            b.edit(b.l2(), |entry| entry | 2);
        }),
        ("table past the end", "", |b| b.put64(entry(b), 1 << 40)),
        ("table at the end", "", |b| b.put64(entry(b), b.len())),
        ("table not aligned", "", |b| b.edit(entry(b), |table| table + 512)),
        ("unknown flags", "", |b| b.put32(entry(b) + 12, 8)),
        ("directory without entries", "", |b| b.put64(b.bitmaps() + 8, 0)),
        ("data in the directory", "", |b| b.put64(b.l2() + 64, COPIED | entry(b))),
        ("data in a table", "", |b| b.put64(b.l2() + 64, COPIED | b.get64(entry(b)))),
        ("data in bits", "", |b| b.put64(b.l2() + 64, COPIED | table(b))),
        ("directory over the L2 table", "", |b| b.put64(b.bitmaps() + 16, b.l2())),
        ("COPIED wrong as well", "", |b| b.edit(b.l2(), |entry| entry & !COPIED)),
    ];
    all_agree(&qemu_img, with_bitmaps, cases);
}

#[test]
fn damaged_subclusters_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    let extended = "extended_l2=on";
    let cases: &[Case] = &[
        ("sound", extended, |_| {}),
        ("stored and zeros", extended, |b| b.put64(b.l2() + 8, 0x1_ffff_ffff)),
        ("stored and zeros, not aligned", extended, |b| {
            b.put64(b.l2() + 8, 0x1_ffff_ffff);
            b.edit(b.l2(), |entry| entry + 512);
        }),
        ("not aligned", extended, |b| b.edit(b.l2(), |entry| entry + 512)),
        ("not aligned, no data", extended, |b| {
            b.put64(b.l2() + 8, 0xff_0000_0000);
            b.edit(b.l2(), |entry| entry + 512);
        }),
        ("stored in nothing", extended, |b| b.put64(b.l2(), 0)),
        ("stored and zeros in nothing", extended, |b| {
            b.put64(b.l2(), 0);
            b.put64(b.l2() + 8, 0x1_ffff_ffff);
        }),
        ("bit 0", extended, |b| b.edit(b.l2(), |entry| entry | 1)),
        ("bit 0 of nothing", extended, |b| b.put64(b.l2() + 16 * 9, 1)),
        ("compressed with subclusters", extended, |b| {
            b.edit(b.l2(), |entry| entry & !COPIED | COMPRESSED);
        }),
        ("compressed with COPIED and subclusters", extended, |b| {
            b.edit(b.l2(), |entry| entry | COMPRESSED);
        }),
        ("compressed", extended, |b| {
            b.edit(b.l2(), |entry| entry & !COPIED | COMPRESSED);
            b.put64(b.l2() + 8, 0);
        }),
        ("reserved bits", extended, |b| b.edit(b.l2(), |entry| entry | 0x1fe)),
        ("COPIED missing", extended, |b| b.edit(b.l2() + 16, |entry| entry & !COPIED)),
    ];
    let io = &["write 0 64k", "write 64k 2k", "write -z 128k 64k", "write 1M 64k"];
    all_agree(&qemu_img, |qemu_img, options| make(qemu_img, options, io), cases);
}

#[test]
fn damage_with_a_data_file_is_to_us_what_it_is_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    let data_file = "data_file=image.data";
    let cases: &[Case] = &[
        ("sound", data_file, |_| {}),
        ("compressed", data_file, |b| b.put64(b.l2(), COMPRESSED | 0x5_0000)),
        ("compressed with COPIED", data_file, |b| b.put64(b.l2(), COMPRESSED | COPIED | 0x5_0000)),
        ("COPIED missing", data_file, |b| b.put64(b.l2(), 0x5_0000)),
        ("far away", data_file, |b| b.put64(b.l2(), COPIED | 1 << 50)),
        ("at the beginning", data_file, |b| b.put64(b.l2() + 8, COPIED)),
        ("zeros at the beginning", data_file, |b| b.put64(b.l2(), COPIED | 1)),
        ("not aligned", data_file, |b| b.put64(b.l2(), COPIED | 0x5_0200)),
        ("snapshots", data_file, |b| {
            b.put32(60, 1);
            b.put64(64, b.l2());
        }),
    ];
    all_agree(&qemu_img, |qemu_img, options| make(qemu_img, options, DATA), cases);
}
