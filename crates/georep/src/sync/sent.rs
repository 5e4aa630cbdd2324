//! What was sent so far, from the logs as they grow.

use std::sync::Arc;

use crate::log::{LogMark, LogScan, LogSource};

use super::options::Sent;

/// Reads each log on from where it was read to. For progress alone: what a run is judged by is read at its end, whole.
#[derive(Debug, Default)]
pub(super) struct SentSoFar {
    read_to: Vec<Option<LogMark>>,
    sent: Sent,
}

impl SentSoFar {
    /// Begins at `marks`; a log whose mark is not known tells nothing.
    pub(super) fn from(marks: impl Iterator<Item = Option<LogMark>>) -> Self {
        Self { read_to: marks.collect(), sent: Sent::default() }
    }

    /// Begins anew at `marks`, and keeps what was counted.
    pub(super) fn go_on_from(&mut self, marks: impl Iterator<Item = Option<LogMark>>) {
        self.read_to = marks.collect();
    }

    /// Reads what was written since, and tells it all; `None` without a log that can be read.
    pub(super) fn read(&mut self, logs: &[Arc<dyn LogSource>]) -> Option<Sent> {
        let mut any = false;
        for (log, read_to) in logs.iter().zip(&mut self.read_to) {
            let Some(mark) = read_to else { continue };
            match next(log.as_ref(), mark) {
                Some((scan, next)) => {
                    any = true;
                    self.sent.batches += scan.batches;
                    self.sent.files = self.sent.files.saturating_add(scan.transferred);
                    self.sent.bytes = self.sent.bytes.saturating_add(scan.sent_bytes);
                    *mark = next;
                }
                // Rotated, or gone: what follows can't be put where it belongs.
                None => *read_to = None,
            }
        }
        any.then_some(self.sent)
    }
}

/// What was written since `mark`, up to the end of its last whole line, and where that is.
fn next(log: &dyn LogSource, mark: &LogMark) -> Option<(LogScan, LogMark)> {
    let end = log.mark().ok()?;
    if mark.file != 0 && end.file != mark.file {
        return None;
    }
    let scan = LogScan::read(&log.name(), log.since(mark).ok()?).ok()?;
    let offset = mark.offset + scan.bytes - scan.unfinished();
    Some((scan, LogMark { file: end.file, offset }))
}
