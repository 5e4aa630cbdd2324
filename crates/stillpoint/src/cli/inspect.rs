//! `inspect`.

use clap::Args;

use super::VolumeArgs;
use super::read::size;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Tells in plain words what an image is, what each of its features means, and what it refers to outside of itself.
Nothing that it names is opened.

With --untrusted it gives a verdict, for services that are handed images by strangers: an image is unsafe if it names
a backing file or a data file, needs what is not known, is damaged, or is not what was asked for. Read from a pipe,
an image of more than 4 MiB is judged by its header and by the L1 and L2 tables in its first 4 MiB; what wasn't looked
at is told.

Exit codes with --untrusted: 0 safe, 1 unsafe or not readable, 3 nothing speaks against it, but not all tables could be
looked at (--header-only makes that 0).

Examples:
  stillpoint inspect disk.qcow2
  stillpoint inspect --untrusted --format qcow2 --max-size 100G upload.qcow2
  curl -s https://example.org/image | stillpoint inspect --untrusted --output json -")]
pub(crate) struct InspectArgs {
    /// Give a verdict over an image of a stranger's, and an exit code
    #[arg(long)]
    pub(crate) untrusted: bool,

    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// The format that the image must be in; either is accepted when it isn't given
    #[arg(short, long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,

    /// The largest disk that is let in; K, M, G and T are powers of 1024
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "untrusted")]
    pub(crate) max_size: Option<u64>,

    /// Judge the header only, and no table
    #[arg(long, requires = "untrusted")]
    pub(crate) header_only: bool,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// The image, or - for stdin; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: String,
}
