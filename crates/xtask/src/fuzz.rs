//! `cargo xtask fuzz`: libFuzzer over the parsers, on the stable toolchain.

mod corpus;
mod target;
mod totals;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

pub(crate) use target::{Build, build, run_target, targets};

use crate::lanes::in_lanes;
use crate::programs::CARGO_FUZZ;
use crate::report;
use crate::shell::Tee;
use crate::workspace::Workspace;

/// What `cargo xtask fuzz` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// How many targets run at a time.
    #[arg(long, value_name = "N", default_value = "1")]
    lanes: NonZeroUsize,
    /// Keep what was found worth trying again in fuzz/corpora, and add the time to docs/fuzzing.md.
    #[arg(long)]
    keep: bool,
    /// The ones to run; all of them when there is none.
    targets: Vec<String>,
}

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tee = Tee::create(&workspace.target().join(LOG))?;
    CARGO_FUZZ.ensure(&mut tee)?;
    let all = targets(&workspace)?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target is called {unknown}; there are {}", all.join(", "));
    }
    let chosen = if args.targets.is_empty() { &all } else { &args.targets };
    run_long(
        &workspace,
        &mut tee,
        chosen,
        Long { seconds: args.seconds, lanes: args.lanes.get(), keep: args.keep },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Where a run by itself writes what was said.
const LOG: &str = "xtask/logs/fuzz-only.log";

/// The table of how long each target has run in all, in the repository.
pub(crate) const TOTALS: &str = "docs/fuzzing.md";
/// What runs have kept, in the repository.
pub(crate) const CORPORA: &str = "fuzz/corpora";

/// A run that is meant to find something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Long {
    /// How long each target runs.
    pub(crate) seconds: u64,
    /// How many run at a time.
    pub(crate) lanes: usize,
    /// Whether the corpora and the totals in the book are brought up to date.
    pub(crate) keep: bool,
}

/// What loading a corpus, or making it smaller, may take.
const BESIDES: Duration = Duration::from_secs(30 * 60);

/// Runs `chosen`, each from what all runs before have kept. A crash is an error; what the others did is kept all the same.
pub(crate) fn run_long(workspace: &Workspace, tee: &mut Tee, chosen: &[String], long: Long) -> Result<()> {
    build(workspace, tee, Build::Optimised)?;
    tee.set_limit(Duration::from_secs(long.seconds) + BESIDES);
    let shared = &*tee;
    in_lanes(long.lanes, chosen, |target| {
        let mut lane = shared.lane(target)?;
        corpus::unpack(workspace, &mut lane, target)?;
        run_target(workspace, &mut lane, Build::Optimised, target, long.seconds)?;
        if long.keep {
            corpus::pack(workspace, &mut lane, target)?;
            let done = totals::of(&report::text(lane.path()), target)?;
            totals::add(workspace, target, done)?;
        }
        Ok(())
    })
}
