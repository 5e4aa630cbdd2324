//! The fields, in the order in which qemu-img prints them.

use serde::{Deserialize, Serialize};

use super::specific::FormatSpecific;

/// An image, or the file that it is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ImageInfo {
    /// The backing image's own facts. `qemu-img info` never has it; other users of the schema do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backing_image: Option<Box<Self>>,
    /// Whether the image as a whole is compressed. No format that is read here has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<bool>,
    /// What the image is in: for an image, one child `file`; for that file, none.
    #[serde(default)]
    pub children: Vec<ChildInfo>,
    /// Format of the backing file, as the image tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backing_filename_format: Option<String>,
    /// Internal snapshots; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Vec<SnapshotInfo>>,
    /// Size of the disk in bytes, a multiple of 512; for a file, its length rounded up to that.
    pub virtual_size: u64,
    /// Its name, as it was given.
    pub filename: String,
    /// Size of a cluster in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_size: Option<u64>,
    /// `qcow2`, `raw`, or, for the file itself, `file`.
    pub format: String,
    /// Bytes allocated where the file is kept; absent where that can't be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_size: Option<u64>,
    /// What only images of this format have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_specific: Option<FormatSpecific>,
    /// The backing file's name, put behind the image's directory where it is relative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_backing_filename: Option<String>,
    /// `true` when the guest's data is encrypted; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// The backing file's name, as the image tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backing_filename: Option<String>,
    /// Whether the image was not closed.
    #[serde(default)]
    pub dirty_flag: bool,
}

/// A child of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its role: `file`.
    pub name: String,
    /// Its own facts.
    pub info: ImageInfo,
}

/// An internal snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Instructions that the guest had run; absent where they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icount: Option<i64>,
    /// The part of the guest's running time below a second, in nanoseconds.
    pub vm_clock_nsec: u64,
    /// Name; QEMU keeps its first 255 bytes.
    pub name: String,
    /// When it was taken, seconds since 1970-01-01 UTC.
    pub date_sec: u64,
    /// The nanoseconds of that time.
    pub date_nsec: u64,
    /// How long the guest had run, in whole seconds.
    pub vm_clock_sec: u64,
    /// Id; QEMU keeps its first 127 bytes.
    pub id: String,
    /// Size of the VM state in bytes. Signed as in QEMU's schema: a size of 2^63 or more shows as negative.
    pub vm_state_size: i64,
}
