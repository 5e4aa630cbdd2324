//! `stillpoint georep`.

mod doctor;
mod resync;
mod status;
mod sync;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use stillpoint_backup::{Lock, StateDir};
use stillpoint_georep::{Check, LocalLog, LocalRunner, LogSource, Runner, RunnerLog, Session};

use crate::cli::{GeorepArgs, GeorepVerb, Global, LogArgs, SessionArgs};
use crate::exit::Exit;
use crate::logging;

pub(crate) fn run(args: &GeorepArgs, global: &Global) -> Result<Exit> {
    match &args.verb {
        GeorepVerb::Status(args) => status::run(args),
        GeorepVerb::Doctor(args) => doctor::run(args),
        GeorepVerb::Sync(args) => sync::run(args, global),
        GeorepVerb::Resync(args) => resync::run(args, global),
    }
}

/// What runs commands behind a prefix such as `ssh root@siteA`, whose words are separated by blanks.
fn runner(via: &str) -> Arc<dyn Runner> {
    let words: Vec<&str> = via.split_whitespace().collect();
    // ssh hands its words to a shell.
    let shell = words.first().and_then(|program| program.rsplit('/').next()) == Some("ssh");
    let runner = LocalRunner::with_prefix(words);
    Arc::new(if shell { runner.through_shell() } else { runner })
}

fn session(args: &SessionArgs) -> Session {
    let runner = match &args.via {
        Some(via) => runner(via),
        None => Arc::new(LocalRunner::new()),
    };
    Session::new(runner, args.session.clone())
}

/// The logs of the primary's nodes.
fn logs(args: &LogArgs, session: &Session) -> Vec<Arc<dyn LogSource>> {
    let name = session.name();
    let mut logs: Vec<Arc<dyn LogSource>> = Vec::new();
    if args.log.is_empty() {
        logs.push(Arc::new(LocalLog::of_session(&args.gluster_logs, name)));
    }
    for path in &args.log {
        logs.push(Arc::new(LocalLog::new(path)));
    }
    for via in &args.log_via {
        let place = via.split_whitespace().next_back().unwrap_or_default();
        logs.push(Arc::new(RunnerLog::of_session(runner(via), place, "/var/log/glusterfs", name)));
    }
    logs
}

/// Checks by their names.
pub(crate) fn checks(option: &str, names: &[String]) -> Result<Vec<Check>> {
    let check = |name: &String| {
        serde_json::from_value(serde_json::Value::String(name.clone()))
            .with_context(|| format!("{option} {name}: there is no such check"))
    };
    names.iter().map(check).collect()
}

/// The lock of the session. `None`, with a complaint, where somebody else holds it.
fn lock(state: &StateDir, session: &Session) -> Result<Option<Lock>> {
    match state.lock(&session.name().to_string()) {
        Ok(mut lock) => {
            lock.tell(None)?;
            Ok(Some(lock))
        }
        Err(error @ stillpoint_backup::Error::Locked { .. }) => {
            logging::failed(&error.into());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
