//! `cargo xtask test`: everything that must hold, step by step.

mod full;
mod lab;
mod package;
mod steps;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::report::{self, Outcome, Row};
use crate::shell::Tee;
use crate::workspace::Workspace;

/// What `cargo xtask test` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Add the long runs: wide matrices and longer fuzzing. Steps that passed on this very commit before are
    /// not run again.
    #[arg(long)]
    full: bool,
    /// Run these steps only (names from --list).
    #[arg(long, value_name = "STEP", num_args = 1..)]
    only: Vec<String>,
    /// Go on after a step that failed.
    #[arg(long)]
    keep_going: bool,
    /// Count a step whose programs or rights are missing here as not run, not as failed.
    #[arg(long)]
    allow_missing: bool,
    /// Print the steps and do nothing.
    #[arg(long)]
    list: bool,
}

/// How long one command of a full run may take.
const FULL_LIMIT: Duration = Duration::from_secs(12 * 3600);

/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";

/// Whether tests' files fit, with some to spare for what else the memory is for.
fn has_room(directory: &str) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= 8 << 30)
}

/// One thing that is checked.
#[derive(Debug)]
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Context<'_>) -> Result<Outcome>,
}

/// What a step works with.
#[derive(Debug)]
struct Context<'a> {
    workspace: &'a Workspace,
    tee: Tee,
    full: bool,
    allow_missing: bool,
    notes: Vec<String>,
}

impl Context<'_> {
    /// A command in the workspace's root that fails the step when it fails.
    fn run(&mut self, command: &mut Command) -> Result<()> {
        command.current_dir(self.workspace.root());
        self.tee.run(command)
    }

    /// Tests fail, not skip, where a program that they compare with is missing; and widen with --full.
    fn test_settings(&self) -> Vec<(&'static str, &'static str)> {
        let mut envs = Vec::new();
        if !self.allow_missing {
            envs.push(("STILLPOINT_REQUIRE_ORACLES", "1"));
        }
        if self.full {
            envs.push(("STILLPOINT_FULL", "1"));
        }
        envs
    }

    /// The same for tests that make and remove thousands of small files: these are in memory where there is room, since a
    /// disk's file system spends more on them than the tests do.
    fn small_test_settings(&self) -> Vec<(&'static str, &'static str)> {
        let mut envs = self.test_settings();
        if std::env::var_os("TMPDIR").is_none() && has_room(MEMORY) {
            envs.push(("TMPDIR", MEMORY));
        }
        envs
    }

    /// Something that this step needs is not here: a failure, unless the caller said otherwise.
    fn missing(&self, what: &str) -> Result<Outcome> {
        if self.allow_missing {
            return Ok(Outcome::NotRun(what.to_owned()));
        }
        bail!("{what} (--allow-missing leaves this step out)");
    }
}

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        for step in steps::ALL {
            println!("{:<16} {}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = args.only.iter().find(|name| steps::ALL.iter().all(|step| step.name != **name)) {
        bail!("no step is called {unknown}; `cargo xtask test --list` names them");
    }
    let workspace = Workspace::load()?;
    let began = Instant::now();
    let mut rows: Vec<Row> = Vec::new();
    let mut passed_before = if args.full { full::Passed::load(&workspace)? } else { None };
    let chosen = |step: &&Step| args.only.is_empty() || args.only.iter().any(|name| name == step.name);
    for step in steps::ALL.iter().filter(chosen) {
        if passed_before.as_ref().is_some_and(|before| before.contains(step.name)) {
            println!("\n==== {}: passed on this commit before", step.name);
            continue;
        }
        let mut row = run_step(step, &workspace, args)?;
        let matrices = full::matrices(&report::text(&log_of(step, &workspace)));
        row.notes.extend(
            matrices
                .iter()
                .map(|(name, sum)| format!("matrix {name}: tried {}, passed {}", sum.tried, sum.passed)),
        );
        if args.full && !matrices.is_empty() {
            // At once: a run that is interrupted and gone on with has not lost them.
            full::keep(&workspace, &matrices)?;
        }
        if let (Outcome::Passed, Some(before)) = (&row.outcome, &mut passed_before) {
            before.add(step.name)?;
        }
        let failed = matches!(row.outcome, Outcome::Failed(_));
        rows.push(row);
        if failed && !args.keep_going {
            break;
        }
    }
    report::print(&rows, began.elapsed());
    let failed = rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn log_of(step: &Step, workspace: &Workspace) -> PathBuf {
    workspace.target().join("xtask/logs").join(step.name).with_extension("log")
}

fn run_step(step: &Step, workspace: &Workspace, args: &Args) -> Result<Row> {
    let log = log_of(step, workspace);
    let mut context = Context {
        workspace,
        tee: Tee::create(&log)?,
        full: args.full,
        allow_missing: args.allow_missing,
        notes: Vec::new(),
    };
    if args.full {
        context.tee.set_limit(FULL_LIMIT);
    }
    println!("\n==== {}: {}", step.name, step.about);
    let began = Instant::now();
    let outcome = (step.run)(&mut context).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
    let took = began.elapsed();
    match &outcome {
        Outcome::Passed => println!("==== {}: passed in {:.1} s", step.name, took.as_secs_f64()),
        Outcome::NotRun(why) => println!("==== {}: NOT RUN: {why}", step.name),
        Outcome::Failed(why) => {
            println!("\n==== {}: FAILED after {:.1} s: {why}", step.name, took.as_secs_f64());
            println!("---- the end of {}", log.display());
            println!("{}\n----", report::tail(&log, 60));
        }
    }
    Ok(Row { step: step.name, outcome, took, notes: context.notes })
}
