//! The targets: one file each in `fuzz/fuzz_targets`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::corpus;
use crate::shell::Tee;
use crate::workspace::{Workspace, cargo};

/// How targets are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// For running long: builds in minutes, and is several times as fast.
    Optimised,
    /// For a few seconds of running.
    Quick,
}

impl Build {
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Optimised => &[],
            Self::Quick => &["--dev"],
        }
    }
}

/// The names of all targets.
pub(crate) fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let dir = workspace.root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("can't read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds all targets, which run one by one later.
pub(crate) fn build(workspace: &Workspace, tee: &mut Tee, build: Build) -> Result<()> {
    let target_dir = workspace.target().join("fuzz");
    let mut command = cargo_fuzz(workspace);
    tee.run(command.args(["fuzz", "build"]).args(build.options()).arg("--target-dir").arg(target_dir))
}

pub(super) fn cargo_fuzz(workspace: &Workspace) -> Command {
    in_fuzz(workspace, cargo())
}

fn in_fuzz(workspace: &Workspace, mut command: Command) -> Command {
    // The sanitizers' flags are unstable ones; the rest of the project builds without this.
    command.current_dir(workspace.root().join("fuzz")).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs one target for `seconds`, from its seeds and what earlier runs found, and has the shell tell the processor's
/// time at the end. A crash is an error that says where its input lies.
pub(crate) fn run_target(
    workspace: &Workspace,
    tee: &mut Tee,
    build: Build,
    target: &str,
    seconds: u64,
) -> Result<()> {
    let corpus = corpus::dir(workspace, target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("can't make {}", corpus.display()))?;
    let seeds = workspace.root().join("fuzz/seeds").join(target);
    let mut command = in_fuzz(workspace, Command::new("sh"));
    command
        .args(["-c", "\"$@\"; status=$?; times; exit $status", "sh"])
        .arg(cargo().get_program())
        .args(["fuzz", "run"])
        .args(build.options())
        .arg("--target-dir")
        .arg(workspace.target().join("fuzz"))
        .arg(target)
        .arg(&corpus)
        .args(Some(seeds).filter(|dir| Path::is_dir(dir)))
        .args(["--", &format!("-max_total_time={seconds}"), "-timeout=25", "-rss_limit_mb=2048"])
        // Long inputs from the start: what is built of one is only as damaged as the input is long.
        .args(["-len_control=0", "-verbosity=0", "-print_final_stats=1"]);
    tee.run(&mut command)
        .with_context(|| format!("fuzz target {target} found something (fuzz/artifacts/{target})"))
}
