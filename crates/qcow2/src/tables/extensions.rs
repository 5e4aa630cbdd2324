//! Header extensions, validated (specification, section "Header extensions").

use std::ops::Range;

use stillpoint_storage::Storage;

use super::limits::{MAX_BACKING_FORMAT_LEN, MAX_BITMAP_DIRECTORY_BYTES, MAX_BITMAPS, MAX_EXTENSIONS};
use super::luks::read_luks;
use super::read::HeaderArea;
use super::{ClusterSize, HostOffset, LuksHeader};
use crate::raw::{
    FEATURE_NAME_ENTRY_LEN, FeatureKind, RawBitmapsExtension, RawCryptoExtension, RawExtensionHeader,
    RawFeatureName, RawHeader, magic,
};
use crate::{Error, Name};

mod error;

pub use error::ExtensionError;

/// The name of a feature bit, from the image's own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureName {
    /// The header's field that the bit is in.
    pub kind: FeatureKind,
    /// Number of the bit, 0 the lowest; the table may name bits that no field has.
    pub bit: u8,
    /// The name, without its padding.
    pub name: Name,
}

impl FeatureName {
    pub(crate) fn is_incompatible(&self, bit: u8) -> bool {
        self.kind == FeatureKind::Incompatible && self.bit == bit
    }
}

/// An extension that is not known here, kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownExtension {
    /// What it says it is.
    pub magic: u32,
    /// Its data, without the padding.
    pub data: Vec<u8>,
}

/// All header extensions. Of one that is there twice the last counts, as for QEMU.
///
/// Memory: at most the size of a cluster and [`MAX_EXTENSIONS`] entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    backing_format: Option<Name>,
    feature_names: Option<Vec<FeatureName>>,
    bitmaps: Option<RawBitmapsExtension>,
    stale_bitmaps: bool,
    crypto_header: Option<RawCryptoExtension>,
    luks: Option<LuksHeader>,
    data_file: Option<Name>,
    unknown: Vec<UnknownExtension>,
}

impl Extensions {
    /// Reads what lies in `place`, which ends where the backing file's name or the cluster does. `damaged` decides of
    /// each error whether to go on without that extension, or the ones after it where their places aren't known.
    pub(crate) fn read<S: Storage + ?Sized>(
        area: &HeaderArea<'_, S>,
        place: Range<u64>,
        header: &RawHeader,
        cluster_size: ClusterSize,
        damaged: &mut dyn FnMut(Error) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut count = 0;
        let walked = walk(area, place, |extension, data| {
            count += 1;
            if count > MAX_EXTENSIONS {
                return Err(ExtensionError::TooMany.into());
            }
            let data = data()?;
            if let Err(error) = found.take(extension, &data, header, cluster_size) {
                return damaged(error.into());
            }
            if extension.magic == magic::CRYPTO_HEADER
                && let Some(place) = &found.crypto_header
            {
                // QEMU reads it before it looks at further extensions.
                match read_luks(area.storage(), place) {
                    Ok(luks) => found.luks = Some(luks),
                    Err(error) => return damaged(error),
                }
            }
            Ok(())
        });
        walked.or_else(damaged)?;
        Ok(found)
    }

    /// The feature name table alone, as far as it can be had: for the message about a header that is refused.
    pub(crate) fn feature_names_only<S: Storage + ?Sized>(
        area: &HeaderArea<'_, S>,
        place: Range<u64>,
    ) -> Vec<FeatureName> {
        let mut names = Vec::new();
        let mut count = 0;
        // What comes after a fault is not named; the refusal itself stands without it.
        let _ = walk(area, place, |extension, data| {
            count += 1;
            if count > MAX_EXTENSIONS {
                return Err(ExtensionError::TooMany.into());
            }
            if extension.magic == magic::FEATURE_NAMES {
                names = feature_names(&data()?);
            }
            Ok(())
        });
        names
    }

    fn take(
        &mut self,
        extension: RawExtensionHeader,
        data: &[u8],
        header: &RawHeader,
        cluster_size: ClusterSize,
    ) -> Result<(), ExtensionError> {
        match extension.magic {
            magic::BACKING_FORMAT if extension.len > MAX_BACKING_FORMAT_LEN => {
                return Err(ExtensionError::BackingFormatTooLong { len: extension.len });
            }
            magic::BACKING_FORMAT => self.backing_format = Some(Name::from_c(data)),
            magic::FEATURE_NAMES => self.feature_names = Some(feature_names(data)),
            magic::BITMAPS => {
                let bitmaps = parse_bitmaps(data)?;
                // Someone who doesn't know bitmaps wrote to the image: the rest is not even looked at.
                self.stale_bitmaps = header.v3.is_none_or(|v3| v3.autoclear_features & 1 == 0);
                if !self.stale_bitmaps {
                    check_bitmaps(&bitmaps, cluster_size)?;
                    self.bitmaps = Some(bitmaps);
                }
            }
            magic::CRYPTO_HEADER => self.crypto_header = Some(crypto(data, header, cluster_size)?),
            magic::DATA_FILE => self.data_file = Some(Name::from_c(data)),
            magic => self.unknown.push(UnknownExtension { magic, data: data.to_vec() }),
        }
        Ok(())
    }

    /// Format of the backing file, such as `qcow2` or `raw`.
    #[must_use]
    pub const fn backing_format(&self) -> Option<&Name> {
        self.backing_format.as_ref()
    }

    /// Names of feature bits, if the image has a table of them.
    #[must_use]
    pub fn feature_names(&self) -> Option<&[FeatureName]> {
        self.feature_names.as_deref()
    }

    /// Where the bitmap directory is, if it can be believed: the autoclear bit
    /// [`BITMAPS`](crate::raw::Autoclear::BITMAPS) is set.
    #[must_use]
    pub const fn bitmaps(&self) -> Option<&RawBitmapsExtension> {
        self.bitmaps.as_ref()
    }

    /// Whether there is a bitmap directory that can't be believed, since who wrote the image last did not know
    /// of bitmaps. QEMU warns of it and goes on as if there were none.
    #[must_use]
    pub const fn stale_bitmaps(&self) -> bool {
        self.stale_bitmaps
    }

    /// Where the LUKS header is.
    #[must_use]
    pub const fn crypto_header(&self) -> Option<&RawCryptoExtension> {
        self.crypto_header.as_ref()
    }

    /// The LUKS header that is there.
    #[must_use]
    pub const fn luks(&self) -> Option<&LuksHeader> {
        self.luks.as_ref()
    }

    /// Name of the external data file, as stored. It may be there without the feature bit, and be empty.
    #[must_use]
    pub const fn data_file(&self) -> Option<&Name> {
        self.data_file.as_ref()
    }

    /// Extensions that are not known here, in the order of the image.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownExtension] {
        &self.unknown
    }
}

/// Goes over the extensions. `visit` gets a closure that reads the data.
fn walk<S: Storage + ?Sized>(
    area: &HeaderArea<'_, S>,
    place: Range<u64>,
    mut visit: impl FnMut(RawExtensionHeader, &dyn Fn() -> Result<Vec<u8>, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Both ends are within a cluster, 2 MiB, and a length has 32 bits: no sum below can overflow.
    let mut at = place.start;
    while at < place.end {
        let bytes = area.get(at, RawExtensionHeader::LEN, "a header extension")?;
        let data_at = at + RawExtensionHeader::LEN;
        let too_large = |magic, len| ExtensionError::TooLarge {
            magic,
            len,
            offset: HostOffset(at),
            left: place.end.saturating_sub(data_at),
        };
        let (_, extension) = RawExtensionHeader::parse(&bytes).map_err(|_| too_large(0, 0))?;
        if data_at > place.end || u64::from(extension.len) > place.end - data_at {
            return Err(too_large(extension.magic, extension.len).into());
        }
        if extension.magic == magic::END {
            break;
        }
        let read = || Ok(area.get(data_at, u64::from(extension.len), "a header extension")?.into_owned());
        visit(extension, &read)?;
        at = data_at + extension.padded_len();
    }
    Ok(())
}

/// The entries of a feature name table. What is left over at the end is no entry.
fn feature_names(data: &[u8]) -> Vec<FeatureName> {
    data.chunks_exact(FEATURE_NAME_ENTRY_LEN)
        .filter_map(|entry| RawFeatureName::parse(entry).ok())
        .map(|(_, raw)| FeatureName { kind: raw.kind, bit: raw.bit, name: Name::new(raw.name()) })
        .collect()
}

fn parse_bitmaps(data: &[u8]) -> Result<RawBitmapsExtension, ExtensionError> {
    match RawBitmapsExtension::parse(data) {
        Ok((_, raw)) => Ok(raw),
        Err(_) => Err(ExtensionError::BitmapsLength { len: data.len() }),
    }
}

fn check_bitmaps(raw: &RawBitmapsExtension, cluster_size: ClusterSize) -> Result<(), ExtensionError> {
    if raw.reserved != 0 {
        return Err(ExtensionError::BitmapsReserved(raw.reserved));
    }
    if raw.nb_bitmaps > MAX_BITMAPS {
        return Err(ExtensionError::TooManyBitmaps(raw.nb_bitmaps));
    }
    if raw.nb_bitmaps == 0 {
        return Err(ExtensionError::NoBitmaps);
    }
    if !cluster_size.is_aligned(raw.directory_offset) {
        return Err(ExtensionError::BitmapDirectoryOffset(HostOffset(raw.directory_offset)));
    }
    if raw.directory_size > MAX_BITMAP_DIRECTORY_BYTES {
        return Err(ExtensionError::BitmapDirectoryTooLarge(raw.directory_size));
    }
    Ok(())
}

fn crypto(
    data: &[u8],
    header: &RawHeader,
    cluster_size: ClusterSize,
) -> Result<RawCryptoExtension, ExtensionError> {
    if header.crypt_method != 2 {
        return Err(ExtensionError::CryptoUnexpected { method: header.crypt_method });
    }
    let (_, raw) =
        RawCryptoExtension::parse(data).map_err(|_| ExtensionError::CryptoLength { len: data.len() })?;
    if !cluster_size.is_aligned(raw.offset) {
        return Err(ExtensionError::CryptoOffset { offset: raw.offset, cluster_size });
    }
    Ok(raw)
}
