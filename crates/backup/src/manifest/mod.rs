//! What a point's files hold, as digests, so that two sites can be compared without sending data between them.
//!
//! There is a digest for each shard ([`ShardDigest`]), a digest for each file over those ([`FileManifest`]), the files
//! of each disk ([`DiskManifest`]), and all disks of a point ([`Manifest`]).

mod compute;
mod content;
mod digest;
mod model;

pub use compute::{Digested, MOST_SHARDS, ManifestOptions, SETTLING, file_manifest};
pub use digest::{Digest, NotADigest, TrimmedHasher};
pub use model::{DiskManifest, FileManifest, Kind, Layer, Manifest, SCHEMA_VERSION, ShardDigest};
