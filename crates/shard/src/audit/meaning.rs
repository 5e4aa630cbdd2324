//! What a finding means for the data, and what to do about it.

use std::fmt;

use serde::Serialize;

use super::Problem;

/// How bad a finding is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// All data is there, and nothing has to be done.
    Harmless,
    /// All data is there; it takes a heal, a rebalance, or somebody who looks.
    Attention,
    /// Data is there that can't be relied on, or is easily lost.
    AtRisk,
    /// Data is lost, or it is not known what it is.
    Lost,
}

impl Severity {
    /// All, the mildest first.
    pub const ALL: [Self; 4] = [Self::Harmless, Self::Attention, Self::AtRisk, Self::Lost];
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Harmless => "harmless",
            Self::Attention => "attention",
            Self::AtRisk => "at risk",
            Self::Lost => "lost",
        })
    }
}

const HEAL: &str = "Start the bricks and let `gluster volume heal VOLUME` finish.";
const REBALANCE: &str = "Let a rebalance of the volume finish.";
const LOOK: &str = "Compare the copies and keep the right one before anything else writes to it.";

impl Problem {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.about().0
    }

    /// What it means for the data: a sentence.
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        self.about().1
    }

    /// What to do: a sentence.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        self.about().2
    }

    const fn about(&self) -> (Severity, &'static str, &'static str) {
        use Severity::{AtRisk, Attention, Harmless, Lost};
        match self {
            Self::Orphan { .. } => (
                Attention,
                "Nothing reads these shards; they take room, or are all that is left of a disk whose first shard is gone.",
                "See whether a disk is missed before they are removed; `stillpoint export gfid:…` saves what there is.",
            ),
            Self::NameLost { .. } => (
                AtRisk,
                "The data is whole and no path leads to it, so that no mount shows it.",
                "Export it by its gfid (`stillpoint export gfid:…`).",
            ),
            Self::ShardNameLost { .. } => (
                AtRisk,
                "The file reads as zeros there but with --compare, though the bytes are on the bricks: its name was removed, or a truncation was cut short.",
                "Verify the file against another site or a backup (`stillpoint verify`); the handle has the bytes.",
            ),
            Self::SymlinkNameLost { .. } => (
                Attention,
                "No mount shows it; a link has no data but where it leads to.",
                "Make the link again if it is missed.",
            ),
            Self::HandleLeft { .. } => (
                Harmless,
                "Nothing reads it, and it takes little room: a removal was cut short.",
                "Nothing has to be done.",
            ),
            Self::ShardsStale { .. } => (
                Attention,
                "The other bricks say that the file is gone, and nothing reads these shards while one of them is up.",
                HEAL,
            ),
            Self::TargetsDiffer { .. } => (
                AtRisk,
                "Where clients are led depends on the brick that answers.",
                "Remove the link through a mount, and make it again.",
            ),
            Self::NameNotMet { .. } => (
                Harmless,
                "The file lies in a directory that is Gluster's own, as the trash is, or that could not be listed.",
                "Look for its name if a disk is missed; it is read by its gfid.",
            ),
            Self::Deleted { .. } => (
                Harmless,
                "A deleted file's shards wait to be removed in the background; until then all but its first shard can be saved.",
                "Nothing, unless the disk is missed: then stop the volume, and `stillpoint export gfid:…` saves what there is.",
            ),
            Self::DeletionBegun => (
                AtRisk,
                "Gluster's background job removes this file's shards, and its name is still there.",
                "Export the file now; then find out whether it was to be deleted.",
            ),
            Self::OwnerUnknown { .. } => (
                Lost,
                "Whether a file owns these shards is not known.",
                "Bring the bricks that are missing, and audit again.",
            ),
            Self::NoShard { .. } => {
                (Harmless, "Nothing reads it.", "Find out who put it there, and remove it.")
            }
            Self::Duplicate { .. } => (
                AtRisk,
                "One of two files is read and the other never, and newer data may be in either.",
                LOOK,
            ),
            Self::Misplaced { .. } => (
                Attention,
                "The data is whole; clients find it only where they look on all subvolumes.",
                REBALANCE,
            ),
            Self::Migrating { .. } => {
                (Attention, "The source of the migration is whole and is read.", REBALANCE)
            }
            Self::LinkToNothing { .. } => (
                Lost,
                "The data that the link file leads to is nowhere.",
                "Look for it on bricks that were removed from the volume, or in a backup.",
            ),
            Self::LinkToStranger { .. } | Self::LinkToWrong { .. } | Self::LinkLoop { .. } => (
                Attention,
                "Clients that follow the link find nothing there and have to look on all subvolumes.",
                REBALANCE,
            ),
            Self::LinkStale { .. } => (
                Harmless,
                "No client looks there any more.",
                "A rebalance removes it; nothing has to be done.",
            ),
            Self::GfidMismatch { .. } => (
                AtRisk,
                "These are different files under one name; clients get an error, or either.",
                "Resolve it with `gluster volume heal VOLUME split-brain`, or keep one by hand after comparing them.",
            ),
            Self::HandleMissing { .. } => (
                Attention,
                "The data is whole; healing and geo-replication, which go by gfid, don't find it.",
                "Look the file up through a mount, which makes the handle again, and audit again.",
            ),
            Self::HandleOther { .. } => (
                AtRisk,
                "Healing and geo-replication, which go by gfid, reach another file than the path does.",
                LOOK,
            ),
            Self::BadCopy { .. } => {
                (AtRisk, "That copy can't be read, so that there is one fewer than there ought to be.", HEAL)
            }
            Self::KindsDiffer { .. } => (
                AtRisk,
                "Clients get an error for this name, and what is below it can't be reached.",
                "Move what is wrong out of the way on its brick, once it is known which that is.",
            ),
            Self::Inconsistent { .. } => (
                AtRisk,
                "It can't be told which brick is right.",
                "Check the volume's description and where its bricks are mapped to, then heal.",
            ),
            Self::NeedsHeal { .. } | Self::CopyMissing { .. } => (
                Attention,
                "The other copies are good and are read; one fewer can be lost until it is healed.",
                HEAL,
            ),
            Self::StaleName { .. } => {
                (Attention, "The file is deleted; the name comes back if only that brick is up.", HEAL)
            }
            Self::Unfinished { .. } => (
                Attention,
                "It is being written, or who wrote it went away; what was written last may be on some copies only.",
                "Audit again when nothing writes; if it stays, heal.",
            ),
            Self::SplitBrain { .. } => (
                AtRisk,
                "Every copy is accused, so that none is read until one is chosen.",
                "Compare them (`--split-brain source-brick=BRICK` has `export` and all that read take that one), then choose: `gluster volume heal VOLUME split-brain`.",
            ),
            Self::TooFewFragments { .. } => (
                Lost,
                "It can't be decoded from the fragments that are here.",
                "Bring the bricks that are missing, or heal.",
            ),
            Self::Unattributed { .. } => (
                Attention,
                "It can't be told which copies are good.",
                "Describe the volume by glusterd's directory of it, and audit again.",
            ),
            Self::Diverged { .. } | Self::LengthsDiffer { .. } => (
                AtRisk,
                "What is read depends on which copy is read, and no counter tells which is right.",
                LOOK,
            ),
            Self::SizesDiffer { .. } => (
                AtRisk,
                "The largest is believed, so that nothing is cut off; the file may be shorter.",
                LOOK,
            ),
            Self::Unknown { .. } | Self::ShardsUnknown { .. } => (
                Lost,
                "Reading it is an error, and not zeros.",
                "Bring the bricks that are missing, or heal, and audit again.",
            ),
            Self::PastTheEnd { .. } => (
                Attention,
                "They are not read; the size may be wrong, or a truncation was cut short.",
                "Look at the tables inside the file (a partition table, a qcow2 header) for its true size, and give it with --size.",
            ),
            Self::TooLong { .. } => (
                Attention,
                "What is past a shard's size is not read.",
                "Find out what wrote to the brick itself.",
            ),
            Self::AllEmpty { .. } => (
                AtRisk,
                "The file reads as zeros: it was emptied, or its data never arrived, as with geo-replication whose rsync transferred nothing.",
                "Verify it against the other site (`stillpoint verify`); see `secondary-access-mount` before replicating again.",
            ),
            Self::EmptyShards { .. } => (
                Attention,
                "The empty shards may be ones whose data never arrived, as with rsync that transferred nothing; they read as zeros.",
                "Verify the file against the other site (`stillpoint verify`).",
            ),
            Self::FewBlocks { .. } => (
                Harmless,
                "Gluster's count grows with what a file system allocates ahead while a file grows, and may be another site's: it proves nothing.",
                "Nothing, unless parts of the file are missed: then verify it against another site or a backup.",
            ),
            Self::ShardSizeMissing { .. } => (
                AtRisk,
                "The file reads as its first shard only.",
                "Set its shard xattrs again from a backup or another site, or export it with --size and --block-size.",
            ),
            Self::BadXattr { .. } => (
                AtRisk,
                "The file can't be read as long as the xattr is wrong.",
                "Set the xattr right from another brick, another site or a backup.",
            ),
            Self::DirectoryMissing { .. } => (
                Attention,
                "Files that hash there can't be made until a client looks the directory up, which makes it.",
                "Look it up through a mount.",
            ),
            Self::LayoutBroken { .. } => (
                Attention,
                "Files are found all the same; new ones can't be made where hashes belong to nobody.",
                "Run `gluster volume rebalance VOLUME fix-layout start`.",
            ),
        }
    }
}
