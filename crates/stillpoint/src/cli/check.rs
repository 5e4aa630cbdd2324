//! `check`.

use clap::Args;

use super::VolumeArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Takes qemu-img's options, counts what it counts, and writes what it writes, messages on stderr included. Neither the
key of an encrypted image nor its backing or data files are needed, and no lock is taken. Nothing is ever repaired.

Exit codes: 0 nothing found, 1 the check could not be made, 2 errors, 3 leaked clusters only, 63 the format has nothing
to check.

--active and --snapshot judge only what that disk reaches, and --explain tells each finding with its place, its cause
and what follows from it.

Examples:
  stillpoint check disk.qcow2
  stillpoint check --output json disk.qcow2
  stillpoint check --snapshot nightly --explain disk.qcow2
  stillpoint check --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2")]
pub(crate) struct CheckArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// The image's format; probed when it isn't given
    #[arg(short, long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,

    /// Judge only what the snapshot of this id or, if there is none, name reaches
    #[arg(long, value_name = "NAME|ID", conflicts_with = "active")]
    pub(crate) snapshot: Option<String>,

    /// Judge only what the active disk reaches
    #[arg(long)]
    pub(crate) active: bool,

    /// Tell each finding with its place, its cause and what follows from it
    #[arg(long)]
    pub(crate) explain: bool,

    /// Taken for compatibility: no image is ever locked
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,

    /// Taken for compatibility: how an image is cached makes no difference here
    #[arg(short = 'T', long, value_name = "MODE")]
    pub(crate) cache: Option<String>,

    /// Taken for compatibility: no key is needed
    #[arg(long, value_name = "OBJDEF")]
    pub(crate) object: Vec<String>,

    /// Refused: nothing is repaired here
    #[arg(short = 'r', long, value_name = "WHAT", hide = true)]
    pub(crate) repair: Option<String>,

    /// Refused: an image is named by its file
    #[arg(long, hide = true)]
    pub(crate) image_opts: bool,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// The image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}
