//! The header, validated (specification, section "Header").

use std::fmt;

use stillpoint_storage::Storage;

use super::limits::{
    MAX_BACKING_NAME_LEN, MAX_L1_BYTES, MAX_REFCOUNT_ORDER, MAX_REFCOUNT_TABLE_BYTES, MAX_SNAPSHOTS,
    MIN_EXTENDED_L2_CLUSTER_BITS,
};
use super::read::HeaderArea;
use super::{ClusterSize, Extensions, HostOffset};
use crate::raw::{
    Autoclear, Compatible, Incompatible, RawHeader, SNAPSHOT_HEADER_LEN, V2_HEADER_LEN, V3_HEADER_LEN,
    V3_MIN_HEADER_LEN,
};
use crate::{Error, Name};

mod error;
mod lenient;

pub use error::{HeaderError, TableKind, UnknownFeature};

/// The version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 2; `compat=0.10` of qemu-img's.
    V2,
    /// 3; `compat=1.1` of qemu-img's.
    V3,
}

impl Version {
    /// The oldest QEMU that opens it, as qemu-img's `compat` says it.
    #[must_use]
    pub const fn compat(self) -> &'static str {
        match self {
            Self::V2 => "0.10",
            Self::V3 => "1.1",
        }
    }
}

/// What compressed clusters are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Raw deflate streams.
    Zlib,
    /// Zstandard frames.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        })
    }
}

/// How guest data is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// Not at all.
    None,
    /// AES-128-CBC of QEMU's own, long given up as unsafe.
    Aes,
    /// LUKS, whose header lies in the image.
    Luks,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nothing",
            Self::Aes => "AES",
            Self::Luks => "LUKS",
        })
    }
}

/// Where a table lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TablePlace {
    /// Its first byte.
    pub offset: HostOffset,
    /// How many entries it has.
    pub entries: u32,
}

/// Where the header says that the backing file's name is, and the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingName {
    /// Where the name is stored.
    pub offset: HostOffset,
    /// The name as stored, all bytes.
    pub stored: Name,
}

/// A header that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    raw: RawHeader,
    cluster_size: ClusterSize,
    compression: Compression,
    encryption: Encryption,
    unknown_fields: Vec<u8>,
    backing: Option<BackingName>,
}

impl Header {
    /// Reads header and extensions from the beginning of `storage`, in the order in which QEMU looks at them,
    /// so that of several faults the same one is told.
    pub(crate) fn read<S: Storage + ?Sized>(storage: &S) -> Result<(Self, Extensions), Error> {
        Self::read_with(storage, |raw, cluster_size| check_tables(raw, cluster_size), &mut Err)
    }

    /// The same, but for the place of the snapshot table and whether there is a refcount table at all: a check judges
    /// that by itself.
    pub(crate) fn read_but_snapshots<S: Storage + ?Sized>(storage: &S) -> Result<(Self, Extensions), Error> {
        let check = |raw: &mut RawHeader, cluster_size| {
            let refcount_table_clusters = raw.refcount_table_clusters.max(1);
            let judged =
                RawHeader { nb_snapshots: 0, snapshots_offset: 0, refcount_table_clusters, ..raw.clone() };
            check_tables(&judged, cluster_size)
        };
        Self::read_with(storage, check, &mut Err)
    }

    fn read_with<S: Storage + ?Sized>(
        storage: &S,
        check_tables: impl FnOnce(&mut RawHeader, ClusterSize) -> Result<(), HeaderError>,
        damaged: &mut dyn FnMut(Error) -> Result<(), Error>,
    ) -> Result<(Self, Extensions), Error> {
        let area = HeaderArea::read(storage)?;
        let mut raw = parse(area.head())?;
        let cluster_size =
            ClusterSize::from_bits(raw.cluster_bits).ok_or(HeaderError::ClusterBits(raw.cluster_bits))?;
        let unknown_fields = check_length(&raw, cluster_size, &area)?;
        if raw.backing_file_offset > cluster_size.bytes() {
            return Err(HeaderError::BackingOffset { offset: raw.backing_file_offset, cluster_size }.into());
        }
        let extensions_end =
            if raw.backing_file_offset == 0 { cluster_size.bytes() } else { raw.backing_file_offset };
        let place = u64::from(raw.length())..extensions_end;
        let compression = compression_of(&raw)?;
        check_features(&raw, &area, place.clone())?;
        let incompatible = incompatible(&raw);
        if incompatible.contains(Incompatible::EXTENDED_L2)
            && cluster_size.bits() < MIN_EXTENDED_L2_CLUSTER_BITS
        {
            return Err(HeaderError::SubclusterSize { cluster_size }.into());
        }
        check_tables(&mut raw, cluster_size)?;
        let encryption = match raw.crypt_method {
            0 => Encryption::None,
            1 => Encryption::Aes,
            2 => Encryption::Luks,
            other => return Err(HeaderError::CryptMethod(other).into()),
        };
        let extensions = Extensions::read(&area, place, &raw, cluster_size, damaged)?;
        if encryption == Encryption::Luks && extensions.crypto_header().is_none() {
            return Err(HeaderError::CryptoHeaderMissing.into());
        }
        let backing = read_backing_name(&raw, cluster_size, &area)?;
        Ok((Self { raw, cluster_size, compression, encryption, unknown_fields, backing }, extensions))
    }

    /// The header as stored.
    #[must_use]
    pub const fn raw(&self) -> &RawHeader {
        &self.raw
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        if self.raw.v3.is_some() { Version::V3 } else { Version::V2 }
    }

    /// The size of a cluster.
    #[must_use]
    pub const fn cluster_size(&self) -> ClusterSize {
        self.cluster_size
    }

    /// The size of the guest's disk in bytes, as stored. QEMU rounds it down to whole sectors of 512 bytes.
    #[must_use]
    pub const fn virtual_size(&self) -> u64 {
        self.raw.size
    }

    /// Incompatible feature bits; all of them are known.
    #[must_use]
    pub fn incompatible(&self) -> Incompatible {
        incompatible(&self.raw)
    }

    /// Compatible feature bits, unknown ones too.
    #[must_use]
    pub fn compatible(&self) -> Compatible {
        Compatible::from_bits_retain(self.raw.v3.map_or(0, |v3| v3.compatible_features))
    }

    /// Autoclear feature bits, unknown ones too.
    #[must_use]
    pub fn autoclear(&self) -> Autoclear {
        Autoclear::from_bits_retain(self.raw.v3.map_or(0, |v3| v3.autoclear_features))
    }

    /// Width of a refcount in bits: a power of two from 1 to 64.
    #[must_use]
    pub fn refcount_bits(&self) -> u32 {
        1 << self.raw.v3.map_or(4, |v3| v3.refcount_order)
    }

    /// What compressed clusters are compressed with.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// How guest data is encrypted.
    #[must_use]
    pub const fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// The active L1 table.
    #[must_use]
    pub const fn l1_table(&self) -> TablePlace {
        TablePlace { offset: HostOffset(self.raw.l1_table_offset), entries: self.raw.l1_size }
    }

    /// Bytes of a header longer than the known 112, kept as they are.
    #[must_use]
    pub fn unknown_fields(&self) -> &[u8] {
        &self.unknown_fields
    }

    /// The backing file's name as stored, if the header has one; it may be empty.
    #[must_use]
    pub const fn backing(&self) -> Option<&BackingName> {
        self.backing.as_ref()
    }
}

fn incompatible(raw: &RawHeader) -> Incompatible {
    Incompatible::from_bits_retain(raw.v3.map_or(0, |v3| v3.incompatible_features))
}

fn parse(head: &[u8]) -> Result<RawHeader, HeaderError> {
    if !RawHeader::has_magic(head) {
        return Err(HeaderError::NotQcow2);
    }
    // A file that ends in its header reads on as zeros, for QEMU and so for us.
    let mut padded = [0; V3_HEADER_LEN as usize];
    let there = head.len().min(padded.len());
    padded[..there].copy_from_slice(&head[..there]);
    let (_, version) = RawHeader::parse_version(&padded).map_err(|_| HeaderError::NotQcow2)?;
    if !(2..=3).contains(&version) {
        return Err(HeaderError::Version(version));
    }
    let (_, raw) = RawHeader::parse(&padded).map_err(|_| HeaderError::TooShort { length: 0 })?;
    Ok(raw)
}

/// Checks the length that the header tells of itself, and gives the fields past those that are known.
fn check_length<S: Storage + ?Sized>(
    raw: &RawHeader,
    cluster_size: ClusterSize,
    area: &HeaderArea<'_, S>,
) -> Result<Vec<u8>, Error> {
    let length = raw.length();
    if raw.v3.is_some() && length < V3_MIN_HEADER_LEN {
        return Err(HeaderError::TooShort { length }.into());
    }
    debug_assert!(length >= V2_HEADER_LEN);
    if u64::from(length) > cluster_size.bytes() {
        return Err(HeaderError::ExceedsCluster { length, cluster_size }.into());
    }
    let unknown = u64::from(length.saturating_sub(V3_HEADER_LEN));
    Ok(area.get(u64::from(V3_HEADER_LEN), unknown, "the unknown fields of the header")?.into_owned())
}

fn check_features<S: Storage + ?Sized>(
    raw: &RawHeader,
    area: &HeaderArea<'_, S>,
    place: std::ops::Range<u64>,
) -> Result<(), Error> {
    let unknown = incompatible(raw).bits() & !Incompatible::all().bits();
    if unknown == 0 {
        return Ok(());
    }
    // The names are for the message only: an image whose name table can't be read is refused all the same.
    let names = Extensions::feature_names_only(area, place);
    let features = (0..64)
        .filter(|bit| unknown >> bit & 1 == 1)
        .map(|bit| UnknownFeature {
            bit,
            name: names.iter().find(|name| name.is_incompatible(bit)).map(|name| name.name.clone()),
        })
        .collect();
    Err(HeaderError::UnknownFeatures(features).into())
}

fn compression_of(raw: &RawHeader) -> Result<Compression, HeaderError> {
    let number = raw.v3.map_or(0, |v3| v3.compression_type);
    let compression = match number {
        0 => Compression::Zlib,
        1 => Compression::Zstd,
        other => return Err(HeaderError::CompressionType(other)),
    };
    let bit = incompatible(raw).contains(Incompatible::COMPRESSION);
    if bit != (number != 0) {
        return Err(HeaderError::CompressionBit { set: bit, compression });
    }
    Ok(compression)
}

fn check_tables(raw: &RawHeader, cluster_size: ClusterSize) -> Result<(), HeaderError> {
    if raw.v3.is_some_and(|v3| v3.refcount_order > MAX_REFCOUNT_ORDER) {
        return Err(HeaderError::RefcountWidth);
    }
    if raw.refcount_table_clusters == 0 {
        return Err(HeaderError::NoRefcountTable);
    }
    let refcount_table = Table {
        kind: TableKind::Refcount,
        offset: raw.refcount_table_offset,
        entries: raw.refcount_table_clusters,
        entry_len: cluster_size.bytes(),
        limit: MAX_REFCOUNT_TABLE_BYTES,
    };
    let snapshot_table = Table {
        kind: TableKind::Snapshots,
        offset: raw.snapshots_offset,
        entries: raw.nb_snapshots,
        entry_len: SNAPSHOT_HEADER_LEN as u64,
        limit: SNAPSHOT_HEADER_LEN as u64 * u64::from(MAX_SNAPSHOTS),
    };
    let l1_table = Table {
        kind: TableKind::ActiveL1,
        offset: raw.l1_table_offset,
        entries: raw.l1_size,
        entry_len: 8,
        limit: MAX_L1_BYTES,
    };
    refcount_table.check(cluster_size)?;
    snapshot_table.check(cluster_size)?;
    l1_table.check(cluster_size)?;

    let l2_bits =
        cluster_size.bits() - if incompatible(raw).contains(Incompatible::EXTENDED_L2) { 4 } else { 3 };
    // At most 21 + 18 bits.
    let needed = raw.size.div_ceil(1 << (cluster_size.bits() + l2_bits));
    if needed > i32::MAX as u64 {
        return Err(HeaderError::ImageTooBig { size: raw.size });
    }
    if u64::from(raw.l1_size) < needed {
        return Err(HeaderError::L1TooSmall { entries: raw.l1_size, needed });
    }
    Ok(())
}

/// A table as the header describes it, before it is believed.
struct Table {
    kind: TableKind,
    offset: u64,
    entries: u32,
    /// Bytes of one entry; at most a cluster, so that the product below has 53 bits at most.
    entry_len: u64,
    /// Most bytes of the whole table.
    limit: u64,
}

impl Table {
    fn check(&self, cluster_size: ClusterSize) -> Result<(), HeaderError> {
        let bytes = u64::from(self.entries) * self.entry_len;
        if bytes > self.limit {
            return Err(HeaderError::TableTooLarge { table: self.kind, bytes, limit: self.limit });
        }
        if !cluster_size.is_aligned(self.offset) || self.offset > i64::MAX as u64 - bytes {
            return Err(HeaderError::TableOffset { table: self.kind, offset: HostOffset(self.offset) });
        }
        Ok(())
    }
}

fn read_backing_name<S: Storage + ?Sized>(
    raw: &RawHeader,
    cluster_size: ClusterSize,
    area: &HeaderArea<'_, S>,
) -> Result<Option<BackingName>, Error> {
    let offset = raw.backing_file_offset;
    if offset == 0 {
        return Ok(None);
    }
    let limit = MAX_BACKING_NAME_LEN.min(cluster_size.bytes().saturating_sub(offset));
    let len = u64::from(raw.backing_file_size);
    if len > limit {
        return Err(HeaderError::BackingNameTooLong { len: raw.backing_file_size, limit }.into());
    }
    let stored = Name::new(area.get(offset, len, "the backing file's name")?.into_owned());
    Ok(Some(BackingName { offset: HostOffset(offset), stored }))
}
