//! The xattrs that Gluster keeps on bricks. All numbers are big-endian.

use nom::bytes::complete::take;
use nom::combinator::all_consuming;
use nom::number::complete::{be_u8, be_u32, be_u64};
use nom::{IResult, Parser};
use uuid::Uuid;

/// The gfid of a volume's root directory.
pub const ROOT_GFID: Uuid = Uuid::from_u128(1);
/// The gfid of `/.shard`.
pub const SHARD_DIR_GFID: Uuid = Uuid::from_u128(0xbe31_8638_e8a0_4c6d_977d_7a93_7aa8_4806);
/// The gfid of `/.shard/.remove_me`.
pub const REMOVE_ME_GFID: Uuid = Uuid::from_u128(0x77dd_5a45_dbf5_4592_b31b_b440_3823_02e9);

/// Gluster's identity of a file or directory, on every one: 16 bytes.
pub const GFID: &str = "trusted.gfid";
/// The volume's id, on a brick's root: 16 bytes.
pub const VOLUME_ID: &str = "trusted.glusterfs.volume-id";
/// The size of a file's shards in bytes, on a sharded file's base.
pub const SHARD_BLOCK_SIZE: &str = "trusted.glusterfs.shard.block-size";
/// A sharded file's size, on its base.
pub const SHARD_FILE_SIZE: &str = "trusted.glusterfs.shard.file-size";
/// A directory's part of the hash space on this subvolume.
pub const DHT: &str = "trusted.glusterfs.dht";
/// On a link file: the subvolume that has the data.
pub const LINKTO: &str = "trusted.glusterfs.dht.linkto";
/// Ends up non-zero where a transaction was begun and not known to be finished.
pub const AFR_DIRTY: &str = "trusted.afr.dirty";
/// What AFR's counters about other bricks begin with; the brick's client name follows.
pub const AFR_PREFIX: &str = "trusted.afr.";
/// Times kept by the ctime feature.
pub const MDATA: &str = "trusted.glusterfs.mdata";
/// What gfid2path's xattrs begin with.
pub const GFID2PATH_PREFIX: &str = "trusted.gfid2path.";
/// What the xattrs of a dispersed volume begin with.
pub const EC_PREFIX: &str = "trusted.ec.";
/// A dispersed file's configuration.
pub const EC_CONFIG: &str = "trusted.ec.config";
/// The size of a dispersed file, on each of its fragments.
pub const EC_SIZE: &str = "trusted.ec.size";
/// How often a dispersed file or directory was changed.
pub const EC_VERSION: &str = "trusted.ec.version";
/// Ends up non-zero where a change was begun and not every brick is known to have it.
pub const EC_DIRTY: &str = "trusted.ec.dirty";

/// Runs `parser` over all of `bytes`.
fn whole<'a, T>(bytes: &'a [u8], parser: impl Fn(&'a [u8]) -> IResult<&'a [u8], T>) -> Option<T> {
    all_consuming(parser).parse(bytes).ok().map(|(_, value)| value)
}

/// A gfid or volume-id: 16 bytes.
#[must_use]
pub fn uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// [`SHARD_BLOCK_SIZE`]: bytes in a shard.
#[must_use]
pub fn shard_block_size(bytes: &[u8]) -> Option<u64> {
    whole(bytes, be_u64)
}

/// [`SHARD_FILE_SIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileSize {
    /// The logical size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes that Gluster believes to be allocated. Geo-replication copies it verbatim, so it says
    /// nothing about the bricks at hand.
    pub blocks: u64,
}

/// Parses [`SHARD_FILE_SIZE`]: size, a reserved word, blocks, a reserved word. The reserved ones are not looked at.
#[must_use]
pub fn file_size(bytes: &[u8]) -> Option<FileSize> {
    let parser = |input| (be_u64, be_u64, be_u64, be_u64).parse(input);
    whole(bytes, parser).map(|(size, _, blocks, _)| FileSize { size, blocks })
}

/// [`DHT`]: a directory's layout on one subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Which rebalance made it; 1 is none in particular.
    pub commit_hash: u32,
    /// The hash function: 0 Davies-Meyer, 1 the same, ranges set by the user.
    pub hash_type: u32,
    /// The first hash that belongs here.
    pub start: u32,
    /// The last hash that belongs here.
    pub stop: u32,
}

impl Layout {
    /// Whether no hash at all belongs here: a new or decommissioned subvolume.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.stop
    }

    /// Whether `hash` belongs here.
    #[must_use]
    pub const fn contains(&self, hash: u32) -> bool {
        !self.is_empty() && self.start <= hash && hash <= self.stop
    }
}

/// Parses [`DHT`].
#[must_use]
pub fn layout(bytes: &[u8]) -> Option<Layout> {
    let parser = |input| (be_u32, be_u32, be_u32, be_u32).parse(input);
    let (commit_hash, hash_type, start, stop) = whole(bytes, parser)?;
    (start <= stop).then_some(Layout { commit_hash, hash_type, start, stop })
}

/// Parses [`LINKTO`]: the name of a subvolume and a NUL.
#[must_use]
pub fn linkto(bytes: &[u8]) -> Option<&str> {
    let name = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

/// AFR's counters: changes that were made here and not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Of a file's content.
    pub data: u32,
    /// Of its xattrs, owner, mode and times.
    pub metadata: u32,
    /// Of a directory's names.
    pub entry: u32,
}

/// Parses AFR's counters ([`AFR_DIRTY`], `trusted.afr.CLIENT`).
#[must_use]
pub fn pending(bytes: &[u8]) -> Option<Pending> {
    let parser = |input| (be_u32, be_u32, be_u32).parse(input);
    whole(bytes, parser).map(|(data, metadata, entry)| Pending { data, metadata, entry })
}

/// Parses a `trusted.gfid2path.*`: the gfid of the parent directory and the name in it.
#[must_use]
pub fn gfid2path(bytes: &[u8]) -> Option<(Uuid, &[u8])> {
    let (gfid, rest) = bytes.split_at_checked(36)?;
    let name = rest.strip_prefix(b"/")?;
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return None;
    }
    Some((Uuid::try_parse_ascii(gfid).ok()?, name))
}

/// A time as the ctime feature keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: u64,
    /// Nanoseconds on top.
    pub nsec: u64,
}

/// [`MDATA`]: times that all replicas agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mdata {
    /// Of the last change of anything.
    pub ctime: Time,
    /// Of the last change of content.
    pub mtime: Time,
    /// Of the last read.
    pub atime: Time,
}

/// Parses [`MDATA`]: version 1, flags, then ctime, mtime and atime.
#[must_use]
pub fn mdata(bytes: &[u8]) -> Option<Mdata> {
    fn time(input: &[u8]) -> IResult<&[u8], Time> {
        (be_u64, be_u64).map(|(sec, nsec)| Time { sec, nsec }).parse(input)
    }
    let parser = |input| (be_u8, be_u64, time, time, time).parse(input);
    let (version, _, ctime, mtime, atime) = whole(bytes, parser)?;
    (version == 1).then_some(Mdata { ctime, mtime, atime })
}

/// Parses a geo-replication session's `stime` on a brick's root: what was replicated, in seconds since 1970 and a fraction.
#[must_use]
pub fn stime(bytes: &[u8]) -> Option<(u32, u32)> {
    whole(bytes, |input| (be_u32, be_u32).parse(input))
}

/// [`EC_VERSION`] or [`EC_DIRTY`]: two counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EcCounters {
    /// Of changes of a file's content or a directory's names.
    pub data: u64,
    /// Of changes of xattrs, owner, mode and times.
    pub metadata: u64,
}

/// Parses [`EC_VERSION`] or [`EC_DIRTY`].
#[must_use]
pub fn ec_counters(bytes: &[u8]) -> Option<EcCounters> {
    whole(bytes, |input| (be_u64, be_u64).parse(input)).map(|(data, metadata)| EcCounters { data, metadata })
}

/// Parses [`EC_SIZE`]: bytes of the file that the fragments make up.
#[must_use]
pub fn ec_size(bytes: &[u8]) -> Option<u64> {
    whole(bytes, be_u64)
}

/// [`EC_CONFIG`]: how a dispersed file is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EcConfig {
    /// The format's version.
    pub version: u8,
    /// The code; 0 is Gluster's Reed-Solomon code.
    pub algorithm: u8,
    /// Bits in a word of the Galois field.
    pub gf_word_size: u8,
    /// Bricks in the set.
    pub bricks: u8,
    /// How many of them may be lost.
    pub redundancy: u8,
    /// Bytes of a chunk.
    pub chunk_size: u32,
}

/// Parses [`EC_CONFIG`] (ec-helpers.c).
#[must_use]
pub fn ec_config(bytes: &[u8]) -> Option<EcConfig> {
    fn chunk(input: &[u8]) -> IResult<&[u8], u32> {
        take(3_usize)
            .map(|word: &[u8]| word.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
            .parse(input)
    }
    let parser = |input| (be_u8, be_u8, be_u8, be_u8, be_u8, chunk).parse(input);
    let (version, algorithm, gf_word_size, bricks, redundancy, chunk_size) = whole(bytes, parser)?;
    Some(EcConfig { version, algorithm, gf_word_size, bricks, redundancy, chunk_size })
}
