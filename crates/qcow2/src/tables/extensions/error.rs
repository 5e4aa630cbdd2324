//! What can be wrong with header extensions.

use super::{ClusterSize, HostOffset};

/// A header extension that isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// Its data goes past where the extensions end.
    #[error(
        "the header extension {magic:#010x} at {offset} tells {len} bytes, but only {left} are left there"
    )]
    TooLarge {
        /// What the extension says it is.
        magic: u32,
        /// The length told, in bytes.
        len: u32,
        /// Where it begins.
        offset: HostOffset,
        /// How many bytes there are before the extensions end.
        left: u64,
    },
    /// More than our limit.
    #[error("the image has more than {} header extensions", super::MAX_EXTENSIONS)]
    TooMany,
    /// 16 bytes or more.
    #[error("the backing file's format is told to have {len} bytes, more than the 15 that are allowed")]
    BackingFormatTooLong {
        /// The length told, in bytes.
        len: u32,
    },
    /// A pointer to a LUKS header in an image without LUKS.
    #[error("the image points to a LUKS header, but its encryption method is {method}, not 2")]
    CryptoUnexpected {
        /// The encryption method that the header tells.
        method: u32,
    },
    /// Not 16 bytes.
    #[error("the pointer to the LUKS header has {len} bytes, not 16")]
    CryptoLength {
        /// The length told, in bytes.
        len: usize,
    },
    /// Not where a cluster begins.
    #[error("the LUKS header is told to be at {offset:#x}, where no cluster of {} bytes begins", cluster_size.bytes())]
    CryptoOffset {
        /// The offset told, in bytes.
        offset: u64,
        /// The size of a cluster.
        cluster_size: ClusterSize,
    },
    /// Not 24 bytes.
    #[error("the bitmaps extension has {len} bytes, not 24")]
    BitmapsLength {
        /// The length told, in bytes.
        len: usize,
    },
    /// The reserved field is not zero.
    #[error("the reserved field of the bitmaps extension is {0:#x}, not zero")]
    BitmapsReserved(u32),
    /// More than 65535.
    #[error("the image tells {0} bitmaps, more than the 65535 that are allowed")]
    TooManyBitmaps(u32),
    /// An extension for nothing.
    #[error("the bitmaps extension tells of no bitmap")]
    NoBitmaps,
    /// Not where a cluster begins.
    #[error("the bitmap directory is told to be at {0}, where no cluster begins")]
    BitmapDirectoryOffset(HostOffset),
    /// More than 1024 bytes for each of the most bitmaps.
    #[error("the bitmap directory is told to have {0} bytes, more than the 67107840 that are allowed")]
    BitmapDirectoryTooLarge(u64),
}

impl ExtensionError {
    /// What qemu-img 10 says after `Could not open 'NAME': `; `None` for a limit that is ours.
    #[must_use]
    pub fn qemu_text(&self) -> Option<String> {
        Some(match self {
            Self::TooMany => return None,
            Self::TooLarge { .. } => "Header extension too large".into(),
            Self::BackingFormatTooLong { len } => {
                format!("ERROR: ext_backing_format: len={len} too large (>=16)")
            }
            Self::CryptoUnexpected { .. } => {
                "CRYPTO header extension only expected with LUKS encryption method".into()
            }
            Self::CryptoLength { len } => {
                format!("CRYPTO header extension size {len}, but expected size 16")
            }
            Self::CryptoOffset { offset, cluster_size } => format!(
                "Encryption header offset '{offset}' is not a multiple of cluster size '{}'",
                cluster_size.bytes()
            ),
            Self::BitmapsLength { .. } => "bitmaps_ext: Invalid extension length".into(),
            Self::BitmapsReserved(_) => "bitmaps_ext: Reserved field is not zero".into(),
            Self::TooManyBitmaps(count) => format!(
                "bitmaps_ext: Image has {count} bitmaps, exceeding the QEMU supported maximum of 65535"
            ),
            Self::NoBitmaps => "found bitmaps extension with zero bitmaps".into(),
            Self::BitmapDirectoryOffset(_) => "bitmaps_ext: invalid bitmap directory offset".into(),
            Self::BitmapDirectoryTooLarge(bytes) => format!(
                "bitmaps_ext: bitmap directory size ({bytes}) exceeds the maximum supported size (67107840)"
            ),
        })
    }
}
