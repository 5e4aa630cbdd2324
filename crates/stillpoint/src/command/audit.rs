//! `stillpoint audit`.

use std::fmt::Write as _;
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use serde::Serialize;
use stillpoint_shard::audit::{
    AuditEvent, AuditFinding, AuditOptions, AuditProgress, AuditSummary, Severity,
};

use crate::cli::{AuditArgs, Global};
use crate::command::source;
use crate::exit::{Exit, WHICH_VOLUME};
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::signals;

/// Most shards that are looked at at a time unasked.
const JOBS: usize = 4;

pub(crate) fn run(args: &AuditArgs, global: &Global) -> Result<Exit> {
    source::no_file_options(&args.volume)?;
    let volume = source::volume(&args.volume)?.ok_or(WHICH_VOLUME)?;
    let below = source::reference(&args.path, args.volume.mounted_at.as_deref())?;
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or(processors.min(NonZeroUsize::new(JOBS).unwrap_or(NonZeroUsize::MIN)));
    let options = AuditOptions { compare: args.compare, jobs };
    let cancel = signals::cancel_on_signals(signals::READ)?;
    let mut progress = Progress::new(global);
    let mut summary = AuditSummary::default();
    output::stream(|out| {
        let (name, path) = (&*volume.topology().volume, &*args.path);
        let mut writer = Writer { out, format: args.output, volume: name, path, findings: 0 };
        let mut failed = None;
        let mut each = |event: AuditEvent<'_>| {
            match event {
                AuditEvent::Finding(finding) => failed = writer.finding(finding).err(),
                AuditEvent::Progress(so_far) => progress.line(in_one_line(&so_far, args.compare)),
                _ => {}
            }
            if failed.is_some() || cancel.is_wanted() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let done = volume.audit(&below, &options, &mut each);
        if let Some(error) = failed {
            return Err(error);
        }
        summary = done?;
        writer.end(&summary)
    })?;
    Ok(exit(&summary))
}

/// What is written about an audit that was made.
fn exit(summary: &AuditSummary) -> Exit {
    match summary.worst() {
        _ if summary.interrupted => Exit::Failed,
        Some(worst) if worst > Severity::Harmless => Exit::NeedsOperator,
        _ if !summary.is_whole() => Exit::Partial,
        _ => Exit::Done,
    }
}

fn in_one_line(progress: &AuditProgress, compare: bool) -> String {
    let AuditProgress { entries, shards, shards_in_all, bytes_compared, .. } = progress;
    let mut line = format!("auditing: {entries} names, {shards} of {shards_in_all} shards");
    if compare {
        // Writing to a String can't fail.
        let _ = write!(line, ", {} MiB compared", bytes_compared >> 20);
    }
    line
}

/// Writes findings as they come.
struct Writer<'a> {
    out: &'a mut dyn Write,
    format: Format,
    volume: &'a str,
    path: &'a str,
    findings: u64,
}

/// A finding as JSON.
#[derive(Serialize)]
struct Told<'a> {
    severity: Severity,
    #[serde(flatten)]
    finding: &'a AuditFinding,
    text: String,
    meaning: &'static str,
    advice: &'static str,
}

const CANT_WRITE: &str = "can't write to stdout";

impl Writer<'_> {
    /// What comes before the first finding, once it is known that the audit can be made.
    fn begin(&mut self) -> Result<()> {
        if self.findings > 0 || self.format != Format::Json {
            return Ok(());
        }
        let (volume, path) = (serde_json::to_string(self.volume)?, serde_json::to_string(self.path)?);
        let head =
            format!("{{\n\"schema_version\": 1,\n\"volume\": {volume},\n\"path\": {path},\n\"findings\": [");
        self.out.write_all(head.as_bytes()).context(CANT_WRITE)
    }

    fn finding(&mut self, finding: &AuditFinding) -> Result<()> {
        self.begin()?;
        let (severity, problem) = (finding.severity(), &finding.problem);
        let (meaning, advice) = (problem.meaning(), problem.advice());
        match self.format {
            Format::Human => {
                let text = finding.to_string().replace('\n', "\n           ");
                writeln!(self.out, "{severity:<9}  {text}\n           {meaning} {advice}")
            }
            Format::Json => {
                let told = Told { severity, finding, text: finding.to_string(), meaning, advice };
                let line = serde_json::to_string(&told)?;
                write!(self.out, "{}\n{line}", if self.findings == 0 { "" } else { "," })
            }
        }
        .context(CANT_WRITE)?;
        self.findings += 1;
        Ok(())
    }

    fn end(&mut self, summary: &AuditSummary) -> Result<()> {
        self.begin()?;
        match self.format {
            Format::Human => self.out.write_all(in_words(summary).as_bytes()),
            Format::Json => {
                let (clean, worst) = (summary.is_clean(), serde_json::to_string(&summary.worst())?);
                let summary = serde_json::to_string_pretty(summary)?;
                writeln!(
                    self.out,
                    "\n],\n\"clean\": {clean},\n\"worst\": {worst},\n\"summary\": {summary}\n}}"
                )
            }
        }
        .context(CANT_WRITE)
    }
}

fn in_words(summary: &AuditSummary) -> String {
    let mut text = format!(
        "{} directories, {} files ({} in shards), {} shards, {} copies looked at\n",
        summary.directories, summary.files, summary.sharded_files, summary.shards, summary.copies
    );
    if summary.compared + summary.not_comparable > 0 {
        let _ = writeln!(
            text,
            "{} of them compared, {} bytes; {} have nothing to be compared with",
            summary.compared, summary.bytes_compared, summary.not_comparable
        );
    }
    for what in &summary.not_looked_at {
        let _ = writeln!(text, "not looked at: {}", what.trim_end());
    }
    let more = summary.not_looked_at_count.saturating_sub(summary.not_looked_at.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "not looked at: {more} more");
    }
    let counts: Vec<String> = Severity::ALL
        .iter()
        .rev()
        .filter(|severity| summary.findings.of(**severity) > 0)
        .map(|severity| format!("{} {severity}", summary.findings.of(*severity)))
        .collect();
    text.push_str(&match (counts.is_empty(), summary.is_whole()) {
        _ if summary.interrupted => "interrupted\n".to_owned(),
        (true, true) => "clean: everything was looked at, and nothing was found\n".to_owned(),
        (true, false) => "nothing was found in what could be looked at\n".to_owned(),
        (false, _) => format!("findings: {}\n", counts.join(", ")),
    });
    text
}
