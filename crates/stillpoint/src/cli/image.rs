//! What several commands over images take.

use clap::Args;

use super::{AllowArgs, KeyArgs, VolumeArgs};
use crate::output::Format;

/// How a command of qemu-img's that reads only tables writes what it tells, and of what.
#[derive(Debug, Args)]
pub(crate) struct TellArgs {
    /// How to write it
    #[arg(long, value_name = "human|json", default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// The image's format; probed when it isn't given
    #[arg(short, long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,
}

/// What commands over an image's tables open, and options of qemu-img's that make no difference to them.
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// Taken for compatibility: no image is ever locked
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,

    /// Taken for compatibility: no key is needed
    #[arg(long, value_name = "OBJDEF")]
    pub(crate) object: Vec<String>,

    /// Refused: an image is named by its file
    #[arg(long, hide = true)]
    pub(crate) image_opts: bool,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,
}

/// What commands over a disk's bytes open, and with which keys.
#[derive(Debug, Args)]
pub(crate) struct DiskArgs {
    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    #[command(flatten)]
    pub(crate) keys: KeyArgs,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,
}
