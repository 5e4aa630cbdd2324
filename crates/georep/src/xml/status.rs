//! `gluster volume geo-replication P S status detail --xml`, in the vocabulary before 10 (`master_node`, `slave`) and
//! since (`primary_node`, `secondary`).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use roxmltree::Node;
use uuid::Uuid;

use super::{MAX_ITEMS, available, child, child_text, either, value};
use crate::cli::AnswerProblem;
use crate::name::SessionName;
use crate::status::{CheckpointRow, CrawlStatus, Worker, WorkerStatus};
use crate::volume::BrickName;

/// The rows of `name` in a status document.
pub(crate) fn workers(root: Node<'_, '_>, name: &SessionName) -> Result<Vec<Worker>, AnswerProblem> {
    let report = child(root, "geoRep").ok_or(AnswerProblem::Missing("geoRep"))?;
    let mut workers = Vec::new();
    let volumes = report.children().filter(|n| n.has_tag_name("volume"));
    for volume in volumes.filter(|v| child_text(*v, "name").is_none_or(|n| n == name.primary_volume())) {
        for session in volume.descendants().filter(|n| n.has_tag_name("session")) {
            let whose = either(session, ["session_secondary", "session_slave"]);
            if whose.is_some_and(|w| !is_ours(w, name)) {
                continue;
            }
            for pair in session.children().filter(|n| n.has_tag_name("pair")).take(MAX_ITEMS) {
                workers.push(worker(pair)?);
            }
        }
    }
    Ok(workers)
}

/// Whether `uuid:ssh://[user@]host::volume:uuid` is the far end of the session.
fn is_ours(text: &str, name: &SessionName) -> bool {
    // Host and volume are matched as a whole, between what stands around them, whatever colons the host has.
    let end = format!("{}::{}", name.secondary_host(), name.secondary_volume());
    text.match_indices(&end).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + end.len()..).unwrap_or_default();
        (before.is_empty() || before.ends_with(['/', '@'])) && (after.is_empty() || after.starts_with(':'))
    })
}

fn worker(pair: Node<'_, '_>) -> Result<Worker, AnswerProblem> {
    let host = either(pair, ["primary_node", "master_node"]).ok_or(AnswerProblem::Missing("primary_node"))?;
    let path =
        either(pair, ["primary_brick", "master_brick"]).ok_or(AnswerProblem::Missing("primary_brick"))?;
    let status = child_text(pair, "status").ok_or(AnswerProblem::Missing("status"))?;
    let node = either(pair, ["primary_node_uuid", "master_node_uuid"]);
    let text = |name| available(child_text(pair, name)).map(str::to_owned);
    Ok(Worker {
        brick: BrickName { host: host.to_owned(), path: path.to_owned() },
        node: available(node).and_then(|t| Uuid::parse_str(t).ok()),
        secondary_node: text("secondary_node").or_else(|| text("slave_node")),
        secondary_user: text("secondary_user").or_else(|| text("slave_user")),
        status: WorkerStatus::parse(status),
        crawl: child_text(pair, "crawl_status").and_then(CrawlStatus::parse),
        entry: counter(pair, "entry")?,
        data: counter(pair, "data")?,
        meta: counter(pair, "meta")?,
        failures: counter(pair, "failures")?,
        checkpoint: checkpoint(pair)?,
        last_synced: time(pair, "last_synced")?,
    })
}

fn counter(pair: Node<'_, '_>, name: &'static str) -> Result<Option<u64>, AnswerProblem> {
    available(child_text(pair, name)).map(|t| t.parse().map_err(|_| value(name, t))).transpose()
}

fn checkpoint(pair: Node<'_, '_>) -> Result<Option<CheckpointRow>, AnswerProblem> {
    const NAME: &str = "checkpoint_completed";
    let Some(text) = available(child_text(pair, NAME)) else { return Ok(None) };
    let completed = match text.to_ascii_lowercase().as_str() {
        "yes" => true,
        "no" => false,
        _ => return Err(value(NAME, text)),
    };
    let completed_at = time(pair, "checkpoint_completion_time")?;
    Ok(Some(CheckpointRow { completed, time: time(pair, "checkpoint_time")?, completed_at }))
}

/// A time in UTC, as status documents have it (the text output has local time).
fn time(pair: Node<'_, '_>, name: &'static str) -> Result<Option<Timestamp>, AnswerProblem> {
    let Some(text) = available(child_text(pair, name)) else { return Ok(None) };
    let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).map_err(|_| value(name, text))?;
    let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| value(name, text))?;
    Ok(Some(zoned.timestamp()))
}
