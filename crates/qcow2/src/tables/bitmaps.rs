//! The bitmap directory, validated (specification, section "Bitmap directory").

use bitflags::bitflags;
use stillpoint_storage::Storage;

use super::limits::{
    BITMAP_GRANULARITY_BITS, MAX_BITMAP_BYTES, MAX_BITMAP_NAME_LEN, MAX_BITMAP_TABLE_ENTRIES,
};
use super::read::TableReader;
use super::{ClusterSize, Header, HostOffset, TablePlace};
use crate::raw::{BITMAP_ENTRY_LEN, RawBitmapEntry, RawBitmapsExtension};
use crate::{Error, Name};

bitflags! {
    /// Flags of a persistent bitmap.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct BitmapFlags: u32 {
        /// It was being written to when the image was last open, and was not saved: its bits can't be believed.
        const IN_USE = 1;
        /// Writes by the guest are recorded in it.
        const AUTO = 1 << 1;
    }
}

/// A persistent bitmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    /// Its name, unique in the image.
    pub name: Name,
    /// Its flags.
    pub flags: BitmapFlags,
    /// How many bytes of the guest's disk a bit stands for: a power of two from 512 to 2 GiB.
    pub granularity: u64,
    /// Where its table is; each entry stands for a cluster of bits.
    pub table: TablePlace,
}

/// A bitmap directory that isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitmapError {
    /// An extension for a directory of no bytes.
    #[error("the bitmap directory is told to have no bytes")]
    EmptyDirectory,
    /// The directory goes past the end of the file.
    #[error("the bitmap directory, {size} bytes at {offset}, goes past the end of the file")]
    DirectoryPastTheEnd {
        /// Where it begins.
        offset: HostOffset,
        /// Its length in bytes.
        size: u64,
    },
    /// The directory ends inside an entry.
    #[error("entry {0} of the bitmap directory goes past the directory's end")]
    EntryPastTheEnd(u32),
    /// Extra data, which no version of the format has yet.
    #[error(
        "entry {entry} of the bitmap directory has {len} bytes of extra data, which nobody knows how to read"
    )]
    ExtraData {
        /// Number of the entry, from 0.
        entry: u32,
        /// The length of the extra data in bytes.
        len: u32,
    },
    /// A field that breaks a rule.
    #[error("the {field} of the bitmap {name:?} breaks the rules: {value:#x}")]
    Constraint {
        /// Its name.
        name: Name,
        /// Which field it is.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// Fewer entries than the extension tells.
    #[error("the bitmap directory has {found} entries, but the header tells {told}")]
    TooFew {
        /// How many there are.
        found: u32,
        /// How many there should be.
        told: u32,
    },
    /// More entries than the extension tells.
    #[error("the bitmap directory has more entries than the {0} that the header tells")]
    TooMany(u32),
    /// Bits of a bitmap that was being written to when the image was last open.
    #[error(
        "the bitmap {0:?} is in use, or was not saved when the image was last open: its bits can't be believed"
    )]
    InUse(Name),
    /// A bitmap's table goes past the end of the file.
    #[error("the table of the bitmap {name:?}, {entries} entries at {offset}, goes past the end of the file")]
    TablePastTheEnd {
        /// Its name.
        name: Name,
        /// Where the table begins.
        offset: HostOffset,
        /// How many entries it has.
        entries: u32,
    },
    /// An entry of a bitmap's table that breaks a rule.
    #[error("entry {index} of the table of the bitmap {name:?}, {entry:#x}, {problem}")]
    TableEntry {
        /// The bitmap's name.
        name: Name,
        /// Number of the entry, from 0.
        index: u64,
        /// What it holds.
        entry: u64,
        /// Which rule it breaks.
        problem: &'static str,
    },
    /// Two bitmaps of one name.
    #[error("there are two bitmaps of the name {0:?}")]
    SameName(Name),
}

impl BitmapError {
    /// What qemu-img 10 says after `Could not open 'NAME': `; `None` where it goes on, or says it otherwise.
    #[must_use]
    pub fn qemu_text(&self) -> Option<String> {
        Some(match self {
            Self::EmptyDirectory => "Requested bitmap directory size is zero".into(),
            // QEMU reads past the end, and looks at bits only when it opens an image to write to it.
            Self::DirectoryPastTheEnd { .. }
            | Self::InUse(_)
            | Self::TablePastTheEnd { .. }
            | Self::TableEntry { .. } => return None,
            Self::EntryPastTheEnd(_) => "Broken bitmap directory".into(),
            Self::ExtraData { .. } => "Bitmap extra data is not supported".into(),
            Self::Constraint { name, .. } => format!("Bitmap '{name}' doesn't satisfy the constraints"),
            Self::TooFew { .. } => "Less bitmaps found than specified in header extension".into(),
            Self::TooMany(_) => "More bitmaps found than specified in header extension".into(),
            Self::SameName(name) => format!("Bitmap already exists: {name}"),
        })
    }
}

/// Reads the bitmap directory.
///
/// Memory: each entry takes its name and about 80 bytes more; all entries lie within the file and 64 MiB.
pub(crate) fn read_bitmaps<S: Storage + ?Sized>(
    storage: &S,
    header: &Header,
    place: &RawBitmapsExtension,
) -> Result<Vec<Bitmap>, Error> {
    let size = place.directory_size;
    let offset = place.directory_offset;
    if size == 0 {
        return Err(BitmapError::EmptyDirectory.into());
    }
    let end = offset.checked_add(size).filter(|&end| end <= storage.len());
    let end = end.ok_or(BitmapError::DirectoryPastTheEnd { offset: HostOffset(offset), size })?;
    let mut reader = TableReader::new(storage, "the bitmap directory", offset, end);
    let mut bitmaps = Vec::new();
    let mut names = std::collections::HashSet::new();
    let mut found = 0;
    while reader.remaining() > 0 {
        if found == place.nb_bitmaps && reader.remaining() >= BITMAP_ENTRY_LEN as u64 {
            return Err(BitmapError::TooMany(place.nb_bitmaps).into());
        }
        let bitmap = read_entry(&mut reader, header, found)?;
        if !names.insert(bitmap.name.clone()) {
            return Err(BitmapError::SameName(bitmap.name).into());
        }
        bitmaps.push(bitmap);
        found += 1;
    }
    if found < place.nb_bitmaps {
        return Err(BitmapError::TooFew { found, told: place.nb_bitmaps }.into());
    }
    Ok(bitmaps)
}

fn read_entry<S: Storage + ?Sized>(
    reader: &mut TableReader<'_, S>,
    header: &Header,
    entry: u32,
) -> Result<Bitmap, Error> {
    let past = || BitmapError::EntryPastTheEnd(entry);
    let head = reader.take(BITMAP_ENTRY_LEN as u64)?.ok_or_else(past)?;
    let (_, raw) = RawBitmapEntry::parse(head).map_err(|_| past())?;
    let tail = reader.take(raw.padded_len() - BITMAP_ENTRY_LEN as u64)?.ok_or_else(past)?;
    if raw.extra_len != 0 {
        return Err(BitmapError::ExtraData { entry, len: raw.extra_len }.into());
    }
    let name = Name::new(tail.get(..usize::from(raw.name_len)).ok_or_else(past)?);
    if let Some((field, value)) = broken_rule(&raw, header) {
        return Err(BitmapError::Constraint { name, field, value }.into());
    }
    Ok(Bitmap {
        name,
        flags: BitmapFlags::from_bits_truncate(raw.flags),
        granularity: 1 << raw.granularity_bits,
        table: TablePlace { offset: HostOffset(raw.table_offset), entries: raw.table_size },
    })
}

/// The first field that breaks a rule, and what it holds.
fn broken_rule(raw: &RawBitmapEntry, header: &Header) -> Option<(&'static str, u64)> {
    let cluster_size: ClusterSize = header.cluster_size();
    let aligned = raw.table_offset != 0
        && cluster_size.is_aligned(raw.table_offset)
        && raw.table_offset <= i64::MAX as u64 - u64::from(raw.table_size) * 8;
    if raw.table_size == 0 || raw.table_size > MAX_BITMAP_TABLE_ENTRIES {
        return Some(("table size", u64::from(raw.table_size)));
    }
    if !aligned {
        return Some(("table offset", raw.table_offset));
    }
    // At most 2^27 entries of 2^21 bytes.
    let bytes = u64::from(raw.table_size) * cluster_size.bytes();
    if bytes > MAX_BITMAP_BYTES {
        return Some(("table size", u64::from(raw.table_size)));
    }
    if raw.kind != 1 {
        return Some(("type", u64::from(raw.kind)));
    }
    if raw.flags & !BitmapFlags::all().bits() != 0 {
        return Some(("flags", u64::from(raw.flags)));
    }
    if !BITMAP_GRANULARITY_BITS.contains(&raw.granularity_bits) {
        return Some(("granularity", u64::from(raw.granularity_bits)));
    }
    if raw.name_len > MAX_BITMAP_NAME_LEN {
        return Some(("length of the name", u64::from(raw.name_len)));
    }
    // A bitmap in use may be of another size than the disk has by now.
    let disk = header.virtual_size() & !511; // as QEMU has it, in whole sectors
    let bits = disk.div_ceil(1 << raw.granularity_bits);
    let in_use = raw.flags & BitmapFlags::IN_USE.bits() != 0;
    if !in_use && bits.div_ceil(8).div_ceil(cluster_size.bytes()) != u64::from(raw.table_size) {
        return Some(("table size", u64::from(raw.table_size)));
    }
    None
}
