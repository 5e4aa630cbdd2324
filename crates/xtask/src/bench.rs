//! `cargo xtask bench`: each figure beside a peer's in the same run.

use std::process::ExitCode;

use anyhow::Result;

use crate::shell::Tee;
use crate::workspace::{Workspace, cargo};

/// What `cargo xtask bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Smaller inputs, and only the side-by-side runs.
    #[arg(long)]
    quick: bool,
}

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tee = Tee::create(&workspace.target().join("xtask/logs/bench.log"))?;
    let root = workspace.root();
    let build = ["build", "--release", "--package", "stillpoint", "--package", "stillpoint-benches"];
    tee.run(cargo().current_dir(root).args(build))?;
    let mut side_by_side = std::process::Command::new(workspace.target().join("release/side-by-side"));
    side_by_side.current_dir(root).arg("--stillpoint").arg(workspace.target().join("release/stillpoint"));
    if args.quick {
        side_by_side.arg("--quick");
    }
    tee.run(&mut side_by_side)?;
    if !args.quick {
        tee.run(cargo().current_dir(root).args(["bench", "--package", "stillpoint-benches"]))?;
    }
    Ok(ExitCode::SUCCESS)
}
