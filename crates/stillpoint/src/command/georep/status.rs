//! `stillpoint georep status`.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use stillpoint_georep::{CrawlStatus, Row, SessionName, SessionStatus, Worker, WorkerStatus};

use crate::cli::GeorepStatusArgs;
use crate::exit::Exit;
use crate::output::{self, Format};

/// What is written as JSON.
#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    session: &'a SessionName,
    /// Whether every row is there and nothing can be replicated.
    stopped: bool,
    rows: &'a [Row],
    strays: &'a [Worker],
}

pub(super) fn run(args: &GeorepStatusArgs) -> Result<Exit> {
    let session = super::session(&args.session);
    let status = session.status()?;
    match args.session.output {
        Format::Json => output::print_json(&Report {
            schema_version: 1,
            session: session.name(),
            stopped: status.all_stopped(),
            rows: &status.rows,
            strays: &status.strays,
        })?,
        Format::Human => output::print(&in_words(&status))?,
    }
    Ok(Exit::Done)
}

/// A table of the rows, in the volume's order.
pub(super) fn in_words(status: &SessionStatus) -> String {
    let mut lines =
        vec![["set", "brick", "status", "crawl", "last synced", "failures", "checkpoint"].map(str::to_owned)];
    for row in &status.rows {
        let set = row.subvolume.to_string();
        lines.push(line(set, row.brick.to_string(), row.worker.as_ref()));
    }
    for stray in &status.strays {
        lines.push(line("none".to_owned(), stray.brick.to_string(), Some(stray)));
    }
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn line(set: String, brick: String, worker: Option<&Worker>) -> [String; 7] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let Some(worker) = worker else {
        return [
            set,
            brick,
            "no answer".to_owned(),
            or_none(None),
            or_none(None),
            or_none(None),
            or_none(None),
        ];
    };
    let crawl = worker.crawl.as_ref().map(|crawl| match crawl {
        CrawlStatus::Hybrid => "hybrid".to_owned(),
        CrawlStatus::History => "history".to_owned(),
        CrawlStatus::Changelog => "changelog".to_owned(),
        other => format!("{other:?}"),
    });
    let checkpoint = worker.checkpoint.map(|c| match (c.completed, c.time) {
        (true, Some(time)) => format!("{time} reached"),
        (false, Some(time)) => format!("{time} not reached"),
        (true, None) => "reached".to_owned(),
        (false, None) => "not reached".to_owned(),
    });
    let status: &WorkerStatus = &worker.status;
    [
        set,
        brick,
        status.to_string(),
        or_none(crawl),
        or_none(worker.last_synced.map(|at| at.to_string())),
        or_none(worker.failures.map(|count| count.to_string())),
        or_none(checkpoint),
    ]
}
