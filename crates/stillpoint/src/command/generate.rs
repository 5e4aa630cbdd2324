//! `stillpoint generate`: man pages and completions from the one definition of the command line.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::cli::{Cli, Generate, GenerateArgs};
use crate::exit::Exit;
use crate::output;

pub(crate) fn run(args: &GenerateArgs) -> Result<Exit> {
    match &args.what {
        Generate::Man { dir } => {
            std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
            clap_mangen::generate_to(Cli::command(), dir)
                .with_context(|| format!("can't write man pages to {}", dir.display()))?;
        }
        Generate::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "stillpoint", &mut text);
            output::print(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(Exit::Done)
}
