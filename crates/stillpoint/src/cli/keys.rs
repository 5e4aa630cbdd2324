//! Keys of encrypted images.

use std::path::PathBuf;

use clap::Args;

/// What opens encrypted images. Each passphrase is tried on each of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArgs {
    /// A passphrase as qemu-img takes it: secret,id=ID,file=PATH or secret,id=ID,data=TEXT, which others can see;
    /// repeatable. Whatever its id, it is tried on every encrypted image
    #[arg(long, value_name = "OBJDEF")]
    pub(crate) object: Vec<String>,

    /// A file that holds a passphrase; one line feed at its end is no part of it; repeatable
    #[arg(long, value_name = "FILE", env = "STILLPOINT_PASSPHRASE_FILE", value_delimiter = ':')]
    pub(crate) passphrase_file: Vec<PathBuf>,
}
