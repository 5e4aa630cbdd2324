//! `compare`.

use clap::Args;

use super::DiskArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Takes qemu-img's options and writes what it writes. No locks are taken, so it is as 'qemu-img compare -U'. What the
images name is opened only below each image's own directory unless --allow-root or --allow-any widen it.

Exit codes: 0 the same, 1 they differ (or the command line was wrong), 2 an image could not be opened, 3 its tables
could not be read, 4 its data could not be read.

--ranges lists every range that differs; with it or --output json, what is written is our own.

Examples:
  stillpoint compare old.qcow2 new.raw
  stillpoint compare -s -f qcow2 -F qcow2 a.qcow2 b.qcow2
  stillpoint compare --ranges --a-snapshot nightly disk.qcow2 disk.qcow2
  stillpoint compare --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2 vm2/disk.qcow2")]
pub(crate) struct CompareArgs {
    /// The first image's format; probed when it isn't given
    #[arg(short = 'f', long, value_name = "FMT")]
    pub(crate) a_format: Option<String>,

    /// The second image's format; probed when it isn't given
    #[arg(short = 'F', long, value_name = "FMT")]
    pub(crate) b_format: Option<String>,

    /// Compare the sizes, and how the disks are stored, too
    #[arg(short, long)]
    pub(crate) strict: bool,

    /// Show on stdout how far it is
    #[arg(short, long)]
    pub(crate) progress: bool,

    /// Take the first image's disk from the snapshot of this id or, if there is none, name
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) a_snapshot: Option<String>,

    /// Take the second image's disk from the snapshot of this id or, if there is none, name
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) b_snapshot: Option<String>,

    /// List every range that differs
    #[arg(long, conflicts_with_all = ["strict", "progress"])]
    pub(crate) ranges: bool,

    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// Taken for compatibility: no image is ever locked
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,

    /// Taken for compatibility: how images are cached makes no difference here
    #[arg(short = 'T', long, value_name = "MODE")]
    pub(crate) cache: Option<String>,

    /// Refused: images are named by their files
    #[arg(long, hide = true)]
    pub(crate) image_opts: bool,

    #[command(flatten)]
    pub(crate) disk: DiskArgs,

    /// The first image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE1")]
    pub(crate) first: String,

    /// The second image, likewise
    #[arg(value_name = "FILE2")]
    pub(crate) second: String,
}
