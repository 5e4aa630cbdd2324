//! `stillpoint check`: what `qemu-img check` finds, and what follows from it.

use anyhow::Result;
use serde::Serialize;
use stillpoint_qcow2::check::{CheckOptions, CheckReport, Class, Failure, Finding, Scope};
use stillpoint_qcow2::{Error, Format, detect};

use crate::cli::{CheckArgs, Global};
use crate::command::source::{self, qemu_text};
use crate::exit::Exit;
use crate::logging;
use crate::output;

/// Findings that are told; more are only counted.
const MOST_FINDINGS: usize = 1_000_000;

const STALE_BITMAPS: &str = "\
warning: a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent
Some clusters may be leaked, run 'qemu-img check -r' on the image file to fix.";

pub(crate) fn run(args: &CheckArgs, global: &Global) -> Result<Exit> {
    match check(args)? {
        Ok(Some(report)) if args.explain => explain(args, &report),
        Ok(Some(report)) => tell(args, global, &report),
        Ok(None) => {
            logging::complain("This image format does not support checks");
            Ok(Exit::QemuImg(63))
        }
        Err(complaint) => {
            logging::complain(&complaint);
            Ok(Exit::Failed)
        }
    }
}

/// The report, or `None` for a format without anything to check, or the complaint.
fn check(args: &CheckArgs) -> Result<Result<Option<CheckReport>, String>> {
    if args.repair.is_some() {
        return Ok(Err("--repair (-r) is not supported: nothing is ever written to an image here".into()));
    }
    if args.image_opts {
        return Ok(Err("--image-opts is not supported: name the image's file".into()));
    }
    if let Some(complaint) = source::unknown_cache(args.cache.as_deref()) {
        return Ok(Err(complaint));
    }
    let name = &args.file;
    let could_not_open = |why: String| format!("Could not open '{name}': {why}");
    let format = match args.format.as_ref().map(|wanted| (wanted, Format::from_name(&wanted.as_str().into())))
    {
        None => None,
        Some((_, Ok(format))) => Some(format),
        Some((wanted, Err(_))) => return Ok(Err(could_not_open(format!("Unknown driver '{wanted}'")))),
    };
    let source = match source::image(&args.volume, name)? {
        Ok(source) => source,
        Err(why) => return Ok(Err(could_not_open(why))),
    };
    let scope = match &args.snapshot {
        Some(snapshot) => Scope::Snapshot(snapshot.as_str().into()),
        None if args.active => Scope::Active,
        None => Scope::All,
    };
    let options = CheckOptions::default().scope(scope).max_findings(MOST_FINDINGS);
    let gather = || -> Result<Option<CheckReport>, Error> {
        match format.map_or_else(|| detect(&source.storage), Ok)? {
            Format::Raw => Ok(None),
            Format::Qcow2 => CheckReport::gather(&source.storage, &options).map(Some),
        }
    };
    Ok(match gather() {
        Ok(Some(CheckReport {
            failure: Some(Failure::BitmapTable { name: bitmap, in_use: false, .. }),
            ..
        })) if !args.explain => Err(could_not_open(format!(
            "Could not read bitmap_table table from image for bitmap '{bitmap}': Invalid argument"
        ))),
        Ok(report) => Ok(report),
        Err(error) => Err(could_not_open(qemu_text(&error))),
    })
}

fn exit(report: &CheckReport) -> Exit {
    if report.failure.is_some() || report.check_errors > 0 {
        Exit::Failed
    } else if report.corruptions > 0 {
        Exit::QemuImg(2)
    } else if report.leaks > 0 {
        Exit::QemuImg(3)
    } else {
        Exit::Done
    }
}

/// As qemu-img does.
fn tell(args: &CheckArgs, global: &Global, report: &CheckReport) -> Result<Exit> {
    if report.stale_bitmaps {
        logging::complain_without_end(STALE_BITMAPS);
    }
    logging::lines(report.qemu_lines());
    if report.unlisted > 0 {
        logging::lines([format!("({} more are not told)", report.unlisted)]);
    }
    if let Some(failure) = &report.failure {
        match failure.qemu_texts() {
            Some((cause, end)) => {
                cause.into_iter().for_each(|cause| logging::complain(&cause));
                logging::complain(end);
            }
            None => logging::complain(&format!("Check failed: {failure}")),
        }
        return Ok(Exit::Failed);
    }
    if !global.quiet {
        let text = match args.output {
            output::Format::Human => report.to_text(),
            output::Format::Json => report.to_json(&args.file) + "\n",
        };
        output::print(&text)?;
    }
    if report.check_errors > 0 {
        logging::complain("Check failed");
    }
    Ok(exit(report))
}

/// What `--explain --output json` writes.
#[derive(Debug, Serialize)]
struct Explained<'r> {
    schema_version: u32,
    filename: &'r str,
    corruptions: u64,
    leaks: u64,
    check_errors: u64,
    notes: u64,
    findings: Vec<ExplainedFinding>,
    findings_not_listed: u64,
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct ExplainedFinding {
    class: String,
    finding: String,
    consequence: String,
}

impl ExplainedFinding {
    fn of(finding: &Finding) -> Self {
        Self {
            class: finding.class().to_string(),
            finding: finding.to_string(),
            consequence: finding.consequence().to_string(),
        }
    }
}

fn explain(args: &CheckArgs, report: &CheckReport) -> Result<Exit> {
    if args.output == output::Format::Json {
        output::print_json(&Explained {
            schema_version: 1,
            filename: &args.file,
            corruptions: report.corruptions,
            leaks: report.leaks,
            check_errors: report.check_errors,
            notes: report.notes,
            findings: report.findings.iter().map(ExplainedFinding::of).collect(),
            findings_not_listed: report.unlisted,
            failure: report.failure.as_ref().map(ToString::to_string),
        })?;
        return Ok(exit(report));
    }
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&format!("{}: {finding}\n    {}\n", finding.class(), finding.consequence()));
    }
    if report.unlisted > 0 {
        text.push_str(&format!("{} more findings are not listed\n", report.unlisted));
    }
    if let Some(failure) = &report.failure {
        text.push_str(&format!("the check ended early: {failure}\n"));
    }
    if report.is_sound() && !report.findings.iter().any(|finding| finding.class() != Class::Note) {
        text.push_str("nothing is wrong\n");
    }
    output::print(&text)?;
    Ok(exit(report))
}
