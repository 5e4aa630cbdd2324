//! `stillpoint georep doctor`.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use stillpoint_georep::{
    Check, Examination, Finding, Fix, Fixed, PreflightOptions, SessionName, Severity, UNSEEN, apply, examine,
};

use crate::cli::GeorepDoctorArgs;
use crate::exit::Exit;
use crate::logging;
use crate::output::{self, Format};

/// What is written as JSON.
#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    session: &'a SessionName,
    looked_at: &'a [Check],
    fixed: &'a [Fixed],
    findings: &'a [Finding],
    unseen: &'a [&'static str],
}

pub(super) fn run(args: &GeorepDoctorArgs) -> Result<Exit> {
    let session = super::session(&args.session);
    let only = &args.only;
    let mut options = PreflightOptions::default();
    if let Some(mount) = &args.mount {
        options = options.with_mount(mount);
    }
    for log in super::logs(&args.logs, &session) {
        options = options.with_log(log);
    }
    if let Some(via) = &args.secondary_via {
        options = options.with_far(super::runner(via));
    }
    let mut seen = examine(&session, &options)?;
    let mut fixed = Vec::new();
    let mut failed = None;
    if args.fix {
        let allowed = |finding: &Finding, fix: &Fix| {
            (only.is_empty() || only.contains(&finding.what))
                && (args.fix_volume || !matches!(fix, Fix::PrimaryVolume { .. }))
        };
        match apply(&session, &seen.findings, &allowed) {
            Ok(done) => fixed = done,
            Err((done, error)) => {
                fixed = done;
                failed = Some(error);
            }
        }
        if !fixed.is_empty() {
            seen = examine(&session, &options)?;
        }
    }
    match args.session.output {
        Format::Json => output::print_json(&Report {
            schema_version: 1,
            session: session.name(),
            looked_at: &seen.looked_at,
            fixed: &fixed,
            findings: &seen.findings,
            unseen: &UNSEEN,
        })?,
        Format::Human => output::print(&in_words(&seen, &fixed))?,
    }
    if let Some(error) = failed {
        logging::failed(&error.into());
        return Ok(Exit::Failed);
    }
    Ok(match seen.worst() {
        Some(Severity::Refuse) => Exit::NeedsOperator,
        Some(Severity::Warn) => Exit::Partial,
        _ => Exit::Done,
    })
}

fn in_words(seen: &Examination, fixed: &[Fixed]) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let mut line = |what: String| {
        let _ = writeln!(text, "{what}");
    };
    for done in fixed {
        let what: Vec<String> = done.what.iter().map(|check| check.name()).collect();
        line(format!("set right: {} ({})", done.fix, what.join(", ")));
    }
    let mut findings: Vec<&Finding> = seen.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in findings {
        line(format!("{}: {}: {}", finding.severity, finding.what, finding.seen));
        line(format!("  {}", finding.matters));
        if let Some(remedy) = &finding.remedy {
            line(format!("  set right by: {remedy}"));
        }
    }
    let count = |severity| seen.findings.iter().filter(|f| f.severity == severity).count();
    line(format!(
        "{} checks: {} refused, {} warnings, {} notes",
        seen.looked_at.len(),
        count(Severity::Refuse),
        count(Severity::Warn),
        count(Severity::Note)
    ));
    line("what no look at a session can tell:".to_owned());
    for unseen in UNSEEN {
        line(format!("  {unseen}"));
    }
    text
}
