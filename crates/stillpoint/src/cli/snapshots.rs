//! `snapshots`.

use clap::Args;

use super::VolumeArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Lists the internal snapshots as 'qemu-img snapshot -l' does; the JSON has all that is stored of each: sizes of the disk
and the VM state, and where its table is. One file is opened, no key is needed, and no lock is taken. What a snapshot
holds, 'map', 'check', 'compare' and 'extract' with --snapshot tell.

Examples:
  stillpoint snapshots disk.qcow2
  stillpoint snapshots --output json disk.qcow2
  stillpoint snapshots --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2")]
pub(crate) struct SnapshotsArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

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
