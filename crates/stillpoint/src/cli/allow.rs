//! What an image may name.

use std::path::PathBuf;

use clap::Args;

/// Where backing and data files may be.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AllowArgs {
    /// Also open what an image names below this directory; repeatable
    #[arg(long, value_name = "DIR", env = "STILLPOINT_ALLOW_ROOT", value_delimiter = ':')]
    pub(crate) allow_root: Vec<PathBuf>,

    /// Open whatever an image names, wherever it is
    #[arg(long)]
    pub(crate) allow_any: bool,
}
