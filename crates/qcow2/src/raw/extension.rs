//! Header extensions (specification, section "Header extensions").

use nom::Parser;
use nom::combinator::all_consuming;
use nom::number::complete::{be_u32, be_u64};

use super::Parsed;

/// What a header extension is, by the first four of its bytes.
pub mod magic {
    /// End of the extensions.
    pub const END: u32 = 0;
    /// Format of the backing file, as text.
    pub const BACKING_FORMAT: u32 = 0xe279_2aca;
    /// Names of feature bits.
    pub const FEATURE_NAMES: u32 = 0x6803_f857;
    /// Where the bitmap directory is.
    pub const BITMAPS: u32 = 0x2385_2875;
    /// Where the LUKS header is.
    pub const CRYPTO_HEADER: u32 = 0x0537_be77;
    /// Name of the external data file, as text.
    pub const DATA_FILE: u32 = 0x4441_5441;
}

/// The eight bytes before an extension's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawExtensionHeader {
    /// Which extension it is: one of [`magic`], or unknown.
    pub magic: u32,
    /// Length of the data in bytes, without the padding to a multiple of eight.
    pub len: u32,
}

impl RawExtensionHeader {
    /// Length of this structure in bytes.
    pub const LEN: u64 = 8;

    /// Parses the eight bytes.
    ///
    /// # Errors
    /// When the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (magic, len)) = (be_u32, be_u32).parse(input)?;
        Ok((rest, Self { magic, len }))
    }

    /// Length of the data with its padding, in bytes.
    #[must_use]
    pub fn padded_len(&self) -> u64 {
        u64::from(self.len).next_multiple_of(8)
    }
}

/// Data of the extension [`magic::CRYPTO_HEADER`] (section "Full disk encryption header pointer").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawCryptoExtension {
    /// Where the encryption header begins, in bytes; cluster-aligned.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl RawCryptoExtension {
    /// Parses the whole data: exactly 16 bytes.
    ///
    /// # Errors
    /// When it is of another length.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (offset, length)) = all_consuming((be_u64, be_u64)).parse(input)?;
        Ok((rest, Self { offset, length }))
    }
}
