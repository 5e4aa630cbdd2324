//! The snapshot table as a check reads it: whatever can be made out of it.

use stillpoint_storage::Storage;

use super::finding::{Finding, SnapshotL1};
use super::report::{Failure, Tally};
use super::subject::{Subject, c_name};
use crate::Name;
use crate::raw::{RawSnapshotHeader, SNAPSHOT_HEADER_LEN};
use crate::tables::HostOffset;
use crate::tables::limits::{MAX_L1_BYTES, MAX_SNAPSHOT_EXTRA_LEN, MAX_SNAPSHOT_TABLE_BYTES, MAX_SNAPSHOTS};

/// Extra data that version 3 requires: the sizes of VM state and disk, 8 bytes each.
const REQUIRED_EXTRA: u32 = 16;

/// What a check needs of a snapshot.
pub(super) struct Snapshot {
    pub(super) number: u32,
    pub(super) id: Name,
    pub(super) name: Name,
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u32,
}

/// The snapshot table.
#[derive(Default)]
pub(super) struct SnapshotTable {
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) len: u64,
}

/// Reads the table. Past the end of the file it is zeros, and so are snapshots.
///
/// Memory: about 500 bytes for each snapshot, of which there are 65,536 at most.
pub(super) fn read<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    tally: &mut Tally,
) -> Result<SnapshotTable, Failure> {
    let header = subject.header.raw();
    let (start, count) = (header.snapshots_offset, header.nb_snapshots);
    if count > MAX_SNAPSHOTS {
        return Err(Failure::TooManySnapshots { overhanging: count - MAX_SNAPSHOTS });
    }
    let least = u64::from(count) * SNAPSHOT_HEADER_LEN as u64;
    if !subject.is_aligned(start) || start > i64::MAX as u64 - least {
        return Err(Failure::SnapshotTableOffset);
    }
    let mut snapshots = Vec::new();
    // The table has 64 MiB at most and begins where a cluster does: no sum here can overflow.
    let mut len = 0_u64;
    let unreadable = |tally: &mut Tally, offset, error| {
        tally.add(Finding::unreadable("the snapshot table", HostOffset(offset), &error));
        Failure::SnapshotTableUnreadable
    };
    for number in 0..count {
        len = len.next_multiple_of(8);
        let mut head = [0; SNAPSHOT_HEADER_LEN];
        let at = start.saturating_add(len);
        subject.read(at, &mut head, "the snapshot table").map_err(|error| unreadable(tally, at, error))?;
        let Ok((_, raw)) = RawSnapshotHeader::parse(&head) else {
            return Err(Failure::SnapshotTableUnreadable);
        };
        if raw.extra_len > MAX_SNAPSHOT_EXTRA_LEN {
            return Err(Failure::SnapshotExtra { entry: number });
        }
        let names = at.saturating_add(SNAPSHOT_HEADER_LEN as u64 + u64::from(raw.extra_len));
        let mut text = vec![0; usize::from(raw.id_len) + usize::from(raw.name_len)];
        subject
            .read(names, &mut text, "the snapshot table")
            .map_err(|error| unreadable(tally, names, error))?;
        let (id, name) = text.split_at(usize::from(raw.id_len).min(text.len()));
        len += SNAPSHOT_HEADER_LEN as u64 + raw.tail_len();
        if len > MAX_SNAPSHOT_TABLE_BYTES {
            return Err(Failure::SnapshotTableTooBig { overhanging: count - number });
        }
        if !subject.v2 && raw.extra_len < REQUIRED_EXTRA {
            tally.add(Finding::SnapshotIncomplete { entry: number });
        }
        snapshots.push(Snapshot {
            number,
            id: c_name(id, 127),
            name: c_name(name, 255),
            l1_offset: raw.l1_table_offset,
            l1_entries: raw.l1_size,
        });
    }
    Ok(SnapshotTable { snapshots, offset: start, len })
}

impl Snapshot {
    /// Why its L1 table can't be, if it can't.
    pub(super) fn fault<S: Storage + ?Sized>(&self, subject: &Subject<'_, S>) -> Option<Finding> {
        let unaligned = !subject.is_aligned(self.l1_offset);
        let too_long = u64::from(self.l1_entries) * 8 > MAX_L1_BYTES;
        (unaligned || too_long).then(|| {
            Finding::SnapshotL1(Box::new(SnapshotL1 {
                id: self.id.clone(),
                name: self.name.clone(),
                offset: HostOffset(self.l1_offset),
                entries: self.l1_entries,
                too_long: !unaligned,
            }))
        })
    }
}
