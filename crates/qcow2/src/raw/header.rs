//! The header (specification, section "Header").

use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{be_u8, be_u32, be_u64};

use super::Parsed;

/// The first four bytes: `QFI\xfb`.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Length of a version 2 header, in bytes.
pub const V2_HEADER_LEN: u32 = 72;
/// The shortest header of version 3, in bytes.
pub const V3_MIN_HEADER_LEN: u32 = 104;
/// The header of version 3 with all fields that are known, in bytes.
pub const V3_HEADER_LEN: u32 = 112;

/// The header as stored: the 72 bytes of both versions, and what version 3 adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawHeader {
    /// Bytes 4 to 7: 2 or 3.
    pub version: u32,
    /// Bytes 8 to 15: where the backing file's name is, in bytes; 0 when there is none.
    pub backing_file_offset: u64,
    /// Bytes 16 to 19: length of that name in bytes, without a NUL.
    pub backing_file_size: u32,
    /// Bytes 20 to 23: a cluster has `1 << cluster_bits` bytes.
    pub cluster_bits: u32,
    /// Bytes 24 to 31: virtual size in bytes.
    pub size: u64,
    /// Bytes 32 to 35: 0 not encrypted, 1 AES, 2 LUKS.
    pub crypt_method: u32,
    /// Bytes 36 to 39: entries of the active L1 table.
    pub l1_size: u32,
    /// Bytes 40 to 47: where that table begins, in bytes.
    pub l1_table_offset: u64,
    /// Bytes 48 to 55: where the refcount table begins, in bytes.
    pub refcount_table_offset: u64,
    /// Bytes 56 to 59: its length in clusters.
    pub refcount_table_clusters: u32,
    /// Bytes 60 to 63: how many snapshots there are.
    pub nb_snapshots: u32,
    /// Bytes 64 to 71: where the snapshot table begins, in bytes.
    pub snapshots_offset: u64,
    /// Bytes 72 on, of version 3.
    pub v3: Option<RawHeaderV3>,
}

/// What version 3 adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawHeaderV3 {
    /// Bytes 72 to 79.
    pub incompatible_features: u64,
    /// Bytes 80 to 87.
    pub compatible_features: u64,
    /// Bytes 88 to 95.
    pub autoclear_features: u64,
    /// Bytes 96 to 99: a refcount has `1 << refcount_order` bits.
    pub refcount_order: u32,
    /// Bytes 100 to 103: length of the header in bytes.
    pub header_length: u32,
    /// Byte 104, where the header is longer than that: 0 zlib, 1 zstd.
    pub compression_type: u8,
}

impl RawHeader {
    /// Whether `bytes` begin as a qcow image does, of whatever version.
    #[must_use]
    pub fn has_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Parses magic and version only, so that an unknown version is told as such however short it is.
    ///
    /// # Errors
    /// When the magic is not there or the bytes end first.
    pub fn parse_version(input: &[u8]) -> Parsed<'_, u32> {
        let (rest, _) = tag(&MAGIC[..]).parse(input)?;
        be_u32(rest)
    }

    /// Parses the header at the beginning of `input`. The bytes after it are those from byte 72 (version 2)
    /// or 104 (version 3) on; where a longer header ends is for its `header_length` to say.
    ///
    /// # Errors
    /// When the magic is not there or the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, version) = Self::parse_version(input)?;
        let (rest, (backing_file_offset, backing_file_size, cluster_bits)) =
            (be_u64, be_u32, be_u32).parse(rest)?;
        let (rest, (size, crypt_method, l1_size)) = (be_u64, be_u32, be_u32).parse(rest)?;
        let (rest, (l1_table_offset, refcount_table_offset, refcount_table_clusters)) =
            (be_u64, be_u64, be_u32).parse(rest)?;
        let (rest, (nb_snapshots, snapshots_offset)) = (be_u32, be_u64).parse(rest)?;
        let (rest, v3) = if version < 3 {
            (rest, None)
        } else {
            let (rest, v3) = RawHeaderV3::parse(rest)?;
            (rest, Some(v3))
        };
        let header = Self {
            version,
            backing_file_offset,
            backing_file_size,
            cluster_bits,
            size,
            crypt_method,
            l1_size,
            l1_table_offset,
            refcount_table_offset,
            refcount_table_clusters,
            nb_snapshots,
            snapshots_offset,
            v3,
        };
        Ok((rest, header))
    }

    /// Where the header ends and the extensions begin, in bytes from the beginning.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.v3.map_or(V2_HEADER_LEN, |v3| v3.header_length)
    }
}

impl RawHeaderV3 {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (incompatible_features, compatible_features, autoclear_features)) =
            (be_u64, be_u64, be_u64).parse(input)?;
        let (rest, (refcount_order, header_length)) = (be_u32, be_u32).parse(rest)?;
        let compression_type = if header_length > V3_MIN_HEADER_LEN { be_u8(rest)?.1 } else { 0 };
        let v3 = Self {
            incompatible_features,
            compatible_features,
            autoclear_features,
            refcount_order,
            header_length,
            compression_type,
        };
        Ok((rest, v3))
    }
}
