//! Damage to compressed clusters: descriptors whose size is wrong, streams that are cut or lie in the wrong place.

use stillpoint_testkit::image::oracle::QemuImg;

use crate::corruptions::{Case, all_agree};
use crate::damage::{Bytes, COMPRESSED, COPIED, make};
use crate::oracle::find;

const WRITES: &[&str] = &["write -c -P 1 0 64k", "write -c -P 2 64k 64k", "write -c -P 3 128k 64k"];

/// Changes the number of sectors that the first cluster's descriptor tells. It is above the offset's 54 bits.
fn sectors(b: &mut Bytes, change: impl FnOnce(u64) -> u64) {
    b.edit(b.l2(), |entry| {
        let count = (entry & !COMPRESSED) >> 54;
        COMPRESSED | change(count) << 54 | entry & ((1 << 54) - 1)
    });
}

/// Where the first cluster's stream is.
fn stream(b: &Bytes) -> u64 {
    b.get64(b.l2()) & ((1 << 54) - 1)
}

type Damage = fn(&mut Bytes);

const CASES: [(&str, Damage); 15] = [
    ("sound", |_| {}),
    ("no more sectors", |b| sectors(b, |_| 0)),
    ("a sector more", |b| sectors(b, |count| count + 1)),
    ("as many sectors as can be told", |b| sectors(b, |_| 255)),
    ("so many that it ends past the file", |b| sectors(b, |_| 128)),
    ("a stream that begins a byte later", |b| b.edit(b.l2(), |entry| entry + 1)),
    ("a stream in the header", |b| b.put64(b.l2(), COMPRESSED)),
    ("a stream far away", |b| b.put64(b.l2(), COMPRESSED | 1 << 45)),
    ("a stream as far as it gets", |b| b.put64(b.l2(), COMPRESSED | ((1 << 54) - 1))),
    ("COPIED", |b| b.edit(b.l2(), |entry| entry | COPIED)),
    ("two clusters of one stream", |b| b.put64(b.l2() + 8, b.get64(b.l2()))),
    ("a stream of zeros", |b| b.put(stream(b), &[0; 24])),
    ("a stream of ones", |b| b.put(stream(b), &[0xff; 24])),
    ("a refcount of 0", |b| {
        let cluster = stream(b) >> 16;
        b.put16(b.block() + cluster * 2, 0);
    }),
    ("a file that ends in a stream", |b| {
        let end = stream(b) + 10;
        b.resize(end);
    }),
];

fn make_compressed(qemu_img: &QemuImg, options: &str) -> Bytes {
    make(qemu_img, options, WRITES)
}

#[test]
fn damaged_compressed_clusters_are_to_us_what_they_are_to_qemu_img() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = find(directory.path()) else { return };
    for options in ["compression_type=zlib", "compression_type=zstd"] {
        let cases: Vec<Case> = CASES.iter().map(|&(name, damage)| (name, options, damage)).collect();
        all_agree(&qemu_img, make_compressed, &cases);
    }
}
