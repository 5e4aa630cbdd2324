//! Killed anywhere, recovered always.

use stillpoint_sim::hypervisor::{Crash, SimGuards};

use stillpoint_virt::Intent;

use crate::stage::{At, Log, Stage, crashes};

/// How many steps and calls a healthy run makes: the tests below must reach the last.
fn healthy(suspend: bool) -> (usize, u64) {
    let stage = Stage::new();
    let log = Log::default();
    let process = stage.host.connect();
    stage.cycle(&process, &log, &SimGuards::new(&stage.host), suspend).unwrap();
    stage.assert_clean("healthy");
    (log.steps().len(), process.calls())
}

fn recovered(stage: &Stage, log: &Log, when: &str) {
    let recovery = stage.recover(log).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert!(recovery.is_complete(), "{when}: {:?}", recovery.problems);
    stage.assert_clean(when);
    let closed = Intent::from_steps(&log.steps());
    assert!(closed.iter().all(|intent| !intent.is_open()), "{when}: {closed:?}");
    // A second recovery finds nothing to do.
    let again = stage.recover(log).unwrap_or_else(|error| panic!("{when}, again: {error}"));
    assert!(again.is_complete() && again.actions.is_empty(), "{when}: {:?}", again.actions);
}

#[test]
fn killed_at_any_step_before_or_after_it_is_written_recovery_leaves_nothing_behind() {
    for suspend in [true, false] {
        let (steps, _) = healthy(suspend);
        for at in [At::BeforeWriting, At::AfterWriting] {
            for number in 0..steps {
                for guards_live in [true, false] {
                    let stage = Stage::new();
                    let process = stage.host.connect();
                    let log = Log::killing(&process, number, at);
                    let guards = SimGuards::new(&stage.host);
                    let guards = if guards_live { guards } else { guards.dying() };
                    assert!(
                        crashes(|| stage.cycle(&process, &log, &guards, suspend)),
                        "it must die at step {number}"
                    );
                    let when =
                        format!("killed {at:?} step {number} {:?}, suspend {suspend}", log.names().last());
                    if guards_live {
                        assert!(!stage.host.is_frozen(&stage.domain), "{when}: the guard did not thaw");
                        assert!(!stage.host.is_suspended(&stage.domain), "{when}: the guard did not resume");
                    }
                    recovered(&stage, &Log::with(log.steps()), &when);
                }
            }
        }
    }
}

#[test]
fn killed_at_any_call_before_or_after_its_effect_recovery_leaves_nothing_behind() {
    for suspend in [true, false] {
        let (_, calls) = healthy(suspend);
        for crash in [Crash::Before, Crash::After] {
            for number in 1..=calls {
                let stage = Stage::new();
                let process = stage.host.connect();
                process.crash_by_unwinding();
                process.crash_at(number, crash);
                let log = Log::default();
                let guards = SimGuards::new(&stage.host).dying();
                assert!(
                    crashes(|| stage.cycle(&process, &log, &guards, suspend)),
                    "it must die at call {number}"
                );
                recovered(&stage, &log, &format!("killed at call {number}, {crash:?} its effect"));
            }
        }
    }
}

#[test]
fn recovery_itself_killed_at_any_call_is_finished_by_the_next() {
    let stage = Stage::new();
    let process = stage.host.connect();
    // Die where the first disk's pivot was asked for: the second is still on its overlay.
    let log = Log::default();
    stage.cycle(&process, &log, &SimGuards::new(&stage.host), true).unwrap();
    let at = log.names().iter().position(|name| *name == "pivot-requested").unwrap();
    for number in 1.. {
        let stage = Stage::new();
        let process = stage.host.connect();
        let log = Log::killing(&process, at, At::AfterWriting);
        let guards = SimGuards::new(&stage.host).dying();
        assert!(crashes(|| stage.cycle(&process, &log, &guards, true)));
        let log = Log::with(log.steps());
        let second = stage.host.connect();
        second.crash_by_unwinding();
        second.crash_at(number, Crash::After);
        let died = crashes(|| stage.recover_by(&second, &log, &guards).map(drop));
        recovered(&stage, &log, &format!("recovery killed at call {number}"));
        if !died {
            assert!(number > 10, "the recovery makes more calls than that");
            return;
        }
    }
}

#[test]
fn what_the_guest_wrote_is_in_the_base_after_recovery_wherever_it_was_killed() {
    let (steps, _) = healthy(true);
    for number in 0..steps {
        let stage = Stage::new();
        let process = stage.host.connect();
        let log = Log::killing(&process, number, At::AfterWriting);
        let guards = SimGuards::new(&stage.host);
        crashes(|| stage.cycle(&process, &log, &guards, true));
        assert!(
            stage.host.guest_write(&stage.domain, "vdb", 0, b"LAST"),
            "step {number}: the guest must run"
        );
        recovered(&stage, &Log::with(log.steps()), "written");
        let data = std::fs::read(stage.base("vdb")).unwrap();
        assert!(data.starts_with(b"LAST"), "step {number}: {:?}", String::from_utf8_lossy(&data));
    }
}
