//! The schema.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Digest;

/// The version of the schema.
pub const SCHEMA_VERSION: u32 = 1;

/// The key derivation context of a file's digest.
const CONTEXT: &str = "stillpoint 2026-11-23 manifest file digest v1";

/// The key derivation context of the digest over all files.
const MANIFEST_CONTEXT: &str = "stillpoint 2026-11-23 manifest digest v1";

/// What kind of content a [`FileManifest`] is of; hashed into its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A whole file, shard by shard.
    WholeFile,
}

impl Kind {
    /// Its number in the canonical bytes.
    const fn number(self) -> u8 {
        match self {
            Self::WholeFile => 1,
        }
    }
}

/// One shard's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShardDigest {
    /// BLAKE3 over the shard's logical bytes, clipped at the file's size, trailing zeros cut.
    pub digest: Digest,
    /// How many bytes the digest is over: up to and with the last that isn't zero.
    pub length: u64,
    /// How long the shard's file is on the brick, in bytes; `None` where there is none, a hole.
    pub stored: Option<u64>,
}

impl ShardDigest {
    /// A shard that is absent.
    #[must_use]
    pub fn hole() -> Self {
        Self { digest: Digest::of_nothing(), length: 0, stored: None }
    }
}

/// One file of a volume: the digests of all its shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileManifest {
    /// The path from the volume's root on, or `gfid:…` as the caller named it.
    pub path: String,
    /// What it is of.
    pub kind: Kind,
    /// The file's identity, the same at both sites.
    pub gfid: Uuid,
    /// The logical size in bytes.
    pub size: u64,
    /// The shard size in bytes; for a file that isn't sharded, its size.
    pub shard_size: u64,
    /// For each index, from 0 on.
    pub shards: Vec<ShardDigest>,
    /// The file's digest, as [`FileManifest::computed_digest`] has it.
    pub digest: Digest,
    /// How many bytes were read for it.
    pub bytes_read: u64,
    /// What a rule or word of the caller's decided, where the bricks prove nothing: copies in split-brain, a size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

impl FileManifest {
    /// The digest over the canonical bytes: version (u32), kind (u8), gfid (16 bytes), size, shard size, count (u64
    /// each), then every shard's digest (32 bytes), all numbers big-endian, in BLAKE3's `derive_key` mode under the
    /// context `stillpoint 2026-11-23 manifest file digest v1`. Where the file lies and how shards are
    /// stored isn't part of it.
    #[must_use]
    pub fn computed_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&SCHEMA_VERSION.to_be_bytes());
        hasher.update(&[self.kind.number()]);
        hasher.update(self.gfid.as_bytes());
        for number in [self.size, self.shard_size, self.shards.len() as u64] {
            hasher.update(&number.to_be_bytes());
        }
        for shard in &self.shards {
            hasher.update(shard.digest.as_bytes());
        }
        hasher.finalize().into()
    }
}

/// One file of a disk's chain, as one site has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Layer {
    /// What it holds.
    Found(FileManifest),
    /// The site doesn't have it, or nothing there can be read as it.
    Missing {
        /// The path from the volume's root on.
        path: String,
        /// What was said when it was looked for.
        reason: String,
    },
}

/// A disk of a machine: its base and every layer below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskManifest {
    /// The domain's UUID; `None` for a file that is compared by itself.
    pub domain: Option<Uuid>,
    /// The disk's target name, such as `vda`; `None` for a file that is compared by itself.
    pub target: Option<String>,
    /// The base, then what it is backed by, down to the last layer.
    pub layers: Vec<Layer>,
}

/// All disks of a point, as one site has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The disks.
    pub disks: Vec<DiskManifest>,
}

impl Manifest {
    /// The digest over the digests of all layers of all disks, in order. A missing layer counts as nothing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key(MANIFEST_CONTEXT);
        for disk in &self.disks {
            hasher.update(&(disk.layers.len() as u64).to_be_bytes());
            for layer in &disk.layers {
                let digest = match layer {
                    Layer::Found(file) => file.digest,
                    Layer::Missing { .. } => Digest::of_nothing(),
                };
                hasher.update(digest.as_bytes());
            }
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FileManifest {
        let mut manifest = FileManifest {
            path: "vm1/vda.qcow2".to_owned(),
            kind: Kind::WholeFile,
            gfid: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
            size: 9 << 20,
            shard_size: 4 << 20,
            shards: vec![
                ShardDigest { digest: blake3::hash(b"one").into(), length: 3, stored: Some(4 << 20) },
                ShardDigest::hole(),
                ShardDigest { digest: blake3::hash(b"two").into(), length: 3, stored: Some(3) },
            ],
            digest: Digest::of_nothing(),
            bytes_read: 6,
            choices: Vec::new(),
        };
        manifest.digest = manifest.computed_digest();
        manifest
    }

    #[test]
    fn the_canonical_digest_is_pinned() {
        let manifest = sample();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0, 0, 0, 1, 1]);
        bytes.extend_from_slice(&0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes());
        bytes.extend_from_slice(&(9u64 << 20).to_be_bytes());
        bytes.extend_from_slice(&(4u64 << 20).to_be_bytes());
        bytes.extend_from_slice(&3u64.to_be_bytes());
        bytes.extend_from_slice(blake3::hash(b"one").as_bytes());
        bytes.extend_from_slice(blake3::hash(b"").as_bytes());
        bytes.extend_from_slice(blake3::hash(b"two").as_bytes());
        assert_eq!(manifest.digest.as_bytes(), &blake3::derive_key(CONTEXT, &bytes));
    }

    #[test]
    fn every_field_that_identifies_content_changes_the_digest() {
        let original = sample();
        let mut changed = Vec::new();
        for change in [
            |m: &mut FileManifest| m.gfid = Uuid::nil(),
            |m: &mut FileManifest| m.size += 1,
            |m: &mut FileManifest| m.shard_size += 1,
            |m: &mut FileManifest| m.shards.swap(0, 2),
            |m: &mut FileManifest| m.shards.push(ShardDigest::hole()),
        ] {
            let mut manifest = sample();
            change(&mut manifest);
            changed.push(manifest.computed_digest());
        }
        assert!(!changed.contains(&original.digest));
        changed.dedup();
        assert_eq!(changed.len(), 5);
    }

    #[test]
    fn it_reads_back_from_json_and_unknown_fields_are_refused() {
        let manifest = sample();
        let text = serde_json::to_string(&manifest).expect("plain data");
        assert_eq!(serde_json::from_str::<FileManifest>(&text).expect("just written"), manifest);
        let more = text.replacen('{', "{\"surprise\":1,", 1);
        assert!(serde_json::from_str::<FileManifest>(&more).is_err());
    }
}
