//! `stillpoint georep sync`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use stillpoint_backup::StateDir;
use stillpoint_georep::{
    Error, Evidence, NoJournal, PreflightOptions, Session, SessionName, Severity, SyncOptions, Verdict,
    examine, sync,
};

use crate::cli::{AfterRun, GeorepSyncArgs, Global};
use crate::command::run::replication;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::{logging, signals};

/// How replication is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Left {
    /// As it was: nothing was done.
    Untouched,
    Stopped,
    Running,
    Unknown,
}

/// What is written as JSON.
#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    session: &'a SessionName,
    /// Whether the checkpoint was reached and nothing speaks against it.
    believable: bool,
    verdict: Option<&'a Verdict>,
    error: Option<String>,
    /// Whether the same can succeed later with nothing set right.
    retryable: Option<bool>,
    warnings: &'a [String],
    replication: Left,
}

pub(super) fn run(args: &GeorepSyncArgs, global: &Global) -> Result<Exit> {
    let session = super::session(&args.session);
    let overridden = &args.override_check;
    let mut options = SyncOptions::new(&args.mount, args.deadline);
    options.logs = super::logs(&args.logs, &session);
    options.rollover = args.drive.rollover;
    options.max_restarts = args.drive.max_restarts;

    let state = StateDir::open(&args.state.state_dir)?;
    let Some(_lock) = super::lock(&state, &session)? else { return Ok(Exit::Locked) };
    let cancel = signals::cancel_on_signals(signals::SYNC).context("can't catch signals")?;

    let findings = examine(&session, &PreflightOptions::default().with_mount(&args.mount))?.findings;
    let refused =
        |f: &&stillpoint_georep::Finding| f.severity == Severity::Refuse && !overridden.contains(&f.what);
    let refusals: Vec<String> = findings.iter().filter(refused).map(|f| format!("{}: {f}", f.what)).collect();
    let warnings: Vec<String> = findings
        .iter()
        .filter(|f| !refused(f))
        .map(|finding| format!("{}: {finding}", finding.what))
        .collect();
    if !refusals.is_empty() {
        let report = Report {
            schema_version: 1,
            session: session.name(),
            believable: false,
            verdict: None,
            error: Some(format!("refused: {}", refusals.join("; "))),
            retryable: Some(false),
            warnings: &warnings,
            replication: Left::Untouched,
        };
        tell(args.session.output, &report)?;
        for refusal in &refusals {
            logging::complain(&format!("refused: {refusal}"));
        }
        return Ok(Exit::NeedsOperator);
    }
    let was_running = !session.status()?.all_stopped();

    let mut progress = Progress::new(global);
    let mut show = |told| {
        if let Some(line) = replication(&told) {
            progress.line(line);
        }
    };
    let result = sync(&session, &options, &NoJournal, &mut show, cancel.flag());
    drop(progress);
    let (verdict, error) = match result {
        Ok(verdict) => (Some(verdict), None),
        Err(Error::StillRunning { reason, after, verdict }) => {
            let verdict_too = verdict.as_deref().cloned();
            (verdict_too, Some(Error::StillRunning { reason, after, verdict }))
        }
        Err(error) => (None, Some(error)),
    };
    let (left, left_error) = leave(&session, args.drive.after_run, was_running, error.as_ref());
    let error = error.or(left_error);
    let report = Report {
        schema_version: 1,
        session: session.name(),
        believable: error.is_none() && verdict.as_ref().is_some_and(Verdict::believable),
        verdict: verdict.as_ref(),
        error: error.as_ref().map(ToString::to_string),
        retryable: error.as_ref().map(Error::is_retryable),
        warnings: &warnings,
        replication: left,
    };
    tell(args.session.output, &report)?;
    if let Some(error) = error {
        logging::failed(&error.into());
        return Ok(if left == Left::Unknown { Exit::NeedsOperator } else { Exit::Failed });
    }
    Ok(if report.believable { Exit::Done } else { Exit::Partial })
}

fn tell(format: Format, report: &Report<'_>) -> Result<()> {
    match format {
        Format::Json => output::print_json(report),
        Format::Human => output::print(&in_words(report)),
    }
}

/// Leaves replication as is asked for, and tells how that is.
fn leave(
    session: &Session,
    how: AfterRun,
    was_running: bool,
    error: Option<&Error>,
) -> (Left, Option<Error>) {
    if error.is_some_and(Error::may_be_running) {
        return (Left::Unknown, None);
    }
    if how != AfterRun::AsFound || !was_running {
        return (Left::Stopped, None);
    }
    match session.start() {
        Ok(()) => (Left::Running, None),
        Err(error) => (Left::Unknown, Some(error)),
    }
}

fn in_words(report: &Report<'_>) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let mut line = |what: String| {
        let _ = writeln!(text, "{what}");
    };
    match report.verdict {
        None => line("checkpoint not reached".to_owned()),
        Some(verdict) => {
            let believed = if report.believable { "and believed" } else { "NOT TO BE BELIEVED" };
            let after = match verdict.restarts {
                0 => String::new(),
                restarts => format!(", after {restarts} restarts"),
            };
            line(format!("checkpoint {} reached, {believed}{after}", verdict.checkpoint));
            for evidence in &verdict.evidence {
                if let Some(told) = evidence_in_words(evidence) {
                    line(format!("  {told}"));
                }
            }
            for problem in &verdict.problems {
                line(format!("  against it: {problem}"));
            }
            for finding in verdict.log_findings.iter().take(10) {
                line(format!("  against it: {}: {}", finding.log, finding.line));
            }
            if let more @ 1.. = verdict.log_findings.len().saturating_sub(10) {
                line(format!("  against it: {more} lines more in the logs"));
            }
            let took = verdict.durations.iter().map(|(part, time)| format!("{part} {}", seconds(*time)));
            line(format!("  took: {}", took.collect::<Vec<_>>().join(", ")));
        }
    }
    for warning in report.warnings {
        line(format!("  warning: {warning}"));
    }
    line(
        match report.replication {
            Left::Untouched => "replication was not touched",
            Left::Stopped => "replication was left stopped",
            Left::Running => "replication was left running",
            Left::Unknown => "replication MAY BE RUNNING",
        }
        .to_owned(),
    );
    text
}

fn evidence_in_words(evidence: &Evidence) -> Option<String> {
    Some(match evidence {
        Evidence::SubvolumeComplete { subvolume, active, last_synced } => {
            let active: Vec<String> = active.iter().map(ToString::to_string).collect();
            format!("set {subvolume}: synced up to {last_synced} by {}", active.join(", "))
        }
        Evidence::LogRead { log, batches, files, transferred, sent_bytes, .. } => format!(
            "{log}: {batches} batches, {transferred} of {files} files sent, {}",
            indicatif::HumanBytes(*sent_bytes)
        ),
        Evidence::FailuresUnchanged => "no failure was counted".to_owned(),
        _ => return None,
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
