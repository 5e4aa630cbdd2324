//! Whether Gluster's rows prove that a checkpoint was reached.

use jiff::Timestamp;

use crate::status::{Row, SessionStatus, Worker, WorkerStatus};
use crate::verdict::Evidence;

/// What rows prove.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    /// Why it is not proved; empty when it is.
    pub(super) missing: Vec<String>,
    /// What proves it, one item per subvolume that is complete.
    pub(super) evidence: Vec<Evidence>,
}

impl Judgement {
    /// Judges `status` against `checkpoint`.
    ///
    /// Nothing is proved by counting: zero Active workers that completed zero checkpoints are equal too.
    pub(super) fn of(status: &SessionStatus, checkpoint: Timestamp) -> Self {
        let mut judgement = Self { missing: Vec::new(), evidence: Vec::new() };
        if status.rows.is_empty() {
            judgement.missing.push("the volume has no brick".to_owned());
        }
        for row in &status.rows {
            match row.status() {
                None => judgement.missing.push(format!("{} has no row: is glusterd down there?", row.brick)),
                Some(WorkerStatus::Active | WorkerStatus::Passive | WorkerStatus::Initializing) => {}
                Some(other) => judgement.missing.push(format!("{} is {other}", row.brick)),
            }
        }
        for stray in &status.strays {
            judgement.missing.push(format!("{} has a row and is no brick of the volume", stray.brick));
        }
        // Rows come in the volume's order, so that a subvolume's are neighbours.
        for set in status.rows.chunk_by(|a, b| a.subvolume == b.subvolume) {
            judgement.subvolume(set, checkpoint);
        }
        judgement
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    fn subvolume(&mut self, set: &[Row], checkpoint: Timestamp) {
        let active: Vec<&Worker> =
            set.iter().filter(|r| r.is_active()).filter_map(|r| r.worker.as_ref()).collect();
        let Some(first) = set.first() else { return };
        if active.is_empty() {
            self.missing
                .push(format!("no worker is Active in subvolume {} ({}, …)", first.subvolume, first.brick));
            return;
        }
        let before = self.missing.len();
        for worker in &active {
            if let Some(why) = shortfall(worker, checkpoint) {
                self.missing.push(format!("{} {why}", worker.brick));
            }
        }
        let oldest = active.iter().filter_map(|w| w.last_synced).min();
        if let (true, Some(last_synced)) = (self.missing.len() == before, oldest) {
            let active = active.iter().map(|w| w.brick.clone()).collect();
            self.evidence.push(Evidence::SubvolumeComplete {
                subvolume: first.subvolume,
                active,
                last_synced,
            });
        }
    }
}

/// What an Active worker lacks to have reached `checkpoint`.
pub(super) fn shortfall(worker: &Worker, checkpoint: Timestamp) -> Option<String> {
    let Some(row) = worker.checkpoint else { return Some("says nothing of a checkpoint yet".to_owned()) };
    if row.time != Some(checkpoint) {
        let whose = row.time.map_or_else(|| "none".to_owned(), |t| t.to_string());
        return Some(format!("speaks of another checkpoint ({whose})"));
    }
    if !row.completed {
        return Some("has not reached the checkpoint".to_owned());
    }
    match worker.last_synced {
        Some(at) if at >= checkpoint => None,
        Some(at) => Some(format!("says Yes and has synced only up to {at}")),
        None => Some("says Yes and not up to when it has synced".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::CheckpointRow;
    use crate::volume::BrickName;

    const CHECKPOINT: i64 = 1_795_420_499;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(index: usize, status: WorkerStatus, checkpoint: Option<(bool, i64)>, synced: Option<i64>) -> Row {
        let brick = BrickName { host: "siteA".into(), path: format!("/bricks/b{index}") };
        let worker = Worker {
            brick: brick.clone(),
            node: None,
            secondary_node: None,
            secondary_user: None,
            status,
            crawl: None,
            entry: None,
            data: None,
            meta: None,
            failures: Some(0),
            checkpoint: checkpoint.map(|(completed, time)| CheckpointRow {
                completed,
                time: Some(at(time)),
                completed_at: None,
            }),
            last_synced: synced.map(at),
        };
        Row { brick, subvolume: index / 2, worker: Some(worker) }
    }

    fn good(index: usize) -> Row {
        row(index, WorkerStatus::Active, Some((true, CHECKPOINT)), Some(CHECKPOINT + 11))
    }

    fn passive(index: usize) -> Row {
        row(index, WorkerStatus::Passive, None, None)
    }

    fn judge(rows: Vec<Row>) -> Judgement {
        Judgement::of(&SessionStatus { rows, strays: Vec::new() }, at(CHECKPOINT))
    }

    #[test]
    fn one_active_worker_per_set_that_reached_our_checkpoint_is_complete() {
        let judgement = judge(vec![good(0), passive(1), passive(2), good(3)]);
        assert!(judgement.is_complete(), "{:?}", judgement.missing);
        assert_eq!(judgement.evidence.len(), 2);
        assert!(judge((0..4).map(good).collect()).is_complete());
    }

    #[test]
    fn zero_active_workers_are_never_complete() {
        use WorkerStatus as S;
        for status in [S::Initializing, S::Passive, S::Created, S::Stopped, S::Paused, S::NotAvailable] {
            let rows = (0..4).map(|i| row(i, status.clone(), None, None)).collect();
            assert!(!judge(rows).is_complete(), "{status}");
        }
        assert!(!judge(Vec::new()).is_complete());
    }

    #[test]
    fn a_whole_set_without_an_active_worker_is_not_complete() {
        let judgement = judge(vec![good(0), good(1), passive(2), passive(3)]);
        assert_eq!(judgement.missing.len(), 1);
        assert!(judgement.missing[0].contains("subvolume 1"));
    }

    #[test]
    fn an_offline_brick_is_not_complete() {
        let mut rows: Vec<Row> = (0..4).map(good).collect();
        rows[1].worker = None;
        assert!(!judge(rows).is_complete());
    }

    #[test]
    fn every_fault_in_one_row_is_enough() {
        use WorkerStatus as S;
        for bad in [
            row(1, S::Active, Some((false, CHECKPOINT)), Some(CHECKPOINT - 1)),
            row(1, S::Active, Some((true, CHECKPOINT - 1)), Some(CHECKPOINT + 9)),
            row(1, S::Active, Some((true, CHECKPOINT)), Some(CHECKPOINT - 1)),
            row(1, S::Active, Some((true, CHECKPOINT)), None),
            row(1, S::Active, None, Some(CHECKPOINT + 9)),
            row(1, S::Faulty, None, None),
            row(1, S::Paused, None, None),
            row(1, S::ConfigCorrupted, None, None),
            row(1, S::Other("new".into()), None, None),
        ] {
            let judgement = judge(vec![good(0), bad, good(2), good(3)]);
            assert_eq!(judgement.missing.len(), 1, "{:?}", judgement.missing);
        }
    }
}
