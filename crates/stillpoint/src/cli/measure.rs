//! `measure`.

use clap::Args;

use super::{TableArgs, TellArgs};

#[derive(Debug, Args)]
#[command(after_help = "\
Takes qemu-img's options and writes what it writes; no lock is taken and no key is needed. Backing and data files are
opened only below the image's own directory unless --allow-root or --allow-any widen it.

Examples:
  stillpoint measure -O qcow2 disk.qcow2
  stillpoint measure -O qcow2 -o cluster_size=4k --output json disk.qcow2
  stillpoint measure -O qcow2 -l nightly disk.qcow2
  stillpoint measure -O qcow2 --size 100G")]
pub(crate) struct MeasureArgs {
    #[command(flatten)]
    pub(crate) tell: TellArgs,

    /// The format to convert to: raw or qcow2
    #[arg(short = 'O', long = "target-format", value_name = "FMT", default_value = "raw")]
    pub(crate) target_format: String,

    /// Options of the new image, separated by commas; repeatable
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,

    /// The size of an empty disk, in the place of an image
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) size: Option<String>,

    /// The disk as it was in the snapshot of this id or, if there is none, name
    #[arg(short = 'l', long, value_name = "NAME|ID")]
    pub(crate) snapshot: Option<String>,

    #[command(flatten)]
    pub(crate) tables: TableArgs,

    /// The image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<String>,
}
