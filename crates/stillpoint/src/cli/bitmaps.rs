//! `bitmaps`.

use clap::Args;

use super::VolumeArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Lists the persistent dirty bitmaps and how much each holds, and with --ranges which parts of the guest's disk. What is
stored of a bitmap in use, or of one that was not saved, can't be believed: it is listed, but its bits are not told.
One file is opened, no key is needed, and no lock is taken. Exits 3 when bits that were asked for can't be told.

Examples:
  stillpoint bitmaps disk.qcow2
  stillpoint bitmaps --ranges --bitmap nightly disk.qcow2
  stillpoint bitmaps --ranges --output json --brick /bricks/b0 --brick /bricks/b1 vm1/disk.qcow2")]
pub(crate) struct BitmapsArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// Tell the dirty ranges, offset and length in bytes
    #[arg(long)]
    pub(crate) ranges: bool,

    /// Only the bitmap of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) bitmap: Option<String>,

    /// The image's format; probed when it isn't given
    #[arg(short, long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,

    /// Taken for compatibility: no image is ever locked
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// The image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}
