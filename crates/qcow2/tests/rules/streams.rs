//! Streams of compressed clusters that no writer makes, against qemu-img: what it reads we read, the same; what it
//! refuses we refuse.

use std::sync::Arc;

use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, Source};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};

const CLUSTER: usize = 4096;

/// Whether the stream is the cluster [`expected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Read,
    /// Read by us: QEMU's zlib goes on to what follows the cluster's last byte.
    OnlyOurs,
    Refused,
}
use Is::{OnlyOurs, Read, Refused};

fn expected() -> Vec<u8> {
    vec![0x42; CLUSTER]
}

/// A block of a zstd frame: `len` times 0x42.
fn same(len: usize, last: bool) -> Vec<u8> {
    let header = u32::from(last) | 1 << 1 | u32::try_from(len).expect("it is short") << 3;
    [&header.to_le_bytes()[..3], &[0x42]].concat()
}

/// A zstd frame with that descriptor, what belongs to it, and blocks.
fn frame(descriptor: u8, fields: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    [&[0x28, 0xB5, 0x2F, 0xFD, descriptor], fields, &blocks.concat()].concat()
}

/// A frame that tells its size in four bytes.
fn sized(len: usize) -> Vec<u8> {
    let size = u32::try_from(len).expect("it is short").to_le_bytes();
    frame(0xA0, &size, &[same(len, true)])
}

/// A frame that tells a window of `1 << (10 + exponent)` bytes and no size.
fn windowed(exponent: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
    frame(0, &[exponent << 3], blocks)
}

const SKIPPABLE: [u8; 11] = [0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 9, 9, 9];

/// A frame of libzstd's with a Huffman tree and a checksum, which are its last four bytes.
const OF_LIBZSTD: [u8; 23] = [
    0x28, 0xb5, 0x2f, 0xfd, 0x64, 0x00, 0x0f, 0x4d, 0x00, 0x00, 0x10, 0x42, 0x42, 0x01, 0x00, 0xfb, 0xf7,
    0x01, 0x16, 0x70, 0xe8, 0x58, 0x40,
];

fn zstd_streams() -> Vec<(&'static str, Vec<u8>, Is)> {
    let half = CLUSTER / 2;
    let with = |first: &[u8], then: &[u8]| [first, then].concat();
    let mut wrong_sum = OF_LIBZSTD.to_vec();
    wrong_sum[22] ^= 1;
    vec![
        ("one frame", sized(CLUSTER), Read),
        ("one of libzstd's", OF_LIBZSTD.to_vec(), Read),
        ("a wrong checksum", wrong_sum, Refused),
        ("a frame and noise", with(&sized(CLUSTER), &[0xee; 40]), Read),
        ("two frames", with(&sized(half), &sized(half)), Read),
        ("two frames that are too long together", with(&sized(half), &sized(half + 1)), Refused),
        ("a frame and noise instead of the second", with(&sized(half), &[0xee; 40]), Refused),
        ("a frame that can be skipped first", with(&SKIPPABLE, &sized(CLUSTER)), Read),
        ("an empty frame first", with(&sized(0), &sized(CLUSTER)), Read),
        ("one byte short", sized(CLUSTER - 1), Refused),
        ("one byte long", sized(CLUSTER + 1), Refused),
        ("one byte short, no size told", windowed(2, &[same(CLUSTER - 1, true)]), Refused),
        ("one byte long, no size told", windowed(3, &[same(CLUSTER + 1, true)]), Refused),
        ("a block per half", windowed(2, &[same(half, false), same(half, true)]), Read),
        ("an empty block last", windowed(2, &[same(CLUSTER, false), same(0, true)]), Read),
        ("no block is the last", windowed(2, &[same(CLUSTER, false)]), Refused),
        ("another size than was told", frame(0xA0, &[0, 8, 0, 0], &[same(CLUSTER, true)]), Refused),
        ("a window of 8 MiB", windowed(13, &[same(CLUSTER, true)]), Read),
        ("a window of 128 MiB", windowed(17, &[same(CLUSTER, true)]), Read),
        ("a window of 256 MiB", windowed(18, &[same(CLUSTER, true)]), Refused),
        ("a window of 2 TiB", windowed(31, &[same(CLUSTER, true)]), Refused),
        ("a dictionary", frame(0xA1, &[7, 0, 0x10, 0, 0], &[same(CLUSTER, true)]), Refused),
        (
            "the reserved bit of the descriptor",
            frame(0xA8, &[0, 0x10, 0, 0], &[same(CLUSTER, true)]),
            Refused,
        ),
        ("a block of the reserved type", windowed(2, &[vec![7, 0, 0]]), Refused),
        ("no magic number", vec![0x42; 600], Refused),
    ]
}

/// A block that is stored as it is.
fn stored(len: u16, last: bool) -> Vec<u8> {
    let mut block = vec![u8::from(last)];
    block.extend(len.to_le_bytes());
    block.extend((!len).to_le_bytes());
    block.extend(vec![0x42; usize::from(len)]);
    block
}

fn deflate_streams() -> Vec<(&'static str, Vec<u8>, Is)> {
    let mut wrong_len = stored(4096, true);
    wrong_len[3] ^= 1;
    vec![
        ("one block", stored(4096, true), Read),
        ("a block and noise", [stored(4096, true), vec![0xee; 40]].concat(), Read),
        ("two blocks", [stored(2048, false), stored(2048, true)].concat(), Read),
        ("no block is the last", stored(4096, false), OnlyOurs),
        ("one byte short", stored(4095, true), Refused),
        ("one byte long", stored(4097, true), Read),
        ("a block too many", [stored(4096, false), stored(1000, true)].concat(), Read),
        ("a block too many, of the reserved type", [stored(4096, false), vec![7; 600]].concat(), OnlyOurs),
        ("a length that isn't its complement's", wrong_len, Refused),
        ("a block of the reserved type", vec![7; 600], Refused),
        // Fixed codes: the first symbol is a match, of what isn't there.
        ("a match before the beginning", vec![0x03, 0x02, 0x00, 0x00], Refused),
    ]
}

fn ours(image: &[u8]) -> Result<Vec<u8>, String> {
    let source = Source::new(Arc::new(image.to_vec()), "image", None);
    let chain = Chain::open(source, None, &DenyAll, &ChainOptions::default()).expect("it is sound");
    let disk = Disk::open(&chain, &DenyAll).expect("it keeps the rules");
    let mut bytes = vec![0xee; CLUSTER];
    disk.read_exact_at(0, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn qemus(image: &[u8], qemu_img: &QemuImg) -> Result<Vec<u8>, String> {
    std::fs::write(qemu_img.directory().join("image"), image).expect("it can be written");
    let output = qemu_img.run(["convert", "-f", "qcow2", "-O", "raw", "image", "raw"]);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(std::fs::read(qemu_img.directory().join("raw")).expect("it was made"))
}

fn compare(compression: u8, streams: Vec<(&'static str, Vec<u8>, Is)>) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let qemu_img = QemuImg::find(directory.path());
    let mut wrong = Vec::new();
    for (name, stream, is) in streams {
        let image = ImageBuilder::v3().cluster_bits(12).size(CLUSTER as u64).compression(compression);
        let image = image.cluster(0, ClusterSpec::Compressed(stream)).build();
        let theirs = qemu_img.as_ref().map(|qemu_img| qemus(&image, qemu_img));
        let theirs = theirs.map(|theirs| ("qemu-img", theirs, is == Read));
        for (who, found, is_read) in theirs.into_iter().chain([("we", ours(&image), is != Refused)]) {
            match (found, is_read) {
                (Err(_), false) => {}
                (Ok(bytes), true) if bytes == expected() => {}
                (Ok(_), _) => wrong.push(format!("{name}: {who} read something")),
                (Err(error), true) => wrong.push(format!("{name}: {who} refused: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn zstd_streams_are_read_and_refused_as_qemu_does() {
    compare(1, zstd_streams());
}

#[test]
fn deflate_streams_are_read_and_refused_as_qemu_does() {
    compare(0, deflate_streams());
}
