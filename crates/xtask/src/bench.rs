//! `cargo xtask bench`: each figure beside a peer's in the same run.

use std::process::ExitCode;

use anyhow::Result;

use crate::shell::Tee;
use crate::workspace::{Workspace, cargo};

/// What `cargo xtask bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Smaller inputs, only the side-by-side runs, and programs that are not optimised across crates.
    #[arg(long)]
    quick: bool,
}

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tee = Tee::create(&workspace.target().join("xtask/logs/bench.log"))?;
    let root = workspace.root();
    let profile = if args.quick { "quick" } else { "release" };
    let build = ["build", "--profile", profile, "--package", "stillpoint", "--package", "stillpoint-benches"];
    tee.run(cargo().current_dir(root).args(build))?;
    let built = workspace.target().join(profile);
    let mut side_by_side = std::process::Command::new(built.join("side-by-side"));
    side_by_side.current_dir(root).arg("--stillpoint").arg(built.join("stillpoint"));
    if args.quick {
        side_by_side.arg("--quick");
    }
    tee.run(&mut side_by_side)?;
    if !args.quick {
        tee.run(cargo().current_dir(root).args(["bench", "--package", "stillpoint-benches"]))?;
    }
    Ok(ExitCode::SUCCESS)
}
