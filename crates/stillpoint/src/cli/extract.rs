//! `extract`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::DiskArgs;
use crate::output::Format;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiskFormat {
    /// The bytes of the disk as they are.
    Raw,
    /// A qcow2 image with nothing below it.
    Qcow2,
}

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionType {
    /// Deflate.
    Zlib,
    /// Zstandard.
    Zstd,
}

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
The guest's disk, through all backing files, as a file of its own. What reads as zeros stays a hole. On a file system
that can, the new file shares blocks with the old one. All that goes through this program is read again and compared
as it is written; --verify compares the whole new disk with the old one, too. OUT appears only once it is complete
and on disk. What the image names is opened only below its own directory unless --allow-root or --allow-any widen it.

Examples:
  stillpoint extract disk.qcow2 disk.raw
  stillpoint extract --snapshot nightly disk.qcow2 nightly.raw
  stillpoint extract -O qcow2 -c --compression-type zstd --verify disk.qcow2 small.qcow2
  stillpoint extract --snapshot nightly --vmstate disk.qcow2 nightly.vmstate
  stillpoint extract --lenient --output json torn.qcow2 what-is-left.raw
  stillpoint extract --passphrase-file key.txt encrypted.qcow2 disk.raw
  stillpoint extract --brick /bricks/b0 --brick /bricks/b1 vm1/disk.qcow2 /restore/disk.raw")]
pub(crate) struct ExtractArgs {
    /// The image's format; probed when it isn't given
    #[arg(short, long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,

    /// What to write
    #[arg(short = 'O', long = "target-format", value_enum, value_name = "FMT", default_value = "raw")]
    pub(crate) target_format: DiskFormat,

    /// Take the disk from the snapshot of this id or, if there is none, name
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) snapshot: Option<String>,

    /// Write the snapshot's VM state instead of its disk
    #[arg(long, requires = "snapshot", conflicts_with_all = ["target_format", "compress", "verify"])]
    pub(crate) vmstate: bool,

    /// Compress the clusters of a qcow2 image
    #[arg(short, long)]
    pub(crate) compress: bool,

    /// How they are compressed
    #[arg(long, value_enum, default_value = "zlib", requires = "compress")]
    pub(crate) compression_type: CompressionType,

    /// The cluster size of a qcow2 image: a power of two from 512 to 2M
    #[arg(long, value_name = "SIZE", value_parser = cluster_bits, default_value = "64k")]
    pub(crate) cluster_size: u32,

    /// Compare the whole new disk with the old one before it gets its name
    #[arg(long)]
    pub(crate) verify: bool,

    /// Go on past damage and missing backing files: what can't be read becomes zeros, and is listed with the reason. Exits
    /// 3 when there was any
    #[arg(long, conflicts_with_all = ["target_format", "compress", "verify", "vmstate"])]
    pub(crate) lenient: bool,

    /// Replace OUT if it exists
    #[arg(long)]
    pub(crate) force: bool,

    /// How to tell what was done
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// Taken for compatibility: no image is ever locked
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,

    #[command(flatten)]
    pub(crate) disk: DiskArgs,

    /// The image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "IMAGE")]
    pub(crate) file: String,

    /// The file to write
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
}

/// log2 of a cluster size.
fn cluster_bits(text: &str) -> Result<u32, String> {
    let size = super::read::size(text)?;
    if size.is_power_of_two() && (512..=2 << 20).contains(&size) {
        Ok(size.trailing_zeros())
    } else {
        Err("a cluster has 512 bytes, 1k, 2k, and so on, up to 2M".to_owned())
    }
}
