//! The header.

use super::bytes::Out;

/// Where the header's fields are, in bytes, for [`ImageBuilder::patch`](super::ImageBuilder::patch).
pub mod offset {
    /// Version, 32 bits.
    pub const VERSION: u64 = 4;
    /// Offset of the backing file's name, 64 bits.
    pub const BACKING_OFFSET: u64 = 8;
    /// Length of that name, 32 bits.
    pub const BACKING_LEN: u64 = 16;
    /// log2 of the cluster size, 32 bits.
    pub const CLUSTER_BITS: u64 = 20;
    /// Virtual size, 64 bits.
    pub const SIZE: u64 = 24;
    /// Encryption method, 32 bits.
    pub const CRYPT_METHOD: u64 = 32;
    /// Entries of the L1 table, 32 bits.
    pub const L1_SIZE: u64 = 36;
    /// Offset of the L1 table, 64 bits.
    pub const L1_OFFSET: u64 = 40;
    /// Offset of the refcount table, 64 bits.
    pub const REFCOUNT_OFFSET: u64 = 48;
    /// Clusters of the refcount table, 32 bits.
    pub const REFCOUNT_CLUSTERS: u64 = 56;
    /// Number of snapshots, 32 bits.
    pub const SNAPSHOTS: u64 = 60;
    /// Offset of the snapshot table, 64 bits.
    pub const SNAPSHOTS_OFFSET: u64 = 64;
    /// Incompatible features, 64 bits.
    pub const INCOMPATIBLE: u64 = 72;
    /// Compatible features, 64 bits.
    pub const COMPATIBLE: u64 = 80;
    /// Autoclear features, 64 bits.
    pub const AUTOCLEAR: u64 = 88;
    /// log2 of the refcount width, 32 bits.
    pub const REFCOUNT_ORDER: u64 = 96;
    /// Length of the header, 32 bits.
    pub const HEADER_LENGTH: u64 = 100;
    /// Compression type, 8 bits.
    pub const COMPRESSION: u64 = 104;
}

/// The header's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSpec {
    /// Version.
    pub version: u32,
    /// Offset of the backing file's name, in bytes.
    pub backing_offset: u64,
    /// Its length in bytes.
    pub backing_len: u32,
    /// log2 of the cluster size.
    pub cluster_bits: u32,
    /// Virtual size in bytes.
    pub size: u64,
    /// Encryption method.
    pub crypt_method: u32,
    /// Entries of the L1 table.
    pub l1_size: u32,
    /// Its offset in bytes.
    pub l1_offset: u64,
    /// Offset of the refcount table in bytes.
    pub refcount_offset: u64,
    /// Its length in clusters.
    pub refcount_clusters: u32,
    /// Number of snapshots.
    pub snapshots: u32,
    /// Offset of their table in bytes.
    pub snapshots_offset: u64,
    /// Incompatible features.
    pub incompatible: u64,
    /// Compatible features.
    pub compatible: u64,
    /// Autoclear features.
    pub autoclear: u64,
    /// log2 of the refcount width in bits.
    pub refcount_order: u32,
    /// Length of the header in bytes.
    pub header_length: u32,
    /// Compression type.
    pub compression_type: u8,
}

impl Default for HeaderSpec {
    fn default() -> Self {
        Self {
            version: 3,
            backing_offset: 0,
            backing_len: 0,
            cluster_bits: 16,
            size: 1 << 20,
            crypt_method: 0,
            l1_size: 0,
            l1_offset: 0,
            refcount_offset: 0,
            refcount_clusters: 0,
            snapshots: 0,
            snapshots_offset: 0,
            incompatible: 0,
            compatible: 0,
            autoclear: 0,
            refcount_order: 4,
            header_length: 112,
            compression_type: 0,
        }
    }
}

impl HeaderSpec {
    /// The header's bytes: 72 of version 2, 104 or 112 of version 3.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.bytes(b"QFI\xfb").u32(self.version).u64(self.backing_offset).u32(self.backing_len);
        out.u32(self.cluster_bits).u64(self.size).u32(self.crypt_method).u32(self.l1_size);
        out.u64(self.l1_offset).u64(self.refcount_offset).u32(self.refcount_clusters);
        out.u32(self.snapshots).u64(self.snapshots_offset);
        if self.version >= 3 {
            out.u64(self.incompatible).u64(self.compatible).u64(self.autoclear);
            out.u32(self.refcount_order).u32(self.header_length);
            if self.header_length > 104 {
                out.u8(self.compression_type).pad8();
            }
        }
        out.0
    }
}
