//! What only images of one format have.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// What only images of one format have, told apart by `type`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Tagged")]
#[non_exhaustive]
pub enum FormatSpecific {
    /// Of a qcow2 image.
    Qcow2(Box<Qcow2Info>),
    /// Of a local file.
    File(FileInfo),
    /// Of anything else, as it is. Never made here; qemu-img's output may have it.
    Other {
        /// The name of the format.
        kind: String,
        /// Its facts.
        data: Value,
    },
}

/// The form in which it is read.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    kind: String,
    data: Value,
}

impl TryFrom<Tagged> for FormatSpecific {
    type Error = serde_json::Error;

    fn try_from(tagged: Tagged) -> Result<Self, serde_json::Error> {
        Ok(match tagged.kind.as_str() {
            "qcow2" => Self::Qcow2(serde_json::from_value(tagged.data)?),
            "file" => Self::File(serde_json::from_value(tagged.data)?),
            _ => Self::Other { kind: tagged.kind, data: tagged.data },
        })
    }
}

impl Serialize for FormatSpecific {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tagged = serializer.serialize_struct("FormatSpecific", 2)?;
        match self {
            Self::Qcow2(data) => {
                tagged.serialize_field("type", "qcow2")?;
                tagged.serialize_field("data", data)?;
            }
            Self::File(data) => {
                tagged.serialize_field("type", "file")?;
                tagged.serialize_field("data", data)?;
            }
            Self::Other { kind, data } => {
                tagged.serialize_field("type", kind)?;
                tagged.serialize_field("data", data)?;
            }
        }
        tagged.end()
    }
}

/// Of a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Qcow2Info {
    /// The oldest QEMU that opens it: `0.10` for version 2, `1.1` for version 3.
    pub compat: String,
    /// What compressed clusters are compressed with: `zlib` or `zstd`. QEMU tells it since 5.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<String>,
    /// Whether refcounts are brought up to date late; of version 3 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lazy_refcounts: Option<bool>,
    /// Persistent bitmaps; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitmaps: Option<Vec<BitmapInfo>>,
    /// Width of a refcount in bits: 1 to 64.
    pub refcount_bits: u32,
    /// Name of the external data file, as the image tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_file: Option<String>,
    /// How guest data is encrypted; absent when it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<EncryptionInfo>,
    /// Whether the external data file read by itself is the disk; absent without such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_file_raw: Option<bool>,
    /// Whether QEMU marked the image as damaged; of version 3 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<bool>,
    /// Whether clusters have subclusters; of version 3 only. QEMU tells it since 5.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_l2: Option<bool>,
}

/// A persistent bitmap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BitmapInfo {
    /// Its flags, in this order: `in-use`, `auto`.
    pub flags: Vec<BitmapFlag>,
    /// Its name.
    pub name: String,
    /// How many bytes of the guest's disk a bit stands for.
    pub granularity: u64,
}

/// A flag of a persistent bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BitmapFlag {
    /// It was not saved when the image was last open: its bits can't be believed.
    InUse,
    /// Writes by the guest are recorded in it.
    Auto,
}

/// How guest data is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum EncryptionInfo {
    /// With LUKS.
    Luks(Box<LuksInfo>),
    /// In another way.
    Other {
        /// Its name: `aes`.
        format: String,
    },
}

/// What a LUKS header says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct LuksInfo {
    /// How a sector's initialisation vector is made: `plain64`, `plain` or `essiv`.
    pub ivgen_alg: String,
    /// Whether the header is in a file of its own: never in a qcow2 image. QEMU tells it since 9.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached_header: Option<bool>,
    /// Hash of the key's derivation.
    pub hash_alg: String,
    /// Cipher with the length of its key in bits: `aes-256`.
    pub cipher_alg: String,
    /// UUID.
    pub uuid: String,
    /// Hash of the vector's making, with `essiv` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ivgen_hash_alg: Option<String>,
    /// `luks`.
    pub format: String,
    /// Mode of the cipher: `xts`, `cbc`, `ecb` or `ctr`.
    pub cipher_mode: String,
    /// The eight key slots.
    pub slots: Vec<LuksSlotInfo>,
    /// Where a LUKS volume's data would begin, in bytes from the LUKS header.
    pub payload_offset: u64,
    /// Iterations of the master key's digest.
    pub master_key_iters: u32,
}

/// A key slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct LuksSlotInfo {
    /// Whether it holds a key.
    pub active: bool,
    /// Iterations of the passphrase's derivation; of an active slot only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iters: Option<u32>,
    /// Where its key material begins, in bytes from the LUKS header.
    pub key_offset: u64,
    /// Anti-forensic stripes; of an active slot only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripes: Option<u32>,
}

/// Of a local file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct FileInfo {
    /// How many bytes the file system is asked to allocate at once (XFS). Never filled in here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent_size_hint: Option<u64>,
}
