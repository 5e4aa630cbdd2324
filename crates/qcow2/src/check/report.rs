//! What a check tells.

use std::fmt;

use super::finding::{Class, Finding};
use crate::tables::HostOffset;
use crate::{Error, Name};

/// Clusters of the guest's disk, counted over the L2 tables of one layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Clusters that are stored.
    pub clusters: u64,
    /// Those that don't follow the one before in the file; compressed ones never do.
    pub fragmented: u64,
    /// Those that are compressed.
    pub compressed: u64,
}

impl Allocated {
    pub(super) const fn add(&mut self, times: u64, fragmented: bool, compressed: bool) {
        self.clusters = self.clusters.saturating_add(times);
        if fragmented {
            self.fragmented = self.fragmented.saturating_add(times);
        }
        if compressed {
            self.compressed = self.compressed.saturating_add(times);
        }
    }
}

/// Why a check could not be brought to its end. Its counts are then those of what came before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The header tells more than 65,536 snapshots.
    #[error("the header tells {overhanging} snapshots more than the 65536 that are allowed")]
    TooManySnapshots {
        /// How many there are too many.
        overhanging: u32,
    },
    /// The snapshot table can't be where the header tells.
    #[error("the snapshot table is told to be where no cluster begins, or no file can reach")]
    SnapshotTableOffset,
    /// A snapshot has more extra data than 1024 bytes.
    #[error("entry {entry} of the snapshot table tells more extra data than the 1024 bytes that are allowed")]
    SnapshotExtra {
        /// Number of the entry, from 0.
        entry: u32,
    },
    /// The snapshot table is longer than 64 MiB.
    #[error(
        "the snapshot table is longer than the 64 MiB that are allowed; its last {overhanging} entries are past that"
    )]
    SnapshotTableTooBig {
        /// Entries past the limit.
        overhanging: u32,
    },
    /// The snapshot table can't be read.
    #[error("the snapshot table can't be read")]
    SnapshotTableUnreadable,
    /// There is no such snapshot.
    #[error("there is no snapshot of the id or name {0:?}")]
    NoSuchSnapshot(Name),
    /// An entry of a bitmap's table breaks a rule.
    #[error("the table of the bitmap {name:?} has an entry that breaks the rules: {entry:#018x}")]
    BitmapTable {
        /// The bitmap's name.
        name: Name,
        /// Whether it was in use: QEMU opens the image all the same.
        in_use: bool,
        /// The entry.
        entry: u64,
    },
    /// Tables of bitmaps lie one over the other.
    #[error("tables of bitmaps lie one over the other")]
    OverlappingBitmaps,
    /// More than 4096 L2 tables are where no cluster begins. A limit of ours.
    #[error("more than 4096 L2 tables are where no cluster begins; the rest was not looked at")]
    UnalignedTables,
    /// The file has more clusters than 2^31.
    #[error("the file has more clusters than the 2147483647 that a check counts")]
    TooManyClusters,
}

impl Failure {
    /// What qemu-img 10 writes to stderr of it, without its name before: first of the cause, then of the end.
    /// `None` for a limit that is ours.
    #[must_use]
    pub fn qemu_texts(&self) -> Option<(Option<String>, &'static str)> {
        const TOO_LARGE: &str = "Check failed: File too large";
        let table = "ERROR failed to read the snapshot table: ";
        let hint = |n: &u32| {
            format!("\nYou can force-remove all {n} overhanging snapshots with qemu-img check -r all")
        };
        Some(match self {
            Self::TooManySnapshots { overhanging } => {
                (Some(format!("ERROR snapshot table too large{}", hint(overhanging))), TOO_LARGE)
            }
            Self::SnapshotTableOffset => {
                (Some("ERROR snapshot table offset invalid".into()), "Check failed: Invalid argument")
            }
            Self::SnapshotExtra { entry } => {
                let text = format!(
                    "{table}Too much extra metadata in snapshot table entry {entry}\n\
                     You can force-remove this extra metadata with qemu-img check -r all"
                );
                (Some(text), TOO_LARGE)
            }
            Self::SnapshotTableTooBig { overhanging } => {
                (Some(format!("{table}Snapshot table is too big{}", hint(overhanging))), TOO_LARGE)
            }
            Self::BitmapTable { .. } => (None, "Check failed: Invalid argument"),
            Self::TooManyClusters => (None, TOO_LARGE),
            _ => return None,
        })
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Findings of the class [`Corruption`](Class::Corruption).
    pub corruptions: u64,
    /// Findings of the class [`Leak`](Class::Leak): clusters that are counted for more references than they have.
    pub leaks: u64,
    /// Findings of the class [`CheckError`](Class::CheckError).
    pub check_errors: u64,
    /// Findings of the class [`Note`](Class::Note).
    pub notes: u64,
    /// Clusters of the guest's disk.
    pub total_clusters: u64,
    /// Clusters of it that are stored.
    pub allocated: Allocated,
    /// The end of the last cluster in use, in bytes of the file.
    pub image_end_offset: u64,
    /// Whether bitmaps are there that can't be believed: their clusters count as leaked.
    pub stale_bitmaps: bool,
    /// What was found, in the order in which QEMU tells it.
    pub findings: Vec<Finding>,
    /// How many more findings there are than are listed.
    pub unlisted: u64,
    /// Why the check ended early, if it did.
    pub failure: Option<Failure>,
}

impl CheckReport {
    /// Whether all was looked at, and nothing was found that qemu-img counts.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.corruptions == 0 && self.leaks == 0 && self.check_errors == 0 && self.failure.is_none()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corruption => "error",
            Self::Leak => "leak",
            Self::CheckError => "check error",
            Self::Note => "note",
        })
    }
}

/// Findings as they come in.
#[derive(Debug)]
pub(super) struct Tally {
    findings: Vec<Finding>,
    most: usize,
    pub(super) corruptions: u64,
    pub(super) leaks: u64,
    pub(super) check_errors: u64,
    pub(super) notes: u64,
}

impl Tally {
    pub(super) const fn new(most: usize) -> Self {
        Self { findings: Vec::new(), most, corruptions: 0, leaks: 0, check_errors: 0, notes: 0 }
    }

    /// Counts a finding, and lists it if there is room.
    pub(super) fn add(&mut self, finding: Finding) {
        let count = match finding.class() {
            Class::Corruption => &mut self.corruptions,
            Class::Leak => &mut self.leaks,
            Class::CheckError => &mut self.check_errors,
            Class::Note => &mut self.notes,
        };
        *count = count.saturating_add(1);
        self.list(finding);
    }

    /// Lists a finding that is counted elsewhere; `false` when there is no room left.
    pub(super) fn list(&mut self, finding: Finding) -> bool {
        let room = self.room() > 0;
        if room {
            self.findings.push(finding);
        }
        room
    }

    /// How many more findings can be listed.
    pub(super) const fn room(&self) -> usize {
        self.most.saturating_sub(self.findings.len())
    }

    /// Puts what `other` has behind what is here.
    pub(super) fn append(&mut self, other: Self) {
        self.corruptions = self.corruptions.saturating_add(other.corruptions);
        self.leaks = self.leaks.saturating_add(other.leaks);
        self.check_errors = self.check_errors.saturating_add(other.check_errors);
        self.notes = self.notes.saturating_add(other.notes);
        let room = self.room();
        self.findings.extend(other.findings.into_iter().take(room));
    }

    /// What was listed, and how much more was counted.
    pub(super) fn into_findings(self) -> (Vec<Finding>, u64) {
        let counted = [self.corruptions, self.leaks, self.check_errors, self.notes];
        let counted = counted.into_iter().fold(0_u64, u64::saturating_add);
        let listed = self.findings.len() as u64;
        (self.findings, counted.saturating_sub(listed))
    }
}

impl Finding {
    /// A part that can't be read.
    pub(super) fn unreadable(what: &'static str, offset: HostOffset, error: &Error) -> Self {
        let problem = match error {
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Self::Unreadable { what, offset, problem }
    }
}
