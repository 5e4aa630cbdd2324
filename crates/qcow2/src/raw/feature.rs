//! Feature bits and the table of their names (specification, sections "Header" and "Feature name table").

use bitflags::bitflags;
use nom::Parser;
use nom::number::complete::be_u8;

use super::{Parsed, array, until_nul};

bitflags! {
    /// Bytes 72 to 79: who doesn't know a bit that is set can't open the image.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Incompatible: u64 {
        /// Refcounts may be wrong: the image was not closed.
        const DIRTY = 1;
        /// Some structure is damaged: the image must not be written.
        const CORRUPT = 1 << 1;
        /// Guest data is in a file of its own.
        const DATA_FILE = 1 << 2;
        /// Compressed clusters are not of zlib: byte 104 says of what.
        const COMPRESSION = 1 << 3;
        /// L2 entries have 128 bits and each cluster 32 subclusters.
        const EXTENDED_L2 = 1 << 4;
    }

    /// Bytes 80 to 87: a bit that isn't known may be ignored.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Compatible: u64 {
        /// Refcounts are brought up to date late, and the image is dirty until then.
        const LAZY_REFCOUNTS = 1;
        const _ = !0;
    }

    /// Bytes 88 to 95: who writes without knowing a bit clears it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Autoclear: u64 {
        /// The bitmaps extension is consistent with the data.
        const BITMAPS = 1;
        /// The external data file read by itself, as raw, is the guest's data.
        const DATA_FILE_RAW = 1 << 1;
        const _ = !0;
    }
}

/// Which of the header's three fields a bit belongs to, as the name table numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureKind {
    /// 0: [`Incompatible`].
    Incompatible,
    /// 1: [`Compatible`].
    Compatible,
    /// 2: [`Autoclear`].
    Autoclear,
    /// Any other number.
    Unknown(u8),
}

impl From<u8> for FeatureKind {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Incompatible,
            1 => Self::Compatible,
            2 => Self::Autoclear,
            other => Self::Unknown(other),
        }
    }
}

/// Length of one entry of the feature name table, in bytes.
pub const FEATURE_NAME_ENTRY_LEN: usize = 48;

/// One entry of the extension [`magic::FEATURE_NAMES`](super::magic::FEATURE_NAMES).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFeatureName {
    /// The field that the bit is in.
    pub kind: FeatureKind,
    /// Number of the bit, 0 the lowest.
    pub bit: u8,
    /// The name, padded with NULs.
    pub name: [u8; 46],
}

impl RawFeatureName {
    /// Parses one entry.
    ///
    /// # Errors
    /// When the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (kind, bit)) = (be_u8, be_u8).parse(input)?;
        let (rest, name) = array(rest)?;
        Ok((rest, Self { kind: kind.into(), bit, name }))
    }

    /// The name without its padding.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        until_nul(&self.name)
    }
}
