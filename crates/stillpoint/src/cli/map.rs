//! `map`.

use clap::Args;

use super::{TableArgs, TellArgs};

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Takes qemu-img's options and writes what it writes; no lock is taken and no key is needed. For people only data is told
that lies somewhere as it is; an image with other data ends with an error, and '--output json' tells everything.

Backing and data files are opened only below the image's own directory unless --allow-root or --allow-any widen it.

Examples:
  stillpoint map disk.qcow2
  stillpoint map --output json --start-offset 1G --max-length 64M disk.qcow2
  stillpoint map --output json --snapshot nightly disk.qcow2
  stillpoint map --one-layer --output json overlay.qcow2
  stillpoint map --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2")]
pub(crate) struct MapArgs {
    #[command(flatten)]
    pub(crate) tell: TellArgs,

    /// Begin at this byte of the disk; K, M, G and T are powers of 1024
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub(crate) start_offset: Option<String>,

    /// End after so many bytes
    #[arg(short = 'l', long, value_name = "LENGTH", allow_hyphen_values = true)]
    pub(crate) max_length: Option<String>,

    /// The disk as it was in the snapshot of this id or, if there is none, name
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) snapshot: Option<String>,

    /// Only the image itself, not its backing files
    #[arg(long)]
    pub(crate) one_layer: bool,

    #[command(flatten)]
    pub(crate) tables: TableArgs,

    /// The image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}
