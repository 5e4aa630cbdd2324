//! What the ends of the logs tell of earlier runs.

use super::look::{Look, Remedy};
use super::{Check, Severity};
use crate::log::{LogScan, LogSource};
use crate::verdict::LogFindingKind;

/// How much of a log's end is read: 16 MiB, days of a busy session.
const TAIL: u64 = 16 << 20;

impl Look<'_> {
    pub(super) fn logs(&mut self) {
        for log in &self.options.logs {
            let name = log.name();
            match tail(log.as_ref()) {
                Ok(scan) => self.log(&name, &scan),
                Err(error) => {
                    let seen = format!("{name} can't be read: {error}");
                    let matters = "what rsync did, and what was given up, is told there and nowhere else";
                    self.find(Check::EarlierNoOp, Severity::Warn, seen, matters, Remedy::None);
                }
            }
        }
    }

    fn log(&mut self, name: &str, scan: &LogScan) {
        if scan.bytes == 0 {
            let seen = format!("{name} is not there, or empty");
            let matters = "a session that was ever started has written to it: what happened can't be seen";
            return self.find(Check::EarlierNoOp, Severity::Note, seen, matters, Remedy::None);
        }
        self.looked(Check::EarlierNoOp);
        self.looked(Check::EarlierFailures);
        let session = self.session.name();
        if scan.no_op_batches > 0 {
            let seen = format!(
                "{name} tells of {} batches with {} files of which rsync looked at none",
                scan.no_op_batches, scan.no_op_files
            );
            let matters = "they were counted as sent, and are not sent again by themselves";
            let remedy = Remedy::Do(format!(
                "set secondary-access-mount true; compare the files on both sides, and have those that differ sent again: \
                 stillpoint georep resync --session '{session}' …"
            ));
            self.find(Check::EarlierNoOp, Severity::Warn, seen, matters, remedy);
        }
        let count = |kind| scan.findings.iter().filter(|f| f.kind == kind).count();
        let given_up = count(LogFindingKind::MovingOn);
        if given_up > 0 {
            let seen = format!("{name} tells {given_up} times of changes that were given up ('moving on')");
            let matters = "a checkpoint is reached all the same, no failure is counted, and they are not sent again by \
                           themselves";
            let remedy = Remedy::Do(format!(
                "compare the files on both sides, and have those that differ sent again: stillpoint georep resync \
                 --session '{session}' …"
            ));
            self.find(Check::EarlierFailures, Severity::Warn, seen, matters, remedy);
        }
        let failed = count(LogFindingKind::EntryFailed) + count(LogFindingKind::MetaFailed);
        if failed > 0 {
            let example = scan
                .findings
                .iter()
                .find(|f| matches!(f.kind, LogFindingKind::EntryFailed | LogFindingKind::MetaFailed))
                .map_or_else(String::new, |f| format!(", first: {}", f.line));
            let seen = format!("{name} tells of {failed} names or attributes that could not be set{example}");
            let matters = "these files are not at the secondary as they are at the primary";
            let remedy = Remedy::Do("compare these files on both sides".to_owned());
            self.find(Check::EarlierFailures, Severity::Warn, seen, matters, remedy);
        }
    }
}

/// What the end of a log holds.
fn tail(log: &dyn LogSource) -> std::io::Result<LogScan> {
    let mut from = log.mark()?;
    from.offset = from.offset.saturating_sub(TAIL);
    LogScan::read(&log.name(), log.since(&from)?)
}
