//! What can be wrong with a header.

use std::fmt;

use super::Compression;
use crate::Name;
use crate::tables::{ClusterSize, HostOffset};

/// A table that the header points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// Of the refcount blocks.
    Refcount,
    /// Of the snapshots.
    Snapshots,
    /// Of the active layer's L2 tables.
    ActiveL1,
}

impl TableKind {
    /// As QEMU calls it at the beginning of a sentence.
    const fn title(self) -> &'static str {
        match self {
            Self::Refcount => "Reference count table",
            Self::Snapshots => "Snapshot table",
            Self::ActiveL1 => "Active L1 table",
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refcount => "refcount table",
            Self::Snapshots => "snapshot table",
            Self::ActiveL1 => "active L1 table",
        })
    }
}

/// An incompatible feature bit that is set and not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFeature {
    /// Number of the bit, 0 the lowest.
    pub bit: u8,
    /// Its name in the image's own feature name table.
    pub name: Option<Name>,
}

/// A header that isn't believed. Nothing else of such an image is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first four bytes are others.
    #[error("the file is not a qcow2 image: it does not begin with \"QFI\\xfb\"; if it is raw, say so")]
    NotQcow2,
    /// Neither 2 nor 3.
    #[error("qcow2 version {0} is not known: only 2 and 3 are")]
    Version(u32),
    /// Outside of 9 to 21.
    #[error("clusters of 2^{0} bytes are not allowed: only 2^9 to 2^21 are")]
    ClusterBits(u32),
    /// Below the 104 bytes of version 3.
    #[error("the header tells a length of {length} bytes, but version 3 has at least 104")]
    TooShort {
        /// The length told, in bytes.
        length: u32,
    },
    /// Longer than a cluster.
    #[error("the header tells a length of {length} bytes, more than a cluster of {}", cluster_size.bytes())]
    ExceedsCluster {
        /// The length told, in bytes.
        length: u32,
        /// The size of a cluster.
        cluster_size: ClusterSize,
    },
    /// Outside of the first cluster.
    #[error("the backing file's name is told to be at {offset:#x}, outside of the first cluster of {} bytes",
        cluster_size.bytes())]
    BackingOffset {
        /// The offset told, in bytes.
        offset: u64,
        /// The size of a cluster.
        cluster_size: ClusterSize,
    },
    /// Longer than 1023 bytes or the rest of the first cluster.
    #[error("the backing file's name is told to have {len} bytes, more than the {limit} that there may be")]
    BackingNameTooLong {
        /// The length told, in bytes.
        len: u32,
        /// The most that is allowed there.
        limit: u64,
    },
    /// Features without which the image can't be understood.
    #[error("the image needs features that are not known here: {}; a later version may know them",
        feature_list(.0))]
    UnknownFeatures(Vec<UnknownFeature>),
    /// Neither zlib nor zstd.
    #[error("compression type {0} is not known: only 0 (zlib) and 1 (zstd) are")]
    CompressionType(u8),
    /// Bit 3 must be set if, and only if, the compression is another than zlib.
    #[error("the header names {compression} as compression, but incompatible feature bit 3 is {}",
        if *set { "set" } else { "not set" })]
    CompressionBit {
        /// Whether the bit is set.
        set: bool,
        /// The compression named.
        compression: Compression,
    },
    /// Extended L2 entries with clusters below 16 KiB.
    #[error("extended L2 entries need clusters of at least 16 KiB, but they have {} bytes", cluster_size.bytes())]
    SubclusterSize {
        /// The size of a cluster.
        cluster_size: ClusterSize,
    },
    /// Refcounts wider than 64 bits.
    #[error("refcounts are told to be wider than 64 bits")]
    RefcountWidth,
    /// Neither none, AES nor LUKS.
    #[error("encryption method {0} is not known: only 1 (AES) and 2 (LUKS) are")]
    CryptMethod(u32),
    /// LUKS without the extension that says where its header is.
    #[error("the image is encrypted with LUKS, but has no extension that says where the LUKS header is")]
    CryptoHeaderMissing,
    /// Its length is zero.
    #[error("the image has no refcount table")]
    NoRefcountTable,
    /// Longer than the format's limit.
    #[error("the {table} is told to have {bytes} bytes, more than the {limit} that are allowed")]
    TableTooLarge {
        /// Which table.
        table: TableKind,
        /// The length told, in bytes.
        bytes: u64,
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// Not where a cluster begins, or past what a file can have.
    #[error("the {table} is told to be at {offset}, where no cluster begins or no file can reach")]
    TableOffset {
        /// Which table.
        table: TableKind,
        /// The offset told.
        offset: HostOffset,
    },
    /// More L1 entries would be needed than an int counts.
    #[error("a disk of {size} bytes is larger than this cluster size can hold")]
    ImageTooBig {
        /// The virtual size told, in bytes.
        size: u64,
    },
    /// Too few L1 entries for the virtual size.
    #[error("the active L1 table has {entries} entries, but the virtual size needs {needed}")]
    L1TooSmall {
        /// How many there are.
        entries: u32,
        /// How many it takes.
        needed: u64,
    },
}

fn feature_list(features: &[UnknownFeature]) -> String {
    let one = |feature: &UnknownFeature| match &feature.name {
        Some(name) => format!("{name:?} (bit {})", feature.bit),
        None => format!("bit {}", feature.bit),
    };
    features.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl HeaderError {
    /// What qemu-img 10 says after `Could not open 'NAME': `.
    #[must_use]
    pub fn qemu_text(&self) -> String {
        match self {
            Self::NotQcow2 => "Image is not in qcow2 format".into(),
            Self::Version(version) => format!("Unsupported qcow2 version {version}"),
            Self::ClusterBits(bits) => format!("Unsupported cluster size: 2^{bits}"),
            Self::TooShort { .. } => "qcow2 header too short".into(),
            Self::ExceedsCluster { .. } => "qcow2 header exceeds cluster size".into(),
            Self::BackingOffset { .. } => "Invalid backing file offset".into(),
            Self::BackingNameTooLong { .. } => "Backing file name too long".into(),
            Self::UnknownFeatures(features) => {
                format!("Unsupported qcow2 feature(s): {}", qemu_feature_list(features))
            }
            Self::CompressionType(number) => format!("qcow2: unknown compression type: {number}"),
            Self::CompressionBit { set, .. } => format!(
                "qcow2: Compression type incompatible feature bit must {}be set",
                if *set { "not " } else { "" }
            ),
            Self::SubclusterSize { cluster_size } => {
                format!("Unsupported subcluster size: {}", cluster_size.bytes() / 32)
            }
            Self::RefcountWidth => "Reference count entry width too large; may not exceed 64 bits".into(),
            Self::CryptMethod(number) => format!("Unsupported encryption method {}", number.cast_signed()),
            Self::CryptoHeaderMissing => "Missing CRYPTO header for crypt method 2".into(),
            Self::NoRefcountTable => "Image does not contain a reference count table".into(),
            Self::TableTooLarge { table, .. } => format!("{} too large", table.title()),
            Self::TableOffset { table, .. } => format!("{} offset invalid", table.title()),
            Self::ImageTooBig { .. } => "Image is too big".into(),
            Self::L1TooSmall { .. } => "L1 table is too small".into(),
        }
    }
}

/// Names first, then what has none as one number.
fn qemu_feature_list(features: &[UnknownFeature]) -> String {
    let mut parts: Vec<String> = features.iter().filter_map(|f| f.name.as_ref().map(Name::to_text)).collect();
    let nameless = features.iter().filter(|f| f.name.is_none()).fold(0_u64, |bits, f| bits | 1 << f.bit);
    if nameless != 0 {
        parts.push(format!("Unknown incompatible feature: {nameless:x}"));
    }
    parts.join(", ")
}
