//! Runs of a simulated session, healthy and not.
#![allow(clippy::unwrap_used, reason = "it is a test")]

mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stillpoint_georep::{
    BrickName, CliErrorKind, Clock, Error, NoJournal, Patience, Problem, RunError, Session, Stage,
    SyncOptions, SyncProgress, Verdict, sync,
};
use stillpoint_sim::replication::{Behaviour, Fault, SimulatedSession, Vocabulary};
use suite::{Remembered, run};
use uuid::Uuid;

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn simulated(behaviour: Behaviour) -> (SimulatedSession, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let simulated = SimulatedSession::new("gv1 siteB::gv2".parse().unwrap(), dir.path()).unwrap();
    simulated.behave(behaviour);
    (simulated, dir)
}

fn parts(s: &SimulatedSession) -> (Session, SyncOptions) {
    (s.session(), s.options(TEN_MINUTES))
}

/// A run in which commands with these words fail once replication is started.
fn sync_with_fault_once_started(
    s: &SimulatedSession,
    options: &SyncOptions,
    words: &str,
    times: usize,
    fault: &Fault,
) -> Result<Verdict, Error> {
    let mut fail = |progress| {
        if matches!(progress, SyncProgress::Started) {
            s.fail(words, times, fault.clone());
        }
    };
    sync(&s.session(), options, &NoJournal, &mut fail, &AtomicBool::new(false))
}

#[test]
fn a_healthy_run_is_believable_in_both_vocabularies() {
    for vocabulary in [Vocabulary::Since10, Vocabulary::Before10] {
        let (s, _dir) = simulated(Behaviour::Healthy);
        let s = s.with_vocabulary(vocabulary);
        let (session, options) = parts(&s);
        suite::a_healthy_run_is_believable(&session, &options);
        // And again, now with a state behind it.
        suite::a_healthy_run_is_believable(&session, &options);
        assert!(!s.is_running());
    }
}

#[test]
fn ipv6_hosts_work_at_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    let s = SimulatedSession::new("gv1 2001:db8::7::gv2".parse().unwrap(), dir.path()).unwrap();
    let brick = |i| BrickName { host: "fe80::1".into(), path: format!("/bricks/b{i}") };
    let s = s.with_bricks((0..3).map(brick).collect(), 3);
    let (session, options) = parts(&s);
    suite::a_healthy_run_is_believable(&session, &options);
}

#[test]
fn the_root_is_touched_after_the_checkpoint_and_rolled_before_the_start() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    let began = s.elapsed();
    let (verdict, steps) = run(&session, &options);
    assert!(verdict.unwrap().believable());
    let at = |name: &str| steps.iter().position(|s| s == name).unwrap();
    assert!(at("checkpoint-set") < at("touch-intended") && at("touch-intended") < at("start-intended"));
    // The rollover time of a volume that doesn't set it is 15 s.
    assert!(s.elapsed() - began > Duration::from_secs(15));
}

#[test]
fn the_hook_is_called_once_a_start_and_before_the_run_is_complete() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    s.on_replicate(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let (session, options) = parts(&s);
    for expected in 1..=3 {
        suite::a_healthy_run_is_believable(&session, &options);
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn the_silent_no_op_is_caught() {
    let (s, _dir) = simulated(Behaviour::SilentNoOp);
    s.on_replicate(Box::new(|| panic!("nothing is sent")));
    let (session, options) = parts(&s);
    suite::the_silent_no_op_is_complete_and_not_believable(&session, &options);
}

#[test]
fn a_no_op_that_is_not_logged_is_a_problem_of_its_own() {
    let (s, _dir) = simulated(Behaviour::SilentNoOp);
    let (session, mut options) = parts(&s);
    options.log_rsync = false;
    let verdict = run(&session, &options).0.unwrap();
    assert_eq!(verdict.problems, [Problem::RsyncNotLogged]);
}

#[test]
fn without_a_log_a_verdict_is_not_believable() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, mut options) = parts(&s);
    options.logs.clear();
    let verdict = run(&session, &options).0.unwrap();
    assert!(verdict.gluster_says_complete && !verdict.believable());
    assert!(matches!(verdict.problems.as_slice(), [Problem::LogUnread { .. }]));
}

#[test]
fn a_log_that_is_not_the_session_s_is_noticed() {
    let (s, dir) = simulated(Behaviour::Healthy);
    let (session, mut options) = parts(&s);
    options.logs.clear();
    let options = options.with_log_dir(&dir.path().join("elsewhere"), session.name());
    let verdict = run(&session, &options).0.unwrap();
    assert!(matches!(verdict.problems.as_slice(), [Problem::LogUnread { .. }]), "{:?}", verdict.problems);
}

#[test]
fn moving_on_is_found_and_can_t_be_attributed() {
    let (s, _dir) = simulated(Behaviour::MovingOn);
    let (session, options) = parts(&s);
    suite::what_is_given_up_is_complete_and_not_believable(&session, &options);
}

#[test]
fn a_run_that_is_cancelled_and_a_session_that_runs_already_are_stopped() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    suite::cancelling_stops_replication(&session, &options);
    session.start().unwrap();
    s.sleep(Duration::from_secs(20));
    suite::what_runs_already_is_stopped_first(&session, &options);
}

#[test]
fn a_worker_whose_brick_goes_in_the_middle_fails_the_run_by_name() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    let fail = || s.behave(Behaviour::Faulty { brick: 1 });
    suite::a_worker_that_dies_fails_the_run_by_name(&session, &options, "siteA:/bricks/b1", fail);
}

#[test]
fn a_failed_entry_counts_against_the_files_it_names_alone() {
    let gfid = Uuid::from_u128(0x5ee0_e5a3);
    let (s, _dir) = simulated(Behaviour::EntryFailed { gfid });
    let (session, options) = parts(&s);
    let verdict = run(&session, &options).0.unwrap();
    assert!(!verdict.believable());
    assert!(!verdict.believable_for(&[gfid].into()));
    assert!(verdict.believable_for(&[Uuid::from_u128(7)].into()));
}

#[test]
fn failures_that_rise_are_a_problem() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    s.behave(Behaviour::FailuresRise);
    let verdict = run(&session, &options).0.unwrap();
    assert!(
        matches!(verdict.problems.as_slice(), [Problem::FailuresRose { before: 0, after: 1, .. }]),
        "{:?}",
        verdict.problems
    );
    // The count stays where it is in the next run, and that is no new failure.
    s.behave(Behaviour::Healthy);
    assert!(run(&session, &options).0.unwrap().believable());
}

#[test]
fn zero_active_workers_that_completed_zero_checkpoints_are_not_complete() {
    let (s, _dir) = simulated(Behaviour::ZeroActive);
    let (session, options) = parts(&s);
    let error = run(&session, &options).0.unwrap_err();
    assert!(matches!(&error, Error::Deadline { stage: Stage::Waiting, .. }), "{error}");
    assert!(error.to_string().contains("no worker is Active in subvolume 0"), "{error}");
    assert!(!s.is_running());
}

#[test]
fn a_whole_passive_set_is_not_complete() {
    let (s, _dir) = simulated(Behaviour::PassiveSet { set: 1 });
    let (session, options) = parts(&s);
    let error = run(&session, &options).0.unwrap_err();
    assert!(error.to_string().contains("no worker is Active in subvolume 1"), "{error}");
}

#[test]
fn a_starved_worker_is_started_again_and_reaches_the_checkpoint() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    s.behave(Behaviour::Starved { brick: 2, starts: 2 });
    let (verdict, steps) = run(&session, &options);
    let verdict = verdict.unwrap();
    assert!(verdict.believable(), "{:?}", verdict.problems);
    assert_eq!(verdict.restarts, 2);
    assert_eq!(steps.iter().filter(|s| *s == "restart-intended").count(), 2);
}

#[test]
fn a_worker_that_starves_for_ever_is_given_up_after_bounded_restarts() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    s.behave(Behaviour::Starved { brick: 2, starts: u32::MAX });
    let error = run(&session, &options).0.unwrap_err();
    assert!(
        matches!(&error, Error::Starved { restarts: 2, bricks, .. } if bricks == "siteA:/bricks/b2"),
        "{error}"
    );
    assert!(!s.is_running());
}

#[test]
fn a_faulty_worker_has_its_grace_and_then_fails_the_run() {
    let (s, _dir) = simulated(Behaviour::Faulty { brick: 1 });
    let (session, options) = parts(&s);
    let began = s.elapsed();
    let error = run(&session, &options).0.unwrap_err();
    let took = s.elapsed() - began;
    assert!(matches!(&error, Error::Faulty { bricks, .. } if bricks == "siteA:/bricks/b1"), "{error}");
    assert!(took > options.faulty_grace && took < TEN_MINUTES, "{took:?}");
    assert!(!s.is_running());
}

#[test]
fn an_offline_brick_is_not_complete_and_fails_the_run_before_its_time_is_over() {
    let (s, _dir) = simulated(Behaviour::Offline { brick: 3 });
    let (session, options) = parts(&s);
    let error = run(&session, &options).0.unwrap_err();
    assert!(error.to_string().contains("siteA:/bricks/b3"), "{error}");
    // While its row is missing it can't be said to be stopped, so the simulation shows it again once stopped.
    assert!(!s.is_running());
}

#[test]
fn a_cut_link_is_said_though_every_row_is_active() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    s.behave(Behaviour::LinkCut);
    suite::a_cut_link_is_said(&session, &options);
    // And with less time than the grace.
    let mut hurried = options.clone();
    hurried.deadline = Duration::from_secs(60);
    suite::a_cut_link_is_said(&session, &hurried);
}

#[test]
fn what_can_t_be_stopped_is_reported_as_still_running_with_the_verdict() {
    let (s, _dir) = simulated(Behaviour::WontStop);
    let (session, options) = parts(&s);
    let error = run(&session, &options).0.unwrap_err();
    let Error::StillRunning { reason, verdict: Some(verdict), after: None } = &error else {
        panic!("{error}")
    };
    assert!(matches!(**reason, Error::NotStopped { .. }), "{reason}");
    assert!(verdict.gluster_says_complete);
    assert!(error.may_be_running());
    assert!(s.commands().iter().any(|c| c.contains("stop force")));
    // Nor does a next run begin.
    let error = run(&session, &options).0.unwrap_err();
    assert!(matches!(error, Error::NotStopped { .. }), "{error}");
    s.behave(Behaviour::Healthy);
    assert!(session.ensure_stopped(&NoJournal).unwrap().all_stopped());
}

#[test]
fn a_busy_cluster_is_asked_again_and_nothing_else_is() {
    let busy = "Another transaction is in progress for gv1. Please try again after some time.";
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    for command in [" start", "config checkpoint", "status detail", " stop"] {
        s.fail(command, 3, Fault::Refuse(busy.into()));
    }
    suite::a_healthy_run_is_believable(&session, &options);
    s.fail(" start", 1, Fault::Refuse("Volume gv1 needs to be started before geo-replication start".into()));
    let error = run(&session, &options).0.unwrap_err();
    assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Misconfigured), "{error}");
    assert!(!error.is_retryable());
}

#[test]
fn a_cluster_that_stays_busy_is_given_up_as_retryable() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    s.fail("status detail", usize::MAX, Fault::Refuse("Another transaction is in progress".into()));
    let error = s.session().status().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(s.commands().len() > 5);
}

#[test]
fn a_session_that_does_not_exist_is_absent_and_not_merely_unreadable() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    for answer in [Fault::Cut(0), Fault::Cut(100), Fault::Text("geo-replication command failed\n".into())] {
        s.fail("status detail", 1, answer);
        s.fail(
            "gv2 status",
            1,
            Fault::Text("No active geo-replication sessions between gv1 and siteB::gv2\n".into()),
        );
        let error = s.session().status().unwrap_err();
        assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Absent), "{error}");
    }
}

#[test]
fn glusterd_down_is_told_apart() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let down = "Connection failed. Please check if gluster daemon is operational.\n";
    s.fail("volume info", 1, Fault::Text(down.into()));
    let error = s.session().status().unwrap_err();
    assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::GlusterdDown), "{error}");
}

#[test]
fn glusterd_gone_for_a_moment_while_waiting_does_not_end_the_run() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (_, options) = parts(&s);
    let down = "Connection failed. Please check if gluster daemon is operational.\n";
    let verdict = sync_with_fault_once_started(&s, &options, "status detail", 4, &Fault::Text(down.into()));
    assert!(verdict.unwrap().believable());
}

#[test]
fn cut_documents_are_errors_wherever_they_are_cut() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let session = s.session();
    for length in (0..2500).step_by(7) {
        s.fail("volume info", 1, Fault::Cut(length));
        let info = session.volume_info(stillpoint_georep::Side::Primary);
        // A document whose last line break alone was cut is whole.
        assert!(info.is_err() || info.is_ok_and(|v| v.bricks.len() == 4));
    }
}

#[test]
fn a_hung_command_ends_the_run_at_its_deadline_and_replication_is_stopped() {
    let (s, _dir) = simulated(Behaviour::ZeroActive);
    let (_, mut options) = parts(&s);
    options.deadline = Duration::from_secs(100);
    let began = s.elapsed();
    let error = sync_with_fault_once_started(&s, &options, "status detail", 1, &Fault::Hang).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(s.elapsed() - began < Duration::from_secs(120), "{:?}", s.elapsed() - began);
    assert!(!s.is_running());
}

#[test]
fn glusterd_that_hangs_while_stopping_is_still_running_within_the_limit() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (_, options) = parts(&s);
    let began = s.elapsed();
    let error = sync_with_fault_once_started(&s, &options, " stop", usize::MAX, &Fault::Hang).unwrap_err();
    assert!(matches!(&error, Error::StillRunning { verdict: Some(_), .. }), "{error}");
    assert!(s.elapsed() - began < Duration::from_secs(120), "{:?}", s.elapsed() - began);
}

/// As when a process is killed right after it asked for the start, and another is to see to it that nothing runs.
#[test]
fn rows_that_lag_behind_a_start_are_not_taken_for_stopped() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let session = s.session();
    session.start().unwrap();
    assert!(session.status().unwrap().all_stopped(), "the rows don't lag");
    assert!(session.ensure_stopped(&NoJournal).unwrap().all_stopped());
    assert!(!s.is_running());
}

#[test]
fn cancelling_at_any_time_leaves_replication_stopped_within_a_second_and_the_stop() {
    // Cancelled at the n-th piece of news, for every n.
    for n in 0.. {
        let (s, _dir) = simulated(Behaviour::Healthy);
        let (session, options) = parts(&s);
        let cancel = AtomicBool::new(n == 0);
        let mut seen = 0;
        let mut cancelled_at = s.elapsed();
        let verdict = sync(
            &session,
            &options,
            &NoJournal,
            &mut |_| {
                seen += 1;
                if seen == n {
                    cancel.store(true, Ordering::Relaxed);
                    cancelled_at = s.elapsed();
                }
            },
            &cancel,
        );
        assert!(!s.is_running(), "cancelled at {n}");
        match verdict {
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                assert!(!error.may_be_running());
                assert!(s.elapsed() - cancelled_at < Duration::from_secs(5));
            }
            // Too late to matter: it was judged already.
            Ok(verdict) => {
                assert!(verdict.believable());
                if seen < n {
                    return;
                }
            }
        }
    }
}

#[test]
fn a_journal_that_fails_at_any_step_leaves_replication_stopped() {
    let healthy = Remembered::default();
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    sync(&session, &options, &healthy, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    let steps = healthy.names().len();
    assert!(steps > 8);
    for from in 0..steps {
        let (s, _dir) = simulated(Behaviour::Healthy);
        let (session, options) = parts(&s);
        let journal = Remembered::failing_from(from);
        let error = sync(&session, &options, &journal, &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
        assert!(matches!(error, Error::Journal(_)), "{from}: {error}");
        assert!(!s.is_running(), "{from}");
        // Nothing was done whose intention could not be recorded.
        let started = s.commands().iter().any(|c| c.ends_with("start --xml"));
        assert_eq!(started, journal.names().iter().any(|n| n == "start-intended"), "{from}");
    }
}

#[test]
fn replication_that_someone_else_left_running_is_stopped_first() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    session.start().unwrap();
    // Its rows lag behind.
    let until = s.elapsed() + Duration::from_secs(60);
    while session.status().unwrap().all_stopped() {
        assert!(s.elapsed() < until, "it is not seen to run");
    }
    let (verdict, steps) = run(&session, &options);
    assert!(verdict.unwrap().believable());
    assert_eq!(steps[..2], ["stop-intended", "stopped"]);
}

#[test]
fn a_checkpoint_that_does_not_change_is_an_error() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    let success = "<cliOutput><opRet>0</opRet><opErrno>0</opErrno><opErrstr/><geoRep/></cliOutput>";
    s.fail("config checkpoint", 2, Fault::Text(success.into()));
    let error = run(&session, &options).0.unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
}

#[test]
fn a_mount_that_can_t_be_touched_is_named_and_nothing_is_started() {
    let (s, dir) = simulated(Behaviour::Healthy);
    let (session, mut options) = parts(&s);
    options.mount = dir.path().join("gone");
    let error = run(&session, &options).0.unwrap_err();
    assert!(matches!(error, Error::Touch { .. }), "{error}");
    assert!(!s.commands().iter().any(|c| c.ends_with("start --xml")));
}

#[test]
fn a_single_call_s_limit_is_honoured() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let session = s.session().with_patience(Patience::default().call(Duration::from_secs(7)));
    s.fail("volume info", 1, Fault::Hang);
    let error = session.volume_info(stillpoint_georep::Side::Primary).unwrap_err();
    assert!(
        matches!(&error, Error::Run(RunError::TimedOut { timeout, .. }) if timeout.as_secs() == 7),
        "{error}"
    );
}

#[test]
fn progress_tells_what_rsync_sent_so_far_and_each_batch_once() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    let mut told = Vec::new();
    let mut note = |p| {
        if let SyncProgress::Polled { sent, .. } = p {
            told.push(sent.unwrap());
        }
    };
    sync(&session, &options, &NoJournal, &mut note, &AtomicBool::new(false)).unwrap();
    // Four workers, each with a batch of six files, and nothing of the run before.
    let last = told.last().unwrap();
    assert_eq!((last.batches, last.files, last.bytes), (4, 24, 4 * 1260));
    assert!(told.is_sorted_by_key(|sent| sent.batches));
    let mut without = options.clone();
    without.logs.clear();
    let mut note = |p| {
        if let SyncProgress::Polled { sent, .. } = p {
            assert_eq!(sent, None);
        }
    };
    sync(&session, &without, &NoJournal, &mut note, &AtomicBool::new(false)).unwrap();
}

#[test]
fn clocks_that_are_apart_are_told_whether_the_checkpoint_was_reached_or_not() {
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    s.set_bricks_ahead(30);
    let verdict = run(&session, &options).0.unwrap();
    assert!(verdict.gluster_says_complete && !verdict.believable());
    let [Problem::ClockApart { seconds, .. }] = verdict.problems.as_slice() else {
        panic!("{:?}", verdict.problems)
    };
    assert!((10..=30).contains(seconds), "{seconds}");
    assert!(verdict.problems[0].to_string().contains("NTP"));

    // Behind by more than a run takes: what is recorded is never as late as the checkpoint.
    let (s, _dir) = simulated(Behaviour::Healthy);
    let (session, options) = parts(&s);
    run(&session, &options).0.unwrap();
    s.set_bricks_ahead(-1000);
    let error = run(&session, &options).0.unwrap_err();
    assert!(error.to_string().contains("behind this one's"), "{error}");
}
