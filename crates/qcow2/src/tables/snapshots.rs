//! The snapshot table, validated (specification, section "Snapshots").

use std::time::Duration;

use stillpoint_storage::Storage;

use super::limits::{MAX_SNAPSHOT_EXTRA_LEN, MAX_SNAPSHOT_TABLE_BYTES};
use super::read::TableReader;
use super::{HostOffset, TablePlace};
use crate::raw::{RawHeader, RawSnapshotExtra, RawSnapshotHeader, SNAPSHOT_HEADER_LEN};
use crate::{Error, Name};

/// An internal snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id, unique in the image; commonly a decimal number.
    pub id: Name,
    /// Its name.
    pub name: Name,
    /// Where its L1 table is. Not looked at yet: a place that can't be is told when the table is read.
    pub l1_table: TablePlace,
    /// When it was taken, seconds since 1970-01-01 UTC.
    pub date_sec: u32,
    /// The nanoseconds of that time, as stored; the field allows more than a second.
    pub date_nsec: u32,
    /// How long the guest had run when it was taken.
    pub vm_clock: Duration,
    /// Size of the VM state in bytes, from the extra data where that has it; 0 when there is none.
    pub vm_state_size: u64,
    /// Virtual size of the disk in the snapshot, in bytes, where the extra data has it. Otherwise it is that of
    /// the image.
    pub disk_size: Option<u64>,
    /// Instructions that the guest had run, where they were counted.
    pub icount: Option<u64>,
    /// Extra data of a later format, as it is.
    pub unknown_extra: Vec<u8>,
}

/// A snapshot table that isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file or the 64 MiB that a table may have end inside the entry.
    #[error("entry {entry} of the snapshot table, at {offset}, goes past the end of the {what}")]
    PastTheEnd {
        /// Number of the entry, from 0.
        entry: u32,
        /// Where it begins.
        offset: HostOffset,
        /// What ends: the file, or the 64 MiB that are allowed.
        what: &'static str,
    },
    /// More extra data than 1024 bytes.
    #[error(
        "entry {entry} of the snapshot table tells {len} bytes of extra data, more than the 1024 that are allowed"
    )]
    ExtraTooLong {
        /// Number of the entry, from 0.
        entry: u32,
        /// The length told, in bytes.
        len: u32,
    },
}

impl SnapshotError {
    /// What qemu-img 10 says after `Could not open 'NAME': `, or `None` where it goes on: past the end of the
    /// file it reads zeros.
    #[must_use]
    pub fn qemu_text(&self) -> Option<String> {
        match self {
            Self::PastTheEnd { .. } => None,
            Self::ExtraTooLong { entry, .. } => Some(format!(
                "Too much extra metadata in snapshot table entry {entry}\n\
                 You can force-remove this extra metadata with qemu-img check -r all"
            )),
        }
    }
}

/// Reads the snapshot table into `snapshots`, which gets those before the first fault.
///
/// Memory: each entry takes its own bytes and about 150 more, and all entries lie within the file and 64 MiB.
pub(crate) fn read_snapshots<S: Storage + ?Sized>(
    storage: &S,
    header: &RawHeader,
    snapshots: &mut Vec<Snapshot>,
) -> Result<(), Error> {
    let start = header.snapshots_offset;
    let limit = start.saturating_add(MAX_SNAPSHOT_TABLE_BYTES);
    let mut reader = TableReader::new(storage, "the snapshot table", start, limit);
    let what = if storage.len() <= limit { "file" } else { "64 MiB that a table may have" };
    for entry in 0..header.nb_snapshots {
        let offset = HostOffset(reader.position());
        let past = || SnapshotError::PastTheEnd { entry, offset, what };
        let head = reader.take(SNAPSHOT_HEADER_LEN as u64)?.ok_or_else(past)?;
        let (_, raw) = RawSnapshotHeader::parse(head).map_err(|_| past())?;
        if raw.extra_len > MAX_SNAPSHOT_EXTRA_LEN {
            return Err(SnapshotError::ExtraTooLong { entry, len: raw.extra_len }.into());
        }
        let tail = reader.take(raw.tail_len())?.ok_or_else(past)?;
        snapshots.push(snapshot(&raw, tail).ok_or_else(past)?);
        // Entries begin at multiples of eight bytes; the table does, since it begins where a cluster does.
        let padding = reader.position().wrapping_neg() % 8;
        if entry + 1 < header.nb_snapshots && !reader.skip(padding) {
            return Err(past().into());
        }
    }
    Ok(())
}

fn snapshot(raw: &RawSnapshotHeader, tail: &[u8]) -> Option<Snapshot> {
    let (extra, names) = tail.split_at_checked(usize::try_from(raw.extra_len).ok()?)?;
    let (id, name) = names.split_at_checked(usize::from(raw.id_len))?;
    let extra = RawSnapshotExtra::parse(extra);
    Some(Snapshot {
        id: Name::new(id),
        name: Name::new(name),
        l1_table: TablePlace { offset: HostOffset(raw.l1_table_offset), entries: raw.l1_size },
        date_sec: raw.date_sec,
        date_nsec: raw.date_nsec,
        vm_clock: Duration::from_nanos(raw.vm_clock_nsec),
        vm_state_size: extra.vm_state_size.unwrap_or(u64::from(raw.vm_state_size)),
        disk_size: extra.disk_size,
        icount: extra.icount.filter(|&count| count != u64::MAX),
        unknown_extra: extra.unknown,
    })
}
