//! What Gluster calls complete and is not, and faults that last.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use stillpoint_georep::{
    Check, Error, NoJournal, PreflightOptions, ResyncFile, ResyncOptions, Severity, SyncProgress,
    SystemClock, Verdict, preflight, resync, sync,
};
use stillpoint_lab::SiteName;

use crate::{Ours, Real, suite, timed};

/// Whether what takes minutes is tried, too.
pub(crate) fn full() -> bool {
    std::env::var_os("STILLPOINT_FULL").is_some_and(|value| value == "1")
}

/// Does `f`, and `then` whatever came of it.
fn and_then(f: impl FnOnce(), then: impl FnOnce()) {
    let result = catch_unwind(AssertUnwindSafe(f));
    then();
    result.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Has the whole of a file be sent again.
pub(crate) fn ask_again(real: &Real, name: &str) {
    let mount = real.lab.site(SiteName::A).host_mount();
    let files = [ResyncFile { path: mount.join(name), shards: None }];
    let options = ResyncOptions { mount, shard_size: 4 << 20 };
    let (clock, cancel) = (SystemClock::new(), AtomicBool::new(false));
    resync(&files, &options, &Ours, &clock, &mut |_, _, _| {}, &cancel).unwrap();
}

fn believable(real: &Real) -> Verdict {
    suite::a_healthy_run_is_believable(&real.session(), &real.options(300))
}

/// rsync at the primary fails for some files, as it does when they change: it is tried again, and then given up.
pub(crate) fn what_is_given_up_after_its_retries_is_complete_and_not_believable(real: &Real) {
    let site = real.lab.site(SiteName::A);
    let session = real.session();
    let retries = session.config().unwrap().get("max-rsync-retries").unwrap().to_owned();
    session.set_config("max-rsync-retries", "1").unwrap();
    let wrapper = site.host_mount().parent().unwrap().join("rsync-that-fails");
    let script = format!(
        "printf '#!/bin/sh\\nexit 23\\n' > {0} && chmod 755 {0} && mount --bind {0} /usr/bin/rsync",
        wrapper.display()
    );
    real.write("given-up", 9);
    site.sh(&script).unwrap();
    and_then(
        || {
            suite::what_is_given_up_is_complete_and_not_believable(&session, &real.options(180));
        },
        || {
            site.sh("while mountpoint -q /usr/bin/rsync; do umount -l /usr/bin/rsync; done").unwrap();
            session.set_config("max-rsync-retries", &retries).unwrap();
        },
    );
    assert!(!real.is_same("given-up"));
    // The doctor finds it afterwards, and what was given up comes when it is asked for.
    let options = PreflightOptions::default().with_log(real.options(1).logs.remove(0));
    let findings = preflight(&session, &options).unwrap();
    assert!(findings.iter().any(|f| f.what == Check::EarlierFailures), "{findings:#?}");
    ask_again(real, "given-up");
    believable(real);
    assert!(real.is_same("given-up"));
}

/// A hole that is punched is in no changelog: the run is believable, and the contents differ. Only comparing finds it.
pub(crate) fn a_discard_is_in_no_changelog_and_is_sent_when_it_is_asked_for(real: &Real) {
    real.write("discarded", 9);
    believable(real);
    assert!(real.is_same("discarded"));
    let file = real.lab.site(SiteName::A).mount().join("discarded");
    let punch = format!("fallocate --punch-hole --offset 4194304 --length 4194304 {}", file.display());
    real.lab.site(SiteName::A).sh(&punch).unwrap();
    believable(real);
    assert!(!real.is_same("discarded"), "the discard was replicated");
    ask_again(real, "discarded");
    believable(real);
    assert!(real.is_same("discarded"));
}

/// The same size and the same second: rsync's quick check passes it over, unless times are compared whole.
pub(crate) fn a_rewrite_within_the_same_second_is_skipped_without_the_option_that_the_doctor_asks_for(
    real: &Real,
) {
    let (session, site) = (real.session(), real.lab.site(SiteName::A));
    let options = session.config().unwrap().get("rsync-options").unwrap_or_default().to_owned();
    let file = site.mount().join("same-second");
    let write = |letter: char, at: &str| {
        let script = format!(
            "head -c 100000 /dev/zero | tr '\\0' {letter} > {0}.new && cat {0}.new > {0} && touch -d '2026-01-01 00:00:00.{at}Z' \
             {0} && rm {0}.new",
            file.display()
        );
        site.sh(&script).unwrap();
    };
    and_then(
        || {
            session.set_config("rsync-options", "--whole-file").unwrap();
            let findings = preflight(&session, &PreflightOptions::default()).unwrap();
            let finding = findings.iter().find(|f| f.what == Check::ModifyWindow).expect("a finding");
            assert!(finding.matters.contains("within the second"), "{finding}");
            write('a', "100000000");
            believable(real);
            assert!(real.is_same("same-second"));
            write('b', "900000000");
            believable(real);
            assert!(!real.is_same("same-second"), "it was sent all the same");
        },
        || session.set_config("rsync-options", &options).unwrap(),
    );
    write('c', "500000000");
    believable(real);
    assert!(real.is_same("same-second"));
}

/// What is down when a run begins is refused beforehand, and a run that is made all the same says which.
pub(crate) fn a_brick_that_is_down_from_the_start_fails_the_run_by_name(real: &Real) {
    real.lab.faults().kill_brick(SiteName::A, 2).unwrap();
    and_then(
        || {
            let session = real.session();
            let findings = preflight(&session, &PreflightOptions::default()).unwrap();
            let down = findings.iter().find(|f| f.what == Check::BricksUp).expect("a finding");
            assert_eq!(down.severity, Severity::Refuse);
            assert!(down.seen.contains("gv1-b2"), "{down}");
            let mut options = real.options(180);
            options.faulty_grace = Duration::from_secs(20);
            let error = suite::run(&session, &options).0.expect_err("a worker has no brick");
            assert!(matches!(&error, Error::Faulty { bricks, .. } if bricks.contains("gv1-b2")), "{error}");
        },
        || real.lab.faults().restart_bricks(SiteName::A).unwrap(),
    );
    believable(real);
}

/// The far side's glusterd is not what replication goes through: a run without it ends, one way or the other, in time,
/// and leaves replication stopped.
pub(crate) fn glusterd_killed_at_the_far_side_ends_the_run_in_time(real: &Real) {
    real.write("far-glusterd", 5);
    let (session, options) = (real.session(), real.options(120));
    real.lab.faults().kill_glusterd(SiteName::B).unwrap();
    and_then(
        || {
            let findings = preflight(&session, &PreflightOptions::default()).unwrap();
            assert!(findings.iter().any(|f| f.what == Check::SecondaryStarted), "{findings:#?}");
            match suite::run(&session, &options).0 {
                Ok(verdict) => assert!(verdict.gluster_says_complete && real.is_same("far-glusterd")),
                Err(error) => assert!(!error.may_be_running(), "{error}"),
            }
            assert!(session.status().unwrap().all_stopped());
        },
        || real.lab.faults().restart_glusterd(SiteName::B).unwrap(),
    );
    believable(real);
    assert!(real.is_same("far-glusterd"));
}

/// A short cut is sat out; one that lasts longer than the grace is told.
pub(crate) fn cuts_of_5_60_and_300_seconds_are_sat_out_or_told(real: &Real) {
    for (seconds, name) in [(5, "cut-5"), (60, "cut-60"), (300, "cut-300")] {
        real.write(name, 60);
        let (session, mut options) = (real.session(), real.options(420));
        options.unreachable_grace = Duration::from_secs(150);
        let lab = &real.lab;
        let result = thread::scope(|scope| {
            let mut cut = |progress| {
                if matches!(progress, SyncProgress::Started) {
                    scope.spawn(move || {
                        thread::sleep(Duration::from_secs(6));
                        lab.faults().cut_link().unwrap();
                        thread::sleep(Duration::from_secs(seconds));
                        lab.faults().mend_link().unwrap();
                    });
                }
            };
            timed(name, || sync(&session, &options, &NoJournal, &mut cut, &AtomicBool::new(false)))
        });
        eprintln!("{name}: {:?}", result.as_ref().map(|v| v.gluster_says_complete));
        match (seconds, result) {
            (300, result) => {
                let error = result.expect_err("the far side was gone for longer than the grace");
                assert!(matches!(error, Error::FarSideUnreachable { .. }), "{error}");
            }
            (_, Ok(verdict)) => assert!(verdict.gluster_says_complete),
            // Workers that lost their connection may need longer than there was.
            (_, Err(error)) => assert!(error.is_retryable() && !error.may_be_running(), "{error}"),
        }
        believable(real);
        assert!(real.is_same(name), "{name}");
    }
}

/// Without room at the far side nothing is called complete that did not arrive, and once there is room all of it comes.
pub(crate) fn a_full_far_side_is_never_believed(real: &Real) {
    real.write("too-much", 40);
    real.lab.faults().fill(SiteName::B, 4).unwrap();
    and_then(
        || {
            let findings = preflight(&real.session(), &PreflightOptions::default()).unwrap();
            let space = findings.iter().find(|f| f.what == Check::SecondarySpace).expect("a finding");
            assert_eq!(space.severity, Severity::Refuse);
            let mut options = real.options(120);
            options.faulty_grace = Duration::from_secs(40);
            match suite::run(&real.session(), &options).0 {
                Ok(verdict) => assert!(!verdict.believable(), "{verdict:#?}"),
                Err(error) => {
                    eprintln!("{error}");
                    assert!(!error.may_be_running(), "{error}");
                }
            }
            assert!(!real.is_same("too-much"));
        },
        || real.lab.faults().free(SiteName::B).unwrap(),
    );
    // What was given up is asked for; what was not comes by itself.
    ask_again(real, "too-much");
    let (verdict, _) = suite::run(&real.session(), &real.options(300));
    assert!(verdict.unwrap().gluster_says_complete);
    assert!(real.is_same("too-much"));
}
