//! A finding in words: ours, and qemu-img's.

use std::fmt;

use super::finding::{BlockFault, Finding, L1Fault, L2Fault};
use crate::raw::{RawL1Entry, RawL2Entry};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dirty => f.write_str("the dirty bit is set: the image was not closed, or is open now"),
            Self::MarkedCorrupt => {
                f.write_str("the corrupt bit is set: QEMU found damage, and refuses to write to the image")
            }
            Self::SnapshotIncomplete { entry } => write!(
                f,
                "entry {entry} of the snapshot table: it lacks the size of the VM state or of the disk"
            ),
            Self::SnapshotsWithDataFile { snapshots } => write!(
                f,
                "the snapshot table: {snapshots} snapshots, which an image with an external data file can't have"
            ),
            Self::SnapshotL1(at) => write!(
                f,
                "snapshot {:?} (id {:?}): its L1 table is told to be at {}, of {} entries, which no table can be",
                at.name, at.id, at.offset, at.entries
            ),
            Self::PastTheEnd { structure, offset, size } | Self::Cut { structure, offset, size } => {
                write!(f, "{structure}, {size} bytes at {offset}: it goes past the end of the file")
            }
            Self::L1 { layer, index, entry, fault } => {
                write!(f, "entry {index} of the L1 table of {layer}, {entry:#018x}: {fault}")
            }
            Self::L2 { layer, guest, entry, fault, .. } => {
                write!(f, "the cluster of {guest} in {layer}, entry {entry:#018x}: {fault}")
            }
            Self::Block { index, offset, fault } => {
                write!(f, "entry {index} of the refcount table, a block at {offset}: {fault}")
            }
            Self::Refcount { cluster, stored, counted } => write!(
                f,
                "cluster {cluster} of the image file: its refcount is {stored}, but it has {counted} references"
            ),
            Self::NoRefcount { cluster, index, .. } => write!(
                f,
                "cluster {cluster} of the image file: its refcount is in block {index}, which can't be read"
            ),
            Self::TooManyReferences { offset } => {
                write!(f, "the cluster at {offset}: it has more references than a refcount can count")
            }
            Self::Overlap { offset, structure } => {
                write!(f, "the cluster at {offset}: {structure} is in it, but other metadata is, too")
            }
            Self::Unreadable { what, offset, problem } => {
                write!(f, "{what} at {offset}: it can't be read: {problem}")
            }
        }
    }
}

impl fmt::Display for L1Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("bits are set that must be zero"),
            Self::PastTheEnd { .. } => f.write_str("the L2 table is past the end of the file"),
            Self::Unaligned => f.write_str("the L2 table is not where a cluster begins"),
            Self::Copied { refcount } => write!(
                f,
                "the L2 table's refcount is {refcount}, so the entry must {}say COPIED",
                if *refcount == 1 { "" } else { "not " }
            ),
            Self::Cut => f.write_str("the file ends within the L2 table"),
        }
    }
}

impl fmt::Display for L2Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("bits are set that must be zero"),
            Self::CompressedCopied(_) => f.write_str("it is compressed and says COPIED, which none may"),
            Self::CompressedInDataFile => {
                f.write_str("it is compressed, which none can be with an external data file")
            }
            Self::CompressedSubclusters => f.write_str("it is compressed, and yet has subclusters"),
            Self::SubclustersContradict => f.write_str("it has subclusters that are both stored and zeros"),
            Self::SubclustersWithoutCluster => {
                f.write_str("subclusters are told to be stored in it, but it has no place")
            }
            Self::Unaligned { data: true } => f.write_str("its place is not where a cluster begins"),
            Self::Unaligned { data: false } => {
                f.write_str("the place that is kept for it is not where a cluster begins")
            }
            Self::PastTheEnd { offset, size } => {
                write!(f, "its {size} bytes at {offset} go past the end of the file")
            }
            Self::Copied { refcount } => write!(
                f,
                "its refcount is {refcount}, so the entry must {}say COPIED",
                if *refcount == 1 { "" } else { "not " }
            ),
            Self::ZeroInV2 => f.write_str("it is a zero cluster, which version 2 doesn't have"),
            Self::NotAtItsPlace => {
                f.write_str("its place in the external data file is another than that in the disk")
            }
            Self::InMetadata(offset) => write!(f, "its place, {offset}, is where metadata is"),
        }
    }
}

impl fmt::Display for BlockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("bits are set that must be zero"),
            Self::Unaligned => f.write_str("no cluster begins there"),
            Self::PastTheEnd => f.write_str("it is past the end of the file"),
            Self::References(count) => write!(f, "its cluster has {count} references instead of one"),
        }
    }
}

impl Finding {
    /// The line, or lines, that qemu-img 10 writes to stderr of it; `None` where it says nothing.
    #[must_use]
    pub fn qemu_text(&self) -> Option<String> {
        Some(match self {
            Self::Dirty | Self::MarkedCorrupt | Self::Cut { .. } | Self::Overlap { .. } => return None,
            Self::SnapshotIncomplete { entry } => format!("ERROR snapshot table entry {entry} is incomplete"),
            Self::SnapshotsWithDataFile { snapshots } => {
                format!("ERROR {snapshots} snapshots in image with data file")
            }
            Self::SnapshotL1(at) => {
                let start = format!("ERROR snapshot {} ({})", at.id, at.name);
                if at.too_long {
                    let entries = at.entries;
                    format!(
                        "{start} l1_size={entries:#x}: L1 table is too large; snapshot table entry corrupted"
                    )
                } else {
                    format!(
                        "{start} l1_offset={:#x}: L1 table is not cluster aligned; snapshot table entry corrupted",
                        at.offset.0
                    )
                }
            }
            Self::PastTheEnd { offset, size, .. } => past_the_end(offset.0, *size),
            Self::L1 { index, entry, fault, .. } => return qemu_l1(*index, *entry, *fault),
            Self::L2 { index, entry, fault, .. } => return qemu_l2(*index, *entry, *fault),
            Self::Block { index, fault, .. } => match fault {
                BlockFault::Reserved => format!("ERROR refcount table entry {index} has reserved bits set"),
                BlockFault::Unaligned => format!(
                    "ERROR refcount block {index} is not cluster aligned; refcount table entry corrupted"
                ),
                BlockFault::PastTheEnd => format!("ERROR refcount block {index} is outside image"),
                BlockFault::References(count) => format!("ERROR refcount block {index} refcount={count}"),
            },
            Self::Refcount { cluster, stored, counted } => {
                let word = if stored < counted { "ERROR" } else { "Leaked" };
                format!("{word} cluster {cluster} refcount={stored} reference={counted}")
            }
            Self::NoRefcount { cluster, .. } => {
                format!("Can't get refcount for cluster {cluster}: Input/output error")
            }
            Self::TooManyReferences { offset } => format!(
                "ERROR: overflow cluster offset={:#x}\nUse qemu-img amend to increase the refcount entry width \
                 or qemu-img convert to create a clean copy if the image cannot be opened for writing",
                offset.0
            ),
            Self::Unreadable { what, problem, .. } => format!("ERROR: I/O error in {what}: {problem}"),
        })
    }
}

fn past_the_end(offset: u64, size: u64) -> String {
    format!(
        "ERROR: counting reference for region exceeding the end of the file by one cluster or more: \
         offset {offset:#x} size {size:#x}"
    )
}

fn qemu_l1(index: u32, entry: u64, fault: L1Fault) -> Option<String> {
    let offset = RawL1Entry(entry).offset();
    Some(match fault {
        L1Fault::Reserved => format!("ERROR found L1 entry with reserved bits set: {entry:x}"),
        L1Fault::PastTheEnd { size } => past_the_end(offset, size),
        L1Fault::Unaligned => {
            format!("ERROR l2_offset={offset:x}: Table is not cluster aligned; L1 entry corrupted")
        }
        L1Fault::Copied { refcount } => {
            format!("ERROR OFLAG_COPIED L2 cluster: l1_index={index} l1_entry={entry:x} refcount={refcount}")
        }
        L1Fault::Cut => return None,
    })
}

fn qemu_l2(index: u32, entry: u64, fault: L2Fault) -> Option<String> {
    let offset = RawL2Entry(entry).offset();
    let without_copied = entry & !(1 << 63);
    Some(match fault {
        L2Fault::Reserved => format!("ERROR found l2 entry with reserved bits set: {entry:x}"),
        L2Fault::CompressedCopied(offset) => {
            format!("ERROR: coffset={:#x}: copied flag must never be set for compressed clusters", offset.0)
        }
        L2Fault::CompressedInDataFile => {
            format!("ERROR compressed cluster {index} with data file, entry={without_copied:#x}")
        }
        L2Fault::CompressedSubclusters => format!(
            "ERROR compressed cluster {index} with non-zero subcluster allocation bitmap, \
             entry={without_copied:#x}"
        ),
        L2Fault::SubclustersContradict => {
            format!("ERROR offset={offset:x}: Allocated cluster has corrupted subcluster allocation bitmap")
        }
        L2Fault::SubclustersWithoutCluster => {
            "ERROR: Unallocated cluster has non-zero subcluster allocation map".into()
        }
        L2Fault::Unaligned { data } => format!(
            "ERROR offset={offset:x}: {} cluster is not properly aligned; L2 entry corrupted.",
            if data { "Data" } else { "Preallocated" }
        ),
        L2Fault::PastTheEnd { offset, size } => past_the_end(offset.0, size),
        L2Fault::Copied { refcount } => {
            format!("ERROR OFLAG_COPIED data cluster: l2_entry={entry:x} refcount={refcount}")
        }
        L2Fault::ZeroInV2 | L2Fault::InMetadata(_) | L2Fault::NotAtItsPlace => return None,
    })
}
