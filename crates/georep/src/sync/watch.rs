//! Workers that don't get on: not running at all, or Active and standing still.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::status::{CrawlStatus, SessionStatus, Worker, WorkerStatus};
use crate::volume::BrickName;

use super::judge::shortfall;

/// What changes in an Active worker's row as long as it gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pulse {
    last_synced: Option<Timestamp>,
    counters: [Option<u64>; 4],
}

impl Pulse {
    fn of(worker: &Worker) -> Self {
        let counters = [worker.entry, worker.data, worker.meta, worker.failures];
        Self { last_synced: worker.last_synced, counters }
    }
}

/// Since when each worker has been unfit or standing still. Times are those of [`Clock::elapsed`](crate::Clock::elapsed).
#[derive(Debug, Default)]
pub(super) struct Watch {
    unfit: HashMap<BrickName, Duration>,
    still: HashMap<BrickName, (Pulse, Duration)>,
    failures: HashMap<BrickName, (u64, u64)>,
}

impl Watch {
    /// Takes note of rows read at `now`.
    pub(super) fn note(&mut self, status: &SessionStatus, checkpoint: Timestamp, now: Duration) {
        for row in &status.rows {
            match row.status() {
                // Gsyncd starts a dead worker again by itself: between two deaths it is Initializing, so that this does
                // not count as getting well.
                Some(WorkerStatus::Active | WorkerStatus::Passive) => {
                    self.unfit.remove(&row.brick);
                }
                Some(WorkerStatus::Initializing) => {}
                _ => {
                    self.unfit.entry(row.brick.clone()).or_insert(now);
                }
            }
        }
        for worker in status.workers() {
            self.note_failures(worker);
            // A worker that reads its history, or walks the volume, may be busy with one large batch for long. One that
            // waits to be told of changelogs should have had ours from its history.
            let waits = worker.status == WorkerStatus::Active
                && !matches!(worker.crawl, Some(CrawlStatus::History | CrawlStatus::Hybrid))
                && shortfall(worker, checkpoint).is_some();
            if !waits {
                self.still.remove(&worker.brick);
                continue;
            }
            let pulse = Pulse::of(worker);
            let seen = self.still.entry(worker.brick.clone()).or_insert((pulse, now));
            if seen.0 != pulse {
                *seen = (pulse, now);
            }
        }
    }

    fn note_failures(&mut self, worker: &Worker) {
        if let Some(failures) = worker.failures {
            let seen = self.failures.entry(worker.brick.clone()).or_insert((failures, failures));
            seen.1 = seen.1.max(failures);
        }
    }

    /// Bricks whose workers died and are being started again: rows that say Initializing prove nothing for them.
    pub(super) fn not_back(&self, status: &SessionStatus) -> Vec<BrickName> {
        let starting = status.rows.iter().filter(|r| r.status() == Some(&WorkerStatus::Initializing));
        starting.map(|r| r.brick.clone()).filter(|b| self.unfit.contains_key(b)).collect()
    }

    /// Bricks whose workers have not run for longer than `grace`, and for how long at most.
    pub(super) fn unfit(&self, now: Duration, grace: Duration) -> Option<(Vec<BrickName>, Duration)> {
        longer(self.unfit.iter().map(|(b, since)| (b, *since)), now, grace)
    }

    /// Bricks whose Active workers have stood still for longer than `limit`.
    pub(super) fn still(&self, now: Duration, limit: Duration) -> Option<(Vec<BrickName>, Duration)> {
        longer(self.still.iter().map(|(b, (_, since))| (b, *since)), now, limit)
    }

    /// Bricks whose failures rose, with the first and the highest count seen.
    pub(super) fn failures_risen(&self) -> Vec<(BrickName, u64, u64)> {
        let risen = self.failures.iter().filter(|(_, (first, last))| last > first);
        let mut risen: Vec<_> = risen.map(|(brick, (first, last))| (brick.clone(), *first, *last)).collect();
        risen.sort();
        risen
    }

    /// Forgets everything but failures: replication was started anew.
    pub(super) fn restarted(&mut self) {
        self.unfit.clear();
        self.still.clear();
    }
}

fn longer<'a>(
    since: impl Iterator<Item = (&'a BrickName, Duration)>,
    now: Duration,
    limit: Duration,
) -> Option<(Vec<BrickName>, Duration)> {
    let mut longest = Duration::ZERO;
    let mut bricks = Vec::new();
    for (brick, since) in since {
        let time = now.saturating_sub(since);
        if time > limit {
            longest = longest.max(time);
            bricks.push(brick.clone());
        }
    }
    bricks.sort();
    (!bricks.is_empty()).then_some((bricks, longest))
}

/// Names of bricks, one after the other.
pub(super) fn names(bricks: &[BrickName]) -> String {
    bricks.iter().map(BrickName::to_string).collect::<Vec<_>>().join(", ")
}
