//! Telling findings as they come, and counting them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::finding::{AuditFinding, ShardRange, Subject};
use super::{AuditEvent, AuditProgress, Problem, Severity};

/// No more that was not looked at is kept than this; the rest is counted.
const NOT_SEEN: usize = 1000;

/// A file's findings are told before they are all known where there are more different ones than this.
const KEPT: usize = 1000;

/// How many findings there were of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BySeverity {
    /// [`Severity::Harmless`].
    pub harmless: u64,
    /// [`Severity::Attention`].
    pub attention: u64,
    /// [`Severity::AtRisk`].
    pub at_risk: u64,
    /// [`Severity::Lost`].
    pub lost: u64,
}

impl BySeverity {
    /// How many of one severity.
    #[must_use]
    pub const fn of(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Harmless => self.harmless,
            Severity::Attention => self.attention,
            Severity::AtRisk => self.at_risk,
            Severity::Lost => self.lost,
        }
    }

    const fn count(&mut self, severity: Severity) {
        match severity {
            Severity::Harmless => self.harmless += 1,
            Severity::Attention => self.attention += 1,
            Severity::AtRisk => self.at_risk += 1,
            Severity::Lost => self.lost += 1,
        }
    }
}

/// What was looked at, and what it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditSummary {
    /// Directories looked at.
    pub directories: u64,
    /// Files looked at; one with several names counts with each.
    pub files: u64,
    /// Sharded files among them, each once.
    pub sharded_files: u64,
    /// Shards looked at, bases not counted.
    pub shards: u64,
    /// Copies and fragments of bases and shards looked at.
    pub copies: u64,
    /// Bases and shards of which the contents of two or more copies were compared, or fragments checked against each
    /// other.
    pub compared: u64,
    /// Those that contents were to be compared of, with no second good copy or spare fragment to compare with.
    pub not_comparable: u64,
    /// Bytes read to compare them, of all copies together.
    pub bytes_compared: u64,
    /// Findings by severity. One finding may be about many shards of a file.
    pub findings: BySeverity,
    /// What could not be looked at, and why: the first thousand.
    pub not_looked_at: Vec<String>,
    /// How much could not be looked at in all.
    pub not_looked_at_count: u64,
    /// Whether it ended before its end because the caller wanted it to.
    pub interrupted: bool,
}

impl AuditSummary {
    /// Whether nothing at all was found, and everything that was asked about was looked at.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.worst().is_none() && self.is_whole()
    }

    /// Whether everything that was asked about was looked at.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.not_looked_at_count == 0 && !self.interrupted
    }

    /// The worst that was found.
    #[must_use]
    pub const fn worst(&self) -> Option<Severity> {
        let BySeverity { harmless, attention, at_risk, lost } = self.findings;
        match (lost, at_risk, attention, harmless) {
            (1.., ..) => Some(Severity::Lost),
            (_, 1.., ..) => Some(Severity::AtRisk),
            (_, _, 1.., _) => Some(Severity::Attention),
            (.., 1..) => Some(Severity::Harmless),
            _ => None,
        }
    }
}

/// Tells findings, and counts.
pub(super) struct Report<'a> {
    each: &'a mut dyn FnMut(AuditEvent<'_>) -> ControlFlow<()>,
    pub(super) summary: AuditSummary,
    pub(super) progress: AuditProgress,
}

impl<'a> Report<'a> {
    pub(super) fn new(each: &'a mut dyn FnMut(AuditEvent<'_>) -> ControlFlow<()>) -> Self {
        Self { each, summary: AuditSummary::default(), progress: AuditProgress::default() }
    }

    /// Whether the caller wants no more.
    pub(super) const fn is_stopped(&self) -> bool {
        self.summary.interrupted
    }

    pub(super) fn found(&mut self, subject: Subject, problem: Problem) {
        self.tell(AuditFinding { path: subject.path, gfid: subject.gfid, shards: Vec::new(), problem });
    }

    fn tell(&mut self, finding: AuditFinding) {
        // Nothing is told any more once the caller has had enough.
        if self.is_stopped() {
            return;
        }
        self.summary.findings.count(finding.severity());
        self.event(AuditEvent::Finding(&finding));
    }

    fn event(&mut self, event: AuditEvent<'_>) {
        if (self.each)(event).is_break() {
            self.summary.interrupted = true;
        }
    }

    /// Something could not be looked at.
    pub(super) fn not_seen(&mut self, what: String) {
        self.summary.not_looked_at_count += 1;
        if self.summary.not_looked_at.len() < NOT_SEEN && !self.summary.not_looked_at.contains(&what) {
            self.summary.not_looked_at.push(what);
        }
    }

    /// So many more bytes were compared, or something is done; tells how far it is, and whether to go on.
    pub(super) fn read(&mut self, bytes: u64) -> bool {
        self.summary.bytes_compared = self.summary.bytes_compared.saturating_add(bytes);
        self.progress.bytes_compared = self.summary.bytes_compared;
        self.progress();
        !self.is_stopped()
    }

    /// Tells how far it is.
    pub(super) fn progress(&mut self) {
        if !self.is_stopped() {
            let progress = self.progress;
            self.event(AuditEvent::Progress(progress));
        }
    }
}

/// A file's problems, those of the same kind in many shards told as one.
#[derive(Debug)]
pub(super) struct Grouped {
    subject: Subject,
    problems: BTreeMap<Problem, Vec<ShardRange>>,
}

impl Grouped {
    pub(super) const fn new(subject: Subject) -> Self {
        Self { subject, problems: BTreeMap::new() }
    }

    pub(super) const fn subject(&mut self) -> &mut Subject {
        &mut self.subject
    }

    /// Adds a problem of one shard, which must not lie before those already added, or of the whole.
    pub(super) fn add(&mut self, shard: Option<u64>, problem: Problem, report: &mut Report<'_>) {
        if self.problems.len() >= KEPT && !self.problems.contains_key(&problem) {
            self.flush(report);
        }
        let ranges = self.problems.entry(problem).or_default();
        let Some(shard) = shard else { return };
        match ranges.last_mut() {
            Some(range) if range.last == shard => {}
            Some(range) if range.last.checked_add(1) == Some(shard) => range.last = shard,
            _ => ranges.push(ShardRange { first: shard, last: shard }),
        }
    }

    /// Tells all, the worst first.
    pub(super) fn flush(&mut self, report: &mut Report<'_>) {
        let mut all: Vec<_> = std::mem::take(&mut self.problems).into_iter().collect();
        all.sort_by_key(|(problem, _)| std::cmp::Reverse(problem.severity()));
        for (problem, shards) in all {
            let Subject { path, gfid } = self.subject.clone();
            report.tell(AuditFinding { path, gfid, shards, problem });
        }
    }
}
