//! Problems in words.

use std::fmt;

use super::Problem;

/// Items separated by commas.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Each item with what belongs to it.
fn pairs<A: fmt::Display, B: fmt::Display>(items: &[(A, B)]) -> String {
    let items: Vec<String> = items.iter().map(|(a, b)| format!("{b} on {a}")).collect();
    List(&items).to_string()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan { shards, last, bytes } => {
                write!(f, "{shards} orphaned shards up to {last}, {bytes} bytes: no file has this gfid")
            }
            Self::NameLost { shards, base, was } => {
                write!(
                    f,
                    "the file has lost its name: its handle alone is left, with {base} bytes and {shards} shards"
                )?;
                match was {
                    Some(was) => write!(f, "; it was {was:?}"),
                    None => Ok(()),
                }
            }
            Self::ShardNameLost { file, shard, bytes } => write!(
                f,
                "shard {shard} of {file} has lost its name: its handle alone is left, with {bytes} bytes"
            ),
            Self::SymlinkNameLost { target } => {
                write!(f, "a symbolic link to {target:?} has lost its name: its handle alone is left")
            }
            Self::HandleLeft { of } => write!(f, "a handle alone is left of {of}"),
            Self::ShardsStale { shards, bricks } => {
                write!(f, "deleted, and {shards} shards of it are still on {}", List(bricks))
            }
            Self::NameNotMet { shards } => {
                write!(f, "a file with {shards} shards has a name that is not in any directory of the volume")
            }
            Self::Deleted { shards, bytes } => {
                write!(f, "deleted, and waiting in .remove_me with {shards} shards of {bytes} bytes")
            }
            Self::DeletionBegun => f.write_str("is there, and waits in .remove_me to be deleted"),
            Self::OwnerUnknown { shards } => {
                write!(f, "{shards} shards whose file may be on bricks that could not be looked at")
            }
            Self::NoShard { brick, what } => write!(f, "{what} on {brick} that is no shard"),
            Self::Duplicate { subvolumes, used } => {
                write!(f, "data on {}; that on {used} counts", List(subvolumes))
            }
            Self::Misplaced { subvolume, hashed } => {
                write!(f, "on {subvolume}, though it belongs on {hashed}, which has no link file for it")
            }
            Self::Migrating { subvolume } => write!(f, "being migrated away from {subvolume}"),
            Self::LinkToNothing { subvolume, target } => {
                write!(f, "the link file on {subvolume} leads to {target}, and no subvolume has the data")
            }
            Self::LinkToStranger { subvolume, target } => {
                write!(f, "the link file on {subvolume} leads to {target:?}, which the volume does not have")
            }
            Self::LinkToWrong { subvolume, target, data_on } => write!(
                f,
                "the link file on {subvolume} leads to {target}, which has no data; {} has",
                List(data_on)
            ),
            Self::LinkLoop { subvolumes } => write!(f, "link files lead in a circle: {}", List(subvolumes)),
            Self::LinkStale { subvolume } => {
                write!(f, "a link file on {subvolume}, where the name does not hash to")
            }
            Self::TargetsDiffer { targets } => {
                let targets: Vec<String> =
                    targets.iter().map(|(brick, target)| format!("to {target:?} on {brick}")).collect();
                write!(f, "a symbolic link {}", List(&targets))
            }
            Self::GfidMismatch { copies } => write!(f, "different gfids: {}", pairs(copies)),
            Self::HandleMissing { bricks } => write!(f, "no handle below .glusterfs on {}", List(bricks)),
            Self::HandleOther { bricks } => {
                write!(f, "the handle below .glusterfs is another file on {}", List(bricks))
            }
            Self::BadCopy { brick, why } => write!(f, "what is on {brick} {why}"),
            Self::KindsDiffer { kinds } => write!(f, "not the same kind everywhere: {}", pairs(kinds)),
            Self::Inconsistent { problem } => f.write_str(problem),
            Self::NeedsHeal { bricks, changes } => {
                write!(f, "{} missed changes of {}", List(bricks), List(changes))
            }
            Self::CopyMissing { bricks } => write!(f, "missing on {}", List(bricks)),
            Self::StaleName { bricks } => write!(f, "deleted, and still on {}", List(bricks)),
            Self::Unfinished { bricks } => {
                write!(f, "{} note a change that was begun and not finished", List(bricks))
            }
            Self::SplitBrain { change, why } => write!(f, "split-brain of its {change}: {}", why.trim_end()),
            Self::TooFewFragments { needed, agreeing } => {
                write!(f, "{needed} fragments are needed, and {agreeing} agree")
            }
            Self::Unattributed { brick, xattr } => {
                write!(f, "{xattr} on {brick} accuses a brick that the description does not tell")
            }
            Self::Diverged { bricks, off, offset, length } => {
                write!(f, "the good copies on {} differ from {offset} on, {length} bytes", List(bricks))?;
                if off.is_empty() { Ok(()) } else { write!(f, "; {} is off", List(off)) }
            }
            Self::LengthsDiffer { lengths } => write!(f, "good copies have the lengths {}", List(lengths)),
            Self::SizesDiffer { sizes } => write!(f, "good copies tell the sizes {}", List(sizes)),
            Self::Unknown { why } => write!(f, "what it holds is not known: {}", why.trim_end()),
            Self::ShardsUnknown { shards, why } => {
                write!(f, "{shards} shards are on no brick here, and may exist: {}", why.trim_end())
            }
            Self::PastTheEnd { size, shards, last } => {
                write!(f, "{shards} shards past its end at {size}, the last is {last}")
            }
            Self::TooLong { length } => write!(f, "{length} bytes, more than a shard"),
            Self::AllEmpty { size, recorded } => {
                write!(f, "{size} bytes long with {recorded} recorded as allocated, and every shard is empty")
            }
            Self::EmptyShards { shards, recorded, allocated } => write!(
                f,
                "{shards} empty shards, and {allocated} bytes allocated where {recorded} are recorded"
            ),
            Self::FewBlocks { recorded, allocated } => {
                write!(f, "{allocated} bytes allocated where {recorded} are recorded")
            }
            Self::ShardSizeMissing { shards } => {
                write!(f, "{shards} shards, and no xattr that says that it is sharded")
            }
            Self::BadXattr { xattr, problem } => write!(f, "xattr {xattr} {problem}"),
            Self::DirectoryMissing { subvolumes } => write!(f, "missing on {}", List(subvolumes)),
            Self::LayoutBroken { problem } => f.write_str(problem),
        }
    }
}
