//! The tables that lie in what is kept of a stream's beginning.

use crate::raw::{Incompatible, RawL1Entry, RawL2Entry};
use crate::tables::Header;

/// What was seen of the tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Entries of the L1 table that were looked at.
    pub(super) l1: u64,
    /// L2 tables that were looked at.
    pub(super) l2: u64,
    /// L2 tables that are told of, and come after what was kept.
    pub(super) later: u64,
    /// The first entry that is damaged, and how.
    pub(super) damage: Option<String>,
}

/// Looks at the entries of the active disk's tables as far as they lie in `head`, the beginning of an image of `len`
/// bytes. No table is looked at twice, however often it is told of: the work is that of going through `head` twice.
pub(super) fn look(head: &[u8], header: &Header, len: u64) -> Seen {
    let cluster = header.cluster_size().bytes();
    let raw = header.raw();
    let mut seen = Seen::default();
    let mut tables = Vec::new();
    let l1 = from(head, raw.l1_table_offset, u64::from(raw.l1_size) * 8);
    for entry in words(l1).map(RawL1Entry) {
        if let Some(why) = wrong(entry.offset(), entry.reserved(), cluster, len) {
            seen.damage = Some(format!("entry {} of the L1 table {why}", seen.l1));
            return seen;
        }
        seen.l1 += 1;
        if entry.offset() > 0 {
            tables.push(entry.offset());
        }
    }
    tables.sort_unstable();
    tables.dedup();
    // Clusters in a data file have places of their own.
    let has_data_file = header.incompatible().contains(Incompatible::DATA_FILE);
    let places_end = if has_data_file { u64::MAX } else { len };
    let extended = header.incompatible().contains(Incompatible::EXTENDED_L2);
    for table in tables {
        let bytes = from(head, table, cluster);
        if (bytes.len() as u64) < cluster {
            seen.later += 1;
            continue;
        }
        let entries = words(bytes).map(RawL2Entry).step_by(if extended { 2 } else { 1 });
        for (number, entry) in entries.enumerate() {
            let why = if entry.is_compressed() {
                let place = entry.compressed(cluster.trailing_zeros());
                (place.offset >= len).then(|| past(place.offset))
            } else {
                wrong(entry.offset(), entry.reserved(), cluster, places_end)
            };
            if let Some(why) = why {
                seen.damage = Some(format!("entry {number} of the L2 table at {table} {why}"));
                return seen;
            }
        }
        seen.l2 += 1;
    }
    seen
}

/// What is wrong with an entry, if anything is.
fn wrong(offset: u64, reserved: u64, cluster: u64, end: u64) -> Option<String> {
    if reserved != 0 {
        Some(format!("has reserved bits: {reserved:#x}"))
    } else if !offset.is_multiple_of(cluster) {
        Some(format!("points to {offset}, where no cluster begins"))
    } else {
        (offset >= end && offset > 0).then(|| past(offset))
    }
}

fn past(offset: u64) -> String {
    format!("points to {offset}, past the end of the image")
}

/// `len` bytes of `head` from `offset` on, as far as they are there.
fn from(head: &[u8], offset: u64, len: u64) -> &[u8] {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(head.len());
    head.get(place(offset)..place(offset.saturating_add(len))).unwrap_or_default()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word))
}
