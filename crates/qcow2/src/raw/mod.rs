//! On-disk structures and constants, parsed and nothing else: only the shape is checked here, no value.
//!
//! All numbers of the format are big-endian (specification: docs/interop/qcow2 in QEMU's tree, section
//! "General"; LUKS: "LUKS On-Disk Format Specification", version 1.2.2, section 2.1).
//!
//! A parser of this layer takes bytes and gives the structure and the bytes that follow it, in the way of
//! [`nom`]. The [`tables`](crate::tables) judge what is found.

mod bitmap;
mod extension;
mod feature;
mod header;
mod luks;
mod snapshot;
mod table;

pub use bitmap::{BITMAP_ENTRY_LEN, RawBitmapEntry, RawBitmapTableEntry, RawBitmapsExtension};
pub use extension::{RawCryptoExtension, RawExtensionHeader, magic};
pub use feature::{Autoclear, Compatible, FEATURE_NAME_ENTRY_LEN, FeatureKind, Incompatible, RawFeatureName};
pub use header::{MAGIC, RawHeader, RawHeaderV3, V2_HEADER_LEN, V3_HEADER_LEN, V3_MIN_HEADER_LEN};
pub use luks::{LUKS_MAGIC, LUKS_SECTOR, LUKS_SLOT_ACTIVE, LUKS1_HEADER_LEN, RawLuksHeader, RawLuksSlot};
pub use snapshot::{RawSnapshotExtra, RawSnapshotHeader, SNAPSHOT_HEADER_LEN};
pub use table::{RawCompressed, RawL1Entry, RawL2Entry, RawSubclusters};

use nom::error::ErrorKind;

/// The error of this layer: what nom tells.
pub type ParseError<'a> = nom::Err<nom::error::Error<&'a [u8]>>;

/// A parser's result: the bytes after the structure, and the structure.
pub type Parsed<'a, T> = Result<(&'a [u8], T), ParseError<'a>>;

/// The first `N` bytes as an array.
fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    let (rest, taken) = nom::bytes::complete::take(N)(input)?;
    match taken.try_into() {
        Ok(array) => Ok((rest, array)),
        Err(_) => Err(nom::Err::Error(nom::error::Error::new(input, ErrorKind::LengthValue))),
    }
}

/// The bytes before the first NUL, or all of them: how QEMU takes a name into a C string.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}
