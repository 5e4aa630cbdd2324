//! What has to hold of a run, of a simulated session and of a real one.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use stillpoint_georep::{
    Error, Evidence, Journal, JournalError, LogFindingKind, Problem, Session, Step, SyncOptions,
    SyncProgress, Verdict, sync,
};

/// A journal that remembers, and fails from a given step on if told to.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) steps: Mutex<Vec<Step>>,
    pub(crate) fail_from: Option<usize>,
}

impl Remembered {
    pub(crate) fn failing_from(step: usize) -> Self {
        Self { fail_from: Some(step), ..Self::default() }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let name = |s: &Step| serde_json::to_value(s).unwrap()["step"].as_str().unwrap().to_owned();
        self.steps.lock().unwrap().iter().map(name).collect()
    }
}

impl Journal for Remembered {
    fn record(&self, step: &Step) -> Result<(), JournalError> {
        let mut steps = self.steps.lock().unwrap();
        if self.fail_from.is_some_and(|from| steps.len() >= from) {
            return Err(JournalError::new("the disk is full"));
        }
        steps.push(step.clone());
        Ok(())
    }
}

/// Makes a run and says what it did.
pub(crate) fn run(session: &Session, options: &SyncOptions) -> (Result<Verdict, Error>, Vec<String>) {
    let journal = Remembered::default();
    let mut show = |p: SyncProgress| {
        if let SyncProgress::Polled { status, missing, sent } = p {
            eprintln!("{missing:?}, sent {sent:?}\n  {status}");
        }
    };
    let verdict = sync(session, options, &journal, &mut show, &AtomicBool::new(false));
    (verdict, journal.names())
}

/// A healthy run is complete and believable, says why, and leaves replication stopped.
pub(crate) fn a_healthy_run_is_believable(session: &Session, options: &SyncOptions) -> Verdict {
    let (verdict, steps) = run(session, options);
    let verdict = verdict.expect("a healthy run");
    assert!(verdict.gluster_says_complete);
    assert_eq!(verdict.problems, [], "{verdict:#?}");
    assert_eq!(verdict.log_findings, []);
    assert!(verdict.believable());
    let subvolumes =
        verdict.evidence.iter().filter(|e| matches!(e, Evidence::SubvolumeComplete { .. })).count();
    let volume = session.volume_info(stillpoint_georep::Side::Primary).unwrap();
    assert_eq!(subvolumes, volume.subvolumes());
    assert!(verdict.evidence.contains(&Evidence::StoppedAfter));
    assert!(session.status().unwrap().all_stopped());
    let order = [
        "checkpoint-intended",
        "checkpoint-set",
        "touch-intended",
        "start-intended",
        "started",
        "judged",
        "stopped",
    ];
    let mut rest = steps.iter();
    for step in order {
        assert!(rest.any(|s| s == step), "{step} is missing, or out of order, in {steps:?}");
    }
    verdict
}

/// With rsync's silent no-op Gluster says complete, and the verdict does not believe it.
pub(crate) fn the_silent_no_op_is_complete_and_not_believable(session: &Session, options: &SyncOptions) {
    let (verdict, _) = run(session, options);
    let verdict = verdict.expect("Gluster says complete");
    assert!(verdict.gluster_says_complete);
    assert!(!verdict.believable());
    assert!(
        verdict.problems.iter().any(|p| matches!(p, Problem::RsyncNoOp { files: 1.., .. })),
        "{verdict:#?}"
    );
    assert!(session.status().unwrap().all_stopped());
}

/// Whatever is given up after its retries is complete for Gluster, counted by nobody, and found in the log.
pub(crate) fn what_is_given_up_is_complete_and_not_believable(session: &Session, options: &SyncOptions) {
    let (verdict, _) = run(session, options);
    let verdict = verdict.expect("Gluster says complete");
    assert!(verdict.gluster_says_complete && !verdict.believable());
    let moved_on: Vec<_> =
        verdict.log_findings.iter().filter(|f| f.kind == LogFindingKind::MovingOn).collect();
    assert!(!moved_on.is_empty(), "{:#?}", verdict.log_findings);
    // It names no file, so that it counts against every one.
    assert!(moved_on.iter().all(|f| f.gfids.is_empty()));
    assert!(!verdict.believable_for(&[uuid::Uuid::from_u128(7)].into()));
    assert!(!verdict.problems.iter().any(|p| matches!(p, Problem::FailuresRose { .. })));
    assert!(session.status().unwrap().all_stopped());
}

/// Cancelled once it is started, a run stops replication and says that it was cancelled.
pub(crate) fn cancelling_stops_replication(session: &Session, options: &SyncOptions) {
    let cancel = AtomicBool::new(false);
    let mut once_started = |p| {
        if matches!(p, SyncProgress::Started) {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let error = sync(session, options, &Remembered::default(), &mut once_started, &cancel);
    let error = error.expect_err("it was cancelled");
    assert!(error.is_cancelled() && !error.may_be_running(), "{error}");
    assert!(session.status().unwrap().all_stopped());
}

/// A session that runs already is stopped before anything else is done.
pub(crate) fn what_runs_already_is_stopped_first(session: &Session, options: &SyncOptions) {
    assert!(!session.status().unwrap().all_stopped());
    let (verdict, steps) = run(session, options);
    assert!(verdict.unwrap().believable());
    assert_eq!(steps[..2], ["stop-intended", "stopped"]);
}

/// A worker without its brick is Faulty: `fail` takes the brick away once replication is started.
pub(crate) fn a_worker_that_dies_fails_the_run_by_name(
    session: &Session,
    options: &SyncOptions,
    brick: &str,
    mut fail: impl FnMut(),
) {
    let mut once_started = |p| {
        if matches!(p, SyncProgress::Started) {
            fail();
        }
    };
    let cancel = AtomicBool::new(false);
    let error = sync(session, options, &Remembered::default(), &mut once_started, &cancel);
    let error = error.expect_err("a worker has no brick");
    eprintln!("{error}");
    assert!(matches!(&error, Error::Faulty { bricks, .. } if bricks.contains(brick)), "{error}");
    assert!(error.is_retryable() && !error.may_be_running());
    assert!(session.status().unwrap().all_stopped());
}

/// A cut link is an error that says so, and replication is stopped all the same.
pub(crate) fn a_cut_link_is_said(session: &Session, options: &SyncOptions) {
    let (verdict, _) = run(session, options);
    let error = verdict.expect_err("nothing can be reached");
    assert!(matches!(error, Error::FarSideUnreachable { .. }), "{error}");
    assert!(error.to_string().contains(session.name().secondary_host()));
    assert!(error.is_retryable() && !error.may_be_running());
    assert!(session.status().unwrap().all_stopped());
}
