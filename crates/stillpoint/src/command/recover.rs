//! `stillpoint recover`.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use stillpoint_backup::journal::RunBegan;
use stillpoint_backup::recover::{Reach, RecoverOptions, Recovered, RunRecovery, recover};
use stillpoint_backup::{Error, StateDir};
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::cli::{Global, RecoverArgs};
use crate::command::run::{Shown, guard, undo};
use crate::exit::Exit;
use crate::logging;
use crate::output::{self, Format};

/// What recovery tells.
#[derive(Serialize)]
struct Report {
    schema_version: u32,
    dry_run: bool,
    runs: Vec<RunRecovery>,
}

struct FromHere<'a> {
    args: &'a RecoverArgs,
}

impl FromHere<'_> {
    fn uri<'a>(&'a self, began: &'a RunBegan) -> &'a str {
        self.args.connect.as_deref().unwrap_or(&began.connect)
    }
}

impl Reach for FromHere<'_> {
    fn hypervisor(&self, began: &RunBegan) -> Result<Box<dyn virt::Hypervisor>, Error> {
        Ok(virt::connect(self.args.backend, self.uri(began))?)
    }

    fn session(&self, began: &RunBegan) -> georep::Session {
        georep::Session::new(Arc::new(georep::LocalRunner::new()), began.session.clone())
    }

    fn guard(&self, began: &RunBegan) -> Box<dyn virt::GuardSpawner> {
        Box::new(guard(self.uri(began), self.args.backend))
    }

    fn offline(&self, _: &RunBegan) -> Box<dyn virt::OfflineCommit> {
        Box::new(virt::QemuImg::new())
    }
}

pub(crate) fn run(args: &RecoverArgs, global: &Global) -> Result<Exit> {
    let state = StateDir::open(&args.state.state_dir)?;
    let options = RecoverOptions { dry_run: args.dry_run, undo: undo(&args.undo) };
    let shown = Shown::new(global);
    let runs = recover(&state, &FromHere { args }, &options, &|event| shown.show(&event))?;
    drop(shown);
    let exit =
        runs.iter().map(|run| exit(run.outcome)).max_by_key(|exit| weight(*exit)).unwrap_or(Exit::Done);
    match args.output {
        Format::Human if runs.is_empty() => output::print("nothing to recover\n")?,
        Format::Human => {
            output::print(&runs.iter().map(|run| format!("{run}\n")).collect::<String>())?;
        }
        Format::Json => {
            output::print_json(&Report { schema_version: 1, dry_run: args.dry_run, runs: runs.clone() })?;
        }
    }
    if exit != Exit::Done {
        for run in &runs {
            for problem in &run.problems {
                logging::complain(&format!("run {}: {problem}", run.run));
            }
        }
    }
    Ok(exit)
}

fn exit(outcome: Recovered) -> Exit {
    match outcome {
        Recovered::Finished | Recovered::Looked => Exit::Done,
        Recovered::InProgress => Exit::Locked,
        Recovered::NeedsOperator => Exit::NeedsOperator,
        _ => Exit::NeedsRecovery,
    }
}

/// Which of several exits to tell: the one that asks most of whoever reads it.
fn weight(exit: Exit) -> u8 {
    match exit {
        Exit::NeedsOperator => 3,
        Exit::NeedsRecovery => 2,
        Exit::Locked => 1,
        _ => 0,
    }
}
