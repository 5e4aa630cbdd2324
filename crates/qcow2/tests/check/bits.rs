//! Each bit at the edge of a field of L1, L2, refcount and bitmap table entries: what is reserved to QEMU is reserved here.

use stillpoint_testkit::image::oracle::QemuImg;

use crate::damage::{Bytes, DATA, make};
use crate::oracle::{difference, find};
use crate::verbs;

/// Where fields of the entries begin and end: flags at both ends, offsets from 9 to 55, the sizes of compressed clusters.
const EDGES: [u32; 15] = [0, 1, 2, 8, 9, 15, 16, 53, 54, 55, 56, 60, 61, 62, 63];

/// Sets each bit of the entry at `place`, one at a time, and compares.
fn each_bit(qemu_img: &QemuImg, what: &str, mut image: Bytes, place: impl Fn(&Bytes) -> u64) {
    let sound = image.all.clone();
    let at = place(&image);
    for bit in EDGES {
        image.all.clone_from(&sound);
        image.edit(at, |entry| entry ^ 1 << bit);
        image.write();
        assert_eq!(difference(qemu_img, "image"), None, "{what}, bit {bit}");
        assert_eq!(verbs::difference(qemu_img, "image"), None, "{what}, bit {bit}");
    }
}

#[test]
fn each_bit_of_an_l1_or_l2_entry_is_to_us_what_it_is_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    each_bit(&qemu_img, "L1", make(&qemu_img, "", DATA), Bytes::l1);
    each_bit(&qemu_img, "L2", make(&qemu_img, "", DATA), Bytes::l2);
    each_bit(&qemu_img, "empty L2", make(&qemu_img, "", DATA), |image| image.l2() + 8 * 9);
    let extended = make(&qemu_img, "extended_l2=on", DATA);
    each_bit(&qemu_img, "extended L2", extended, Bytes::l2);
}

#[test]
fn each_bit_of_a_refcount_or_bitmap_entry_is_to_us_what_it_is_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    each_bit(&qemu_img, "refcount table", make(&qemu_img, "", DATA), Bytes::reftable);
    make(&qemu_img, "", DATA);
    qemu_img.output(["bitmap", "--add", "image", "b0"]);
    crate::oracle::qemu_io(qemu_img.directory(), "image", &["write -P 9 0 64k"]);
    let image = Bytes::read(&qemu_img.directory().join("image"));
    each_bit(&qemu_img, "bitmap table", image, |image| image.get64(image.get64(image.bitmaps() + 16)));
}
