//! Runs of a real session in the lab, healthy and not. One lab serves all of them, one after the other.
//!
//! A name, or a part of one, as an argument chooses among them. `STILLPOINT_KEEP_LAB=1` leaves the lab standing.
#![allow(clippy::unwrap_used, reason = "it is a test")]

mod faults;
#[path = "../suite/mod.rs"]
mod suite;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use stillpoint_georep::{
    Check, CliErrorKind, Error, LocalRunner, NoJournal, NotStill, PreflightOptions, Session, SessionName,
    Severity, Stillness, SyncOptions, SyncProgress, preflight, sync,
};
use stillpoint_lab::{Lab, LabConfig, SiteName};

const INSTANCE: &str = "georep";

struct Real {
    lab: Lab,
}

impl Real {
    fn name(&self) -> SessionName {
        self.lab.session_name().parse().unwrap()
    }

    fn session(&self) -> Session {
        let prefix = self.lab.site(SiteName::A).prefix();
        Session::new(Arc::new(LocalRunner::with_prefix(prefix)), self.name())
    }

    fn options(&self, deadline: u64) -> SyncOptions {
        let site = self.lab.site(SiteName::A);
        SyncOptions::new(site.host_mount(), Duration::from_secs(deadline))
            .with_log_dir(&site.log_dir(), &self.name())
    }

    /// Writes `mib` of bytes that no two calls share to a file at the primary.
    fn write(&self, name: &str, mib: u64) {
        let target = self.lab.site(SiteName::A).mount().join(name);
        let script =
            format!("dd if=/dev/urandom of={} bs=1M count={mib} conv=fsync status=none", target.display());
        self.lab.site(SiteName::A).sh(&script).unwrap();
    }

    /// Whether a file reads the same at both sites.
    fn is_same(&self, name: &str) -> bool {
        let read = |site| fs::read(self.lab.site(site).host_mount().join(Path::new(name)));
        read(SiteName::A).unwrap() == read(SiteName::B).unwrap_or_default()
    }
}

/// Reports how long something took, without judging it.
fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = f();
    eprintln!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    result
}

fn preflight_finds_nothing_to_refuse_in_a_session_that_is_set_up_well(real: &Real) {
    let options = PreflightOptions::default().with_mount(real.lab.site(SiteName::A).host_mount());
    let findings = preflight(&real.session(), &options).unwrap();
    assert!(findings.iter().all(|f| f.severity < Severity::Refuse), "{findings:#?}");
    assert!(!findings.iter().any(|f| f.what == Check::Mount), "{findings:#?}");
}

fn what_preflight_finds_is_set_right_by_the_command_it_names(real: &Real) {
    let session = real.session();
    for (option, value, check) in [
        ("secondary-access-mount", "false", Check::SecondaryAccessMount),
        ("sync-method", "tarssh", Check::SyncMethod),
        ("rsync-options", "--bwlimit=100000", Check::ModifyWindow),
        ("rsync-options", "--modify-window=-1", Check::WholeFile),
        ("log-rsync-performance", "false", Check::LogRsyncPerformance),
    ] {
        session.set_config(option, value).unwrap();
        let found = |check| {
            let findings = preflight(&session, &PreflightOptions::default()).unwrap();
            findings.into_iter().find(|f| f.what == check)
        };
        let finding = found(check).unwrap_or_else(|| panic!("{check:?} was not found"));
        real.lab.site(SiteName::A).sh(finding.remedy.as_deref().unwrap()).unwrap();
        assert_eq!(found(check), None, "{finding}");
    }
}

fn a_healthy_run_replicates_and_is_believable(real: &Real) {
    real.write("healthy", 25);
    let verdict = timed("a run with 25 MiB", || {
        suite::a_healthy_run_is_believable(&real.session(), &real.options(180))
    });
    eprintln!("{:?}", verdict.durations);
    assert!(real.is_same("healthy"));
}

fn a_run_with_nothing_to_do_is_believable_at_either_rollover_time(real: &Real) {
    for seconds in ["3", "15"] {
        let site = real.lab.site(SiteName::A);
        site.gluster(["volume", "set", "gv1", "changelog.rollover-time", seconds]).unwrap();
        let verdict = timed(&format!("a run with nothing to do, rollover {seconds} s"), || {
            suite::a_healthy_run_is_believable(&real.session(), &real.options(180))
        });
        eprintln!("{:?}", verdict.durations);
    }
    real.lab.site(SiteName::A).gluster(["volume", "set", "gv1", "changelog.rollover-time", "3"]).unwrap();
}

fn the_silent_no_op_is_complete_and_not_believable(real: &Real) {
    let version = real.lab.site(SiteName::B).run("rsync", ["--version"]).unwrap();
    if version.contains("version 3.5.0 ") {
        real.lab.faults().set_secondary_access_mount(false).unwrap();
        real.write("no-op", 25);
        suite::the_silent_no_op_is_complete_and_not_believable(&real.session(), &real.options(180));
        assert!(!real.is_same("no-op"), "it was replicated after all");
        real.lab.faults().set_secondary_access_mount(true).unwrap();
    } else {
        eprintln!("skipped the real no-op: the far rsync is not 3.5.0");
    }
    // The same by a stand-in, whatever rsync there is.
    real.lab.faults().break_rsync().unwrap();
    real.write("no-op-2", 25);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        suite::the_silent_no_op_is_complete_and_not_believable(&real.session(), &real.options(180));
        assert!(!real.is_same("no-op-2"), "it was replicated after all");
    }));
    real.lab.faults().mend_rsync().unwrap();
    caught.unwrap_or_else(|p| std::panic::resume_unwind(p));
    // With all mended, a run brings what is asked for again, and nothing else of what was skipped.
    let before = fs::read(real.lab.site(SiteName::A).host_mount().join("no-op-2")).unwrap();
    faults::ask_again(real, "no-op-2");
    suite::a_healthy_run_is_believable(&real.session(), &real.options(180));
    assert!(real.is_same("no-op-2"), "it was not sent");
    assert!(fs::read(real.lab.site(SiteName::B).host_mount().join("no-op-2")).unwrap() == before);
    assert!(!version.contains("version 3.5.0 ") || !real.is_same("no-op"), "it was sent again by itself");
}

/// Nobody writes to the files of these tests but the tests.
#[derive(Debug)]
struct Ours;

impl Stillness for Ours {
    fn prove(&self, _path: &Path, _file: &fs::File) -> Result<String, NotStill> {
        Ok("only this test writes to it".to_owned())
    }
}

fn a_link_cut_in_the_middle_is_said_within_the_time_limit(real: &Real) {
    real.write("cut", 200);
    // Before the workers are up, and while they copy.
    let moments: &[u64] = if std::env::var_os("STILLPOINT_FULL").is_some() { &[1, 6] } else { &[6] };
    for &after in moments {
        let (session, options) = (real.session(), real.options(60));
        let lab = &real.lab;
        let began = Instant::now();
        let error = thread::scope(|scope| {
            let error = sync(
                &session,
                &options,
                &NoJournal,
                &mut |p| {
                    if matches!(p, SyncProgress::Started) {
                        scope.spawn(move || {
                            thread::sleep(Duration::from_secs(after));
                            lab.faults().cut_link().unwrap();
                        });
                    }
                },
                &AtomicBool::new(false),
            );
            error.expect_err("the link was cut")
        });
        eprintln!("cut {after} s after the start: {:.1} s: {error}", began.elapsed().as_secs_f64());
        assert!(matches!(error, Error::FarSideUnreachable { .. }), "{error}");
        assert!(session.status().unwrap().all_stopped());
        lab.faults().mend_link().unwrap();
    }
    // What was cut off arrives with the next run.
    let options = real.options(300);
    timed("the run after the cuts", || suite::a_healthy_run_is_believable(&real.session(), &options));
    assert!(real.is_same("cut"));
}

fn a_brick_killed_in_the_middle_fails_the_run(real: &Real) {
    real.write("brick", 9);
    let (session, mut options) = (real.session(), real.options(180));
    options.faulty_grace = Duration::from_secs(30);
    let fail = || {
        real.lab.faults().kill_brick(SiteName::A, 1).unwrap();
    };
    suite::a_worker_that_dies_fails_the_run_by_name(&session, &options, "gv1-b1", fail);
    let findings = preflight(&session, &PreflightOptions::default()).unwrap();
    let down = findings.iter().find(|f| f.what == Check::BricksUp).expect("a finding");
    assert_eq!(down.severity, Severity::Refuse);
    real.lab.site(SiteName::A).sh(down.remedy.as_deref().unwrap()).unwrap();
    timed("the run after the brick is back", || {
        suite::a_healthy_run_is_believable(&session, &real.options(180));
    });
    assert!(real.is_same("brick"));
}

fn glusterd_killed_in_the_middle_is_waited_for(real: &Real) {
    let (session, options) = (real.session(), real.options(180));
    let verdict = thread::scope(|scope| {
        sync(
            &session,
            &options,
            &NoJournal,
            &mut |p| {
                if matches!(p, SyncProgress::Started) {
                    real.lab.faults().kill_glusterd(SiteName::A).unwrap();
                    scope.spawn(|| {
                        thread::sleep(Duration::from_secs(10));
                        real.lab.faults().restart_glusterd(SiteName::A).unwrap();
                    });
                }
            },
            &AtomicBool::new(false),
        )
    });
    // Whether workers outlive their glusterd is Gluster's affair; that a run says what came of it, and that replication
    // is stopped, is ours.
    match verdict {
        Ok(verdict) => assert!(verdict.gluster_says_complete),
        Err(error) => {
            eprintln!("{error}");
            assert!(!error.may_be_running(), "{error}");
        }
    }
    assert!(session.ensure_stopped(&NoJournal).unwrap().all_stopped());
}

fn cancelling_stops_replication(real: &Real) {
    timed("a run cancelled once started", || {
        suite::cancelling_stops_replication(&real.session(), &real.options(180));
    });
}

fn replication_that_runs_already_is_stopped_first(real: &Real) {
    let session = real.session();
    session.start().unwrap();
    real.lab.wait_for_session_active(Duration::from_secs(90)).unwrap();
    real.write("running", 5);
    suite::what_runs_already_is_stopped_first(&session, &real.options(180));
    assert!(real.is_same("running"));
}

fn a_session_that_does_not_exist_is_absent(real: &Real) {
    let prefix = real.lab.site(SiteName::A).prefix();
    let session =
        Session::new(Arc::new(LocalRunner::with_prefix(prefix)), "gv1 siteB::nope".parse().unwrap());
    let error = session.status().unwrap_err();
    assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Absent), "{error}");
}

/// A test's name and the test.
type Case = (&'static str, fn(&Real));

/// What takes a minute or more each, with `STILLPOINT_FULL=1`.
const LONG: [Case; 7] = [
    (
        "what_is_given_up_after_its_retries_is_complete_and_not_believable",
        faults::what_is_given_up_after_its_retries_is_complete_and_not_believable,
    ),
    (
        "a_discard_is_in_no_changelog_and_is_sent_when_it_is_asked_for",
        faults::a_discard_is_in_no_changelog_and_is_sent_when_it_is_asked_for,
    ),
    (
        "a_rewrite_within_the_same_second_is_skipped_without_the_option_that_the_doctor_asks_for",
        faults::a_rewrite_within_the_same_second_is_skipped_without_the_option_that_the_doctor_asks_for,
    ),
    (
        "a_brick_that_is_down_from_the_start_fails_the_run_by_name",
        faults::a_brick_that_is_down_from_the_start_fails_the_run_by_name,
    ),
    (
        "glusterd_killed_at_the_far_side_ends_the_run_in_time",
        faults::glusterd_killed_at_the_far_side_ends_the_run_in_time,
    ),
    ("a_full_far_side_is_never_believed", faults::a_full_far_side_is_never_believed),
    (
        "cuts_of_5_60_and_300_seconds_are_sat_out_or_told",
        faults::cuts_of_5_60_and_300_seconds_are_sat_out_or_told,
    ),
];

fn main() -> ExitCode {
    let cases: [Case; 11] = [
        ("a_session_that_does_not_exist_is_absent", a_session_that_does_not_exist_is_absent),
        (
            "preflight_finds_nothing_to_refuse_in_a_session_that_is_set_up_well",
            preflight_finds_nothing_to_refuse_in_a_session_that_is_set_up_well,
        ),
        ("a_healthy_run_replicates_and_is_believable", a_healthy_run_replicates_and_is_believable),
        (
            "a_run_with_nothing_to_do_is_believable_at_either_rollover_time",
            a_run_with_nothing_to_do_is_believable_at_either_rollover_time,
        ),
        ("the_silent_no_op_is_complete_and_not_believable", the_silent_no_op_is_complete_and_not_believable),
        ("replication_that_runs_already_is_stopped_first", replication_that_runs_already_is_stopped_first),
        ("cancelling_stops_replication", cancelling_stops_replication),
        (
            "what_preflight_finds_is_set_right_by_the_command_it_names",
            what_preflight_finds_is_set_right_by_the_command_it_names,
        ),
        (
            "a_link_cut_in_the_middle_is_said_within_the_time_limit",
            a_link_cut_in_the_middle_is_said_within_the_time_limit,
        ),
        ("glusterd_killed_in_the_middle_is_waited_for", glusterd_killed_in_the_middle_is_waited_for),
        ("a_brick_killed_in_the_middle_fails_the_run", a_brick_killed_in_the_middle_fails_the_run),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let cases: Vec<_> = cases
        .into_iter()
        .chain(if faults::full() { &LONG[..] } else { &[] }.iter().copied())
        .filter(|(n, _)| wanted.is_empty() || wanted.iter().any(|w| n.contains(w)))
        .collect();
    let mut config = LabConfig::named(INSTANCE);
    config.guest = None;
    if let Some(session) = &mut config.session {
        session.start = false;
    }
    let real = Real { lab: timed("lab up", || Lab::up(&config)).expect("the lab") };
    let mut failed = 0;
    for (name, case) in &cases {
        eprintln!("case {name}");
        let began = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| case(&real))).is_ok();
        println!(
            "test {name} ... {} ({:.1} s)",
            if passed { "ok" } else { "FAILED" },
            began.elapsed().as_secs_f64()
        );
        if !passed {
            failed += 1;
            real.lab.keep_logs(&format!("georep-{name}"));
            // So that the next case starts from a stopped session.
            let _ = real.lab.faults().mend_link();
            let _ = real.lab.faults().restart_bricks(SiteName::A);
            let _ = real.session().ensure_stopped(&NoJournal);
        }
    }
    if std::env::var_os("STILLPOINT_KEEP_LAB").is_none() {
        Lab::down(INSTANCE).expect("the lab goes down");
    }
    println!("matrix real-session: tried {}, passed {}", cases.len(), cases.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
