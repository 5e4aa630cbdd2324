//! What an audit can find.

use serde::Serialize;
use uuid::Uuid;

use crate::topology::BrickName;

/// Something that is not as it is in a volume that is healed, balanced and whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
#[non_exhaustive]
pub enum Problem {
    /// Shards whose file is nowhere: no name, no handle, and not among those that are being deleted.
    Orphan {
        /// How many shards there are.
        shards: u64,
        /// The index of the last one.
        last: u64,
        /// How many bytes they hold, the longest copy of each counted.
        bytes: u64,
    },
    /// A file's handle below `.glusterfs` is all that is left of its base.
    NameLost {
        /// How many shards there are besides the base.
        shards: u64,
        /// Bytes of the base's longest copy.
        base: u64,
        /// The path that it had, where it tells that itself.
        was: Option<String>,
    },
    /// A shard's handle below `.glusterfs` is all that is left of it, and its file is there.
    ShardNameLost {
        /// The file.
        file: Uuid,
        /// Which of its shards.
        shard: u64,
        /// Bytes of the longest copy.
        bytes: u64,
    },
    /// A symbolic link's handle below `.glusterfs` is all that is left of it.
    SymlinkNameLost {
        /// Where it leads to. Bytes that are no text are replaced.
        target: String,
    },
    /// A handle below `.glusterfs` is left of something that nobody misses.
    HandleLeft {
        /// Of what.
        of: &'static str,
    },
    /// Shards of a deleted file, on bricks only that missed the deletion.
    ShardsStale {
        /// How many.
        shards: u64,
        /// The bricks.
        bricks: Vec<BrickName>,
    },
    /// A file that has a second name besides its handle, and was met under none.
    NameNotMet {
        /// How many shards there are besides the base.
        shards: u64,
    },
    /// A deleted file whose shards wait to be removed: it is in `.shard/.remove_me`, and its base is gone.
    Deleted {
        /// How many shards are left.
        shards: u64,
        /// How many bytes they hold, the longest copy of each counted.
        bytes: u64,
    },
    /// A file that is there and waits in `.shard/.remove_me` all the same.
    DeletionBegun,
    /// Shards of which no file was found, while bricks that may have it could not be looked at.
    OwnerUnknown {
        /// How many shards there are.
        shards: u64,
    },
    /// Something in `.shard` that is neither a shard nor Gluster's own.
    NoShard {
        /// The brick.
        brick: BrickName,
        /// What it is.
        what: String,
    },

    /// More than one subvolume holds data under one name.
    Duplicate {
        /// The subvolumes that hold it.
        subvolumes: Vec<String>,
        /// The one that counts.
        used: String,
    },
    /// Data is not where its name's hash says, and no link file leads to it.
    Misplaced {
        /// The subvolume that has it.
        subvolume: String,
        /// The subvolume where it belongs.
        hashed: String,
    },
    /// A migration to another subvolume is under way, or was cut short.
    Migrating {
        /// The subvolume that it is migrated from.
        subvolume: String,
    },
    /// A link file leads to no data, and there is none anywhere.
    LinkToNothing {
        /// The subvolume with the link file.
        subvolume: String,
        /// Where the link file says that the data is.
        target: String,
    },
    /// A link file names a subvolume that the volume does not have.
    LinkToStranger {
        /// The subvolume with the link file.
        subvolume: String,
        /// What it names.
        target: String,
    },
    /// A link file names a subvolume that has no data under that name; another one has.
    LinkToWrong {
        /// The subvolume with the link file.
        subvolume: String,
        /// What it names.
        target: String,
        /// The subvolumes that have the data.
        data_on: Vec<String>,
    },
    /// Link files lead round in a circle.
    LinkLoop {
        /// The subvolumes on the circle.
        subvolumes: Vec<String>,
    },
    /// A link file where no client looks for one.
    LinkStale {
        /// The subvolume with the link file.
        subvolume: String,
    },

    /// A symbolic link leads to different places on different bricks.
    TargetsDiffer {
        /// Where to, on each brick. Bytes that are no text are replaced.
        targets: Vec<(BrickName, String)>,
    },
    /// One name has different gfids.
    GfidMismatch {
        /// The bricks, and what each has.
        copies: Vec<(BrickName, Uuid)>,
    },
    /// A file or directory has no handle below `.glusterfs`.
    HandleMissing {
        /// The bricks where that is so.
        bricks: Vec<BrickName>,
    },
    /// A handle below `.glusterfs` is not the file that has its gfid.
    HandleOther {
        /// The bricks where that is so.
        bricks: Vec<BrickName>,
    },
    /// What a brick has under the name can't be used.
    BadCopy {
        /// The brick.
        brick: BrickName,
        /// Why not, in words that go on from the brick's name.
        why: String,
    },
    /// A name is a directory on one brick, and something else on another.
    KindsDiffer {
        /// What it is on each brick.
        kinds: Vec<(BrickName, String)>,
    },
    /// The bricks of a subvolume contradict each other.
    Inconsistent {
        /// How.
        problem: String,
    },

    /// Counters say that bricks missed changes.
    NeedsHeal {
        /// The bricks that missed them.
        bricks: Vec<BrickName>,
        /// Changes of what: `data`, `metadata`, `names`.
        changes: Vec<&'static str>,
    },
    /// Bricks lack a copy or fragment that others of their set have.
    CopyMissing {
        /// The bricks.
        bricks: Vec<BrickName>,
    },
    /// Bricks that missed a deletion still have the name.
    StaleName {
        /// The bricks.
        bricks: Vec<BrickName>,
    },
    /// A change was begun and is not known to be finished.
    Unfinished {
        /// The bricks that note it.
        bricks: Vec<BrickName>,
    },
    /// No copy can be believed.
    SplitBrain {
        /// Of what: `data`, `metadata`, `names`.
        change: &'static str,
        /// Why, and who accuses whom.
        why: String,
    },
    /// Too few fragments agree.
    TooFewFragments {
        /// How many are needed.
        needed: u64,
        /// How many agree at most.
        agreeing: u64,
    },
    /// A counter accuses a brick, and the description does not tell which.
    Unattributed {
        /// The brick that has the counter.
        brick: BrickName,
        /// The xattr's name.
        xattr: String,
    },

    /// Copies that count as good have different content, or fragments that count as good contradict each other.
    Diverged {
        /// The bricks that were compared.
        bricks: Vec<BrickName>,
        /// Those that are off, where it can be told: outvoted by most copies, or by all other fragments.
        off: Vec<BrickName>,
        /// Where the first range that differs begins, in the file or shard.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// Copies that count as good have different lengths.
    LengthsDiffer {
        /// The lengths in bytes, in the order of the bricks.
        lengths: Vec<u64>,
    },
    /// Copies whose xattrs count as good tell different sizes of the file.
    SizesDiffer {
        /// The sizes in bytes, in the order of the bricks.
        sizes: Vec<u64>,
    },

    /// It can't be told what is stored.
    Unknown {
        /// Why.
        why: String,
    },
    /// Shards that no brick here has, while it is not proven that there are none.
    ShardsUnknown {
        /// How many.
        shards: u64,
        /// Why.
        why: String,
    },
    /// There are shards past the end of the file.
    PastTheEnd {
        /// The file's size in bytes.
        size: u64,
        /// How many such shards there are.
        shards: u64,
        /// The index of the last one.
        last: u64,
    },
    /// A shard is longer than a shard can be.
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// The file's size says that it has data, its count of blocks that they were written, and every shard is empty.
    AllEmpty {
        /// The file's size in bytes.
        size: u64,
        /// Bytes that were allocated by the count in its size xattr.
        recorded: u64,
    },
    /// Shards are empty, and so many bytes fewer are stored than the file's size xattr counts.
    EmptyShards {
        /// How many are empty, the base counted.
        shards: u64,
        /// Bytes that were allocated by the count in the size xattr.
        recorded: u64,
        /// Bytes that are allocated.
        allocated: u64,
    },
    /// Much less is stored than the file's size xattr counts.
    FewBlocks {
        /// Bytes that were allocated by the count in the size xattr.
        recorded: u64,
        /// Bytes that are allocated.
        allocated: u64,
    },
    /// A base has shards, and no xattr that says that its file is sharded.
    ShardSizeMissing {
        /// How many shards there are besides the base.
        shards: u64,
    },
    /// An xattr is missing, or has a value that makes no sense.
    BadXattr {
        /// Its name.
        xattr: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A directory is not on all subvolumes.
    DirectoryMissing {
        /// Those that lack it.
        subvolumes: Vec<String>,
    },
    /// Hashes of names belong to no subvolume, or to several.
    LayoutBroken {
        /// How.
        problem: String,
    },
}
