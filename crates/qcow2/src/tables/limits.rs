//! How large anything may be. Each is QEMU's own limit (version 10: `block/qcow2.h`) unless it says otherwise,
//! so that nothing is accepted here that QEMU refuses for its size.

/// Fewest bits of a cluster: 512 bytes.
pub const MIN_CLUSTER_BITS: u32 = 9;
/// Most bits of a cluster: 2 MiB.
pub const MAX_CLUSTER_BITS: u32 = 21;
/// Fewest bits of a cluster with extended L2 entries: 32 subclusters of at least 512 bytes.
pub const MIN_EXTENDED_L2_CLUSTER_BITS: u32 = 14;
/// Most bits of the width of a refcount: `1 << 6` is 64 bits.
pub const MAX_REFCOUNT_ORDER: u32 = 6;
/// Longest name of a backing file, in bytes.
pub const MAX_BACKING_NAME_LEN: u64 = 1023;
/// Longest name of a backing file's format, in bytes.
pub const MAX_BACKING_FORMAT_LEN: u32 = 15;
/// Most header extensions. Our own limit, QEMU has none: a header's cluster may hold 262,143 empty ones.
pub const MAX_EXTENSIONS: usize = 4096;
/// Largest refcount table, in bytes.
pub const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// Largest L1 table, in bytes.
pub const MAX_L1_BYTES: u64 = 32 << 20;
/// Most snapshots.
pub const MAX_SNAPSHOTS: u32 = 65536;
/// Largest snapshot table, in bytes.
pub const MAX_SNAPSHOT_TABLE_BYTES: u64 = 1024 * MAX_SNAPSHOTS as u64;
/// Most extra data of one snapshot, in bytes.
pub const MAX_SNAPSHOT_EXTRA_LEN: u32 = 1024;
/// Most bitmaps.
pub const MAX_BITMAPS: u32 = 65535;
/// Largest bitmap directory, in bytes.
pub const MAX_BITMAP_DIRECTORY_BYTES: u64 = 1024 * MAX_BITMAPS as u64;
/// Most entries of a bitmap's table.
pub const MAX_BITMAP_TABLE_ENTRIES: u32 = 0x800_0000;
/// Largest bitmap, in bytes of bits.
pub const MAX_BITMAP_BYTES: u64 = 0x2000_0000;
/// Finest and coarsest granularity of a bitmap, in bits: 512 bytes to 2 GiB.
pub const BITMAP_GRANULARITY_BITS: std::ops::RangeInclusive<u8> = 9..=31;
/// Longest name of a bitmap, in bytes.
pub const MAX_BITMAP_NAME_LEN: u16 = 1023;
/// Deepest backing chain unless a caller says otherwise. Our own limit, QEMU has none.
pub const DEFAULT_MAX_DEPTH: usize = 256;
/// Most bytes of L2 tables that are kept of one layer, unless two tables are more. Our own choice.
pub const L2_CACHE_BYTES: u64 = 16 << 20;
/// Bits of the largest window of a compressed cluster's zstd frame: 128 MiB, libzstd's own limit. So much is never
/// held: a decoder's memory grows with what it has made, which is a cluster at most.
pub const MAX_ZSTD_WINDOW_BITS: u8 = 27;
