//! Which features are crossed with which.

use super::features::{Backing, Compat, DataFile, Encryption, Features, Preallocation};
use super::number::Numbers;
use super::{MatrixImage, recipe};

/// Cluster sizes: 512 bytes to 2 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

/// What a group of images has for sure. Each is crossed with every cluster size, and with a bit of everything else.
const LEADING: [&str; 17] = [
    "version 2",
    "version 2, snapshots",
    "nothing",
    "extended",
    "extended, zstd",
    "zlib",
    "zstd",
    "data file",
    "raw data file",
    "on raw",
    "on qcow2",
    "on a chain",
    "metadata",
    "falloc or full",
    "snapshots",
    "bitmaps",
    "encryption",
];

/// All images of the matrix, the same in every run.
pub(super) fn images() -> Vec<MatrixImage> {
    let mut images = Vec::new();
    for (group, leading) in LEADING.iter().enumerate() {
        for bits in CLUSTER_BITS {
            let number = group as u64 * 13 + u64::from(bits - 9);
            let mut numbers = Numbers::new(number);
            let mut features = any(bits, &mut numbers);
            lead(&mut features, leading, &mut numbers);
            make_legal(&mut features);
            images.push(recipe::image(features, number));
        }
    }
    images
}

/// A bit of everything.
fn any(cluster_bits: u32, numbers: &mut Numbers) -> Features {
    let cluster = 1_u64 << cluster_bits;
    // Enough for several L2 tables where clusters are small, and for several clusters where they are large.
    let size = match cluster_bits {
        9..=10 => 1 << 20,
        11..=14 => 4 << 20,
        15..=17 => 6 << 20,
        _ => 6 * cluster,
    };
    let odd = numbers.one_of(&[0, 0, 512, 3 * 512, (cluster / 2).max(512)]);
    let size = size + odd;
    let backing_size =
        numbers.one_of(&[size, size / 2, size / 3 / 512 * 512, size + cluster, size * 3 / 2 / 512 * 512]);
    Features {
        compat: Compat::V3,
        cluster_bits,
        refcount_bits: numbers.one_of(&[1, 2, 4, 8, 16, 16, 16, 32, 64]),
        extended_l2: numbers.once_in(5),
        lazy_refcounts: numbers.once_in(4),
        zstd: numbers.once_in(3),
        compressed: numbers.once_in(4),
        data_file: DataFile::None,
        preallocation: if numbers.once_in(8) { Preallocation::Metadata } else { Preallocation::Off },
        encryption: Encryption::None,
        backing: numbers.one_of(&[
            Backing::None,
            Backing::None,
            Backing::None,
            Backing::Raw,
            Backing::Qcow2,
            Backing::Chain,
        ]),
        backing_size,
        snapshots: if numbers.once_in(3) { 1 } else { 0 },
        bitmaps: if numbers.once_in(4) { 1 } else { 0 },
        size,
        resized: if numbers.once_in(5) { Some(numbers.one_of(&[size * 2, size + 512])) } else { None },
    }
}

fn lead(features: &mut Features, leading: &str, numbers: &mut Numbers) {
    match leading {
        "version 2" => features.compat = Compat::V2,
        "version 2, snapshots" => {
            features.compat = Compat::V2;
            features.snapshots = 2;
        }
        "nothing" => {
            features.backing = Backing::None;
            features.preallocation = Preallocation::Off;
            features.compressed = false;
        }
        "extended" => {
            features.extended_l2 = true;
            features.compressed = false;
        }
        "extended, zstd" => {
            features.extended_l2 = true;
            features.zstd = true;
            features.compressed = true;
        }
        "zlib" => {
            features.zstd = false;
            features.compressed = true;
        }
        "zstd" => {
            features.zstd = true;
            features.compressed = true;
        }
        "data file" => features.data_file = DataFile::Cooked,
        "raw data file" => features.data_file = DataFile::Raw,
        "on raw" => features.backing = Backing::Raw,
        "on qcow2" => features.backing = Backing::Qcow2,
        "on a chain" => features.backing = Backing::Chain,
        "metadata" => {
            features.preallocation = Preallocation::Metadata;
            features.backing = Backing::None;
        }
        "falloc or full" => {
            features.preallocation = numbers.one_of(&[Preallocation::Falloc, Preallocation::Full]);
            features.backing = Backing::None;
        }
        "snapshots" => features.snapshots = 3,
        "bitmaps" => features.bitmaps = 3,
        // QEMU takes two seconds for each new LUKS header: few are enough.
        "encryption" => {
            features.encryption = match features.cluster_bits {
                12 | 16 => Encryption::Luks,
                9 | 20 => Encryption::LuksEssiv,
                10 | 18 => Encryption::Aes,
                _ => Encryption::None,
            };
        }
        _ => unreachable!("every group is known"),
    }
}

/// Takes back what QEMU doesn't allow together.
fn make_legal(features: &mut Features) {
    if features.compat == Compat::V2 {
        features.refcount_bits = 16;
        features.extended_l2 = false;
        features.lazy_refcounts = false;
        features.zstd = false;
        features.bitmaps = 0;
        if features.snapshots > 0 {
            features.resized = None;
        }
    }
    // 32 subclusters of at least 512 bytes.
    features.extended_l2 &= features.cluster_bits >= 14;
    if features.data_file != DataFile::None {
        features.compressed = false;
        features.snapshots = 0;
    }
    if features.data_file == DataFile::Raw {
        features.backing = Backing::None;
    }
    if features.encryption != Encryption::None {
        features.compressed = false;
    }
    if features.backing != Backing::None || features.compressed {
        features.preallocation = Preallocation::Off;
    }
    if features.snapshots > 0 {
        // A cluster may be used by the active disk and by every snapshot; one of compressed data, by each of them many
        // times.
        features.refcount_bits = features.refcount_bits.max(if features.compressed { 16 } else { 4 });
    }
}
