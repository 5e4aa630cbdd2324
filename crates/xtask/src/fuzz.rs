//! `cargo xtask fuzz`: libFuzzer over the parsers, on the stable toolchain.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::programs::CARGO_FUZZ;
use crate::shell::Tee;
use crate::workspace::{Workspace, cargo};

/// What `cargo xtask fuzz` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// The one to run; all of them when there is none.
    target: Option<String>,
}

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tee = Tee::create(&workspace.target().join("xtask/logs/fuzz-only.log"))?;
    CARGO_FUZZ.ensure(&mut tee)?;
    let all = targets(&workspace)?;
    let chosen: Vec<&String> = match &args.target {
        None => all.iter().collect(),
        Some(name) => match all.iter().find(|target| *target == name) {
            Some(target) => vec![target],
            None => bail!("no fuzz target is called {name}; there are {}", all.join(", ")),
        },
    };
    for target in chosen {
        run_target(&workspace, &mut tee, Build::Optimised, target, args.seconds)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How targets are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// For running long: builds in minutes, and is several times as fast.
    Optimised,
    /// For a few seconds of running.
    Quick,
}

impl Build {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Optimised => &[],
            Self::Quick => &["--dev"],
        }
    }
}

/// The names of all targets: one file each.
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

fn cargo_fuzz(workspace: &Workspace) -> Command {
    let mut command = cargo();
    // The sanitizers' flags are unstable ones; the rest of the project builds without this.
    command.current_dir(workspace.root().join("fuzz")).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs one target for `seconds`, from its seeds and what earlier runs found. A crash is an error that says where
/// its input lies.
pub(crate) fn run_target(
    workspace: &Workspace,
    tee: &mut Tee,
    build: Build,
    target: &str,
    seconds: u64,
) -> Result<()> {
    let corpus: PathBuf = workspace.target().join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("can't make {}", corpus.display()))?;
    let seeds: PathBuf = workspace.root().join("fuzz/seeds").join(target);
    let mut command = cargo_fuzz(workspace);
    command
        .args(["fuzz", "run"])
        .args(build.options())
        .arg("--target-dir")
        .arg(workspace.target().join("fuzz"))
        .arg(target)
        .arg(&corpus)
        .args(Some(seeds).filter(|dir| Path::is_dir(dir)))
        .args(["--", &format!("-max_total_time={seconds}"), "-timeout=25", "-rss_limit_mb=2048"])
        .args(["-verbosity=0", "-print_final_stats=1"]);
    tee.run(&mut command)
        .with_context(|| format!("fuzz target {target} found something (fuzz/artifacts/{target})"))
}
