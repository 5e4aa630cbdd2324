//! What the rows tell before a run: workers that can't run, stand still, or go the wrong way.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::look::{Look, Remedy};
use super::{Check, Severity};
use crate::status::{CrawlStatus, Row, SessionStatus, Worker, WorkerStatus};
use crate::volume::VolumeInfo;

/// How far a brick's clock may be ahead of this one.
const CLOCK: SignedDuration = SignedDuration::from_secs(2);

impl Look<'_> {
    pub(super) fn rows(&mut self, status: &SessionStatus, primary: &VolumeInfo) {
        for check in [Check::Workers, Check::Starved, Check::HybridCrawl, Check::Clock] {
            self.looked(check);
        }
        self.workers(status);
        let now = self.session.clock().now();
        let still_for = (primary.rollover() * 3).max(Duration::from_secs(60));
        let starved: Vec<String> =
            active(status).filter(|w| stands_still(w, now, still_for)).map(|w| w.brick.to_string()).collect();
        if !starved.is_empty() {
            let seen = format!(
                "workers of {} are Active, wait for changes, and have not reached a checkpoint that was set more than \
                 {} s ago",
                starved.join(", "),
                still_for.as_secs()
            );
            let matters = "a worker that missed the connection to its brick's changelog stands still for ever and calls \
                           itself Active: nothing on its bricks is replicated";
            let stop = self.typed_session("stop");
            let start = self.typed_session("start");
            let remedy = Remedy::Do(format!("{stop}, then {start} (a run does so by itself)"));
            self.find(Check::Starved, Severity::Warn, seen, matters, remedy);
        }
        if active(status).any(|w| w.crawl == Some(CrawlStatus::Hybrid)) {
            let matters = "a first walk, or one after changelogs were lost, sees no deletion and no rename: files that are \
                           gone at the primary can stay at the secondary";
            let seen = "a worker walks the whole volume (Hybrid Crawl)";
            self.find(Check::HybridCrawl, Severity::Note, seen, matters, Remedy::None);
        }
        let ahead = active(status)
            .filter_map(|w| Some((w, w.last_synced?.duration_since(now))))
            .filter(|(_, ahead)| *ahead > CLOCK)
            .max_by_key(|(_, ahead)| *ahead);
        if let Some((worker, ahead)) = ahead {
            let seen = format!("{} has synced up to {} s from now", worker.brick, ahead.as_secs());
            let matters = "a checkpoint is this machine's time and is compared with the brick's: one that is ahead calls it \
                           reached before it is";
            let remedy = Remedy::Do("set the clocks of all nodes of the primary by NTP".to_owned());
            self.find(Check::Clock, Severity::Refuse, seen, matters, remedy);
        }
    }

    fn workers(&mut self, status: &SessionStatus) {
        let named = |wanted: fn(&Row) -> bool| {
            let rows = status.rows.iter().filter(|r| wanted(r)).map(|r| match r.status() {
                Some(status) => format!("{} ({status})", r.brick),
                None => r.brick.to_string(),
            });
            rows.collect::<Vec<_>>().join(", ")
        };
        let none = named(|r| r.worker.is_none());
        if !none.is_empty() {
            let seen = format!("no row tells of {none}");
            let matters =
                "glusterd is down there, or can't be reached: whether replication is stopped can't be known";
            let remedy = Remedy::Do("start glusterd on these nodes".to_owned());
            self.find(Check::Workers, Severity::Refuse, seen, matters, remedy);
        }
        let broken =
            named(|r| matches!(r.status(), Some(WorkerStatus::ConfigCorrupted | WorkerStatus::Inconsistent)));
        if !broken.is_empty() {
            let seen = format!("the session's configuration can't be used by {broken}");
            let matters = "these workers never start";
            let remedy = Remedy::Do(
                "compare gsyncd.conf in /var/lib/glusterd/geo-replication on all nodes, or create the session anew"
                    .to_owned(),
            );
            self.find(Check::Workers, Severity::Refuse, seen, matters, remedy);
        }
        let ill = named(|r| matches!(r.status(), Some(WorkerStatus::Faulty | WorkerStatus::Defunct)));
        if !ill.is_empty() {
            let seen = format!("workers die: {ill}");
            let matters = "what their bricks hold is replicated by another worker of the set, or by nobody";
            let remedy =
                Remedy::Do("see gsyncd.log on these nodes; 'stop force' and 'start' begin anew".to_owned());
            self.find(Check::Workers, Severity::Warn, seen, matters, remedy);
        }
        let paused = named(|r| r.status() == Some(&WorkerStatus::Paused));
        if !paused.is_empty() {
            let remedy = Remedy::Do(self.typed_session("resume"));
            let matters =
                "nothing is replicated, and a checkpoint is never reached (a run stops and starts it)";
            self.find(Check::Workers, Severity::Note, paused, matters, remedy);
        }
        for stray in &status.strays {
            let seen = format!("{} has a row ({}) and is no brick of the volume", stray.brick, stray.status);
            let matters = "the row of a brick that was removed or replaced keeps a run from being judged";
            let remedy = Remedy::Do(format!(
                "{}, then {}",
                self.typed_session("stop force"),
                self.typed_session("start force")
            ));
            self.find(Check::Workers, Severity::Warn, seen, matters, remedy);
        }
    }

    fn typed_session(&self, verb: &str) -> String {
        let name = self.session.name();
        format!("gluster volume geo-replication {} {} {verb}", name.primary_volume(), name.secondary())
    }
}

fn active(status: &SessionStatus) -> impl Iterator<Item = &Worker> {
    status.workers().filter(|w| w.status == WorkerStatus::Active)
}

/// Whether a worker that waits to be told of changes should have reached its checkpoint long ago.
fn stands_still(worker: &Worker, now: Timestamp, still_for: Duration) -> bool {
    let Some(checkpoint) = worker.checkpoint.filter(|c| !c.completed) else { return false };
    let age = checkpoint.time.map(|t| now.duration_since(t));
    let limit = SignedDuration::try_from(still_for).unwrap_or(SignedDuration::MAX);
    worker.crawl == Some(CrawlStatus::Changelog) && age.is_some_and(|age| age > limit)
}
