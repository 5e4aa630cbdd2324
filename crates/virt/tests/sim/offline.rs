//! Domains that are off when recovery finds their disks on overlays.

use std::error::Error as StdError;
use std::fs;
use std::path::Path;

use stillpoint_sim::hypervisor::{Call, Crash, Failure, SimGuards, SimOffline};
use stillpoint_virt::{
    Action, CallErrorKind, Comparison, DiskCondition, Error, Hypervisor, Intent, OfflineCommit,
    OverlayComparison, RecoverOptions, Recovery, UndoOptions, foresee, undo,
};

use crate::stage::{At, Log, Stage, crashes, quick};

/// A still point of a domain that was shut down since.
fn off() -> (Stage, Log) {
    let stage = Stage::new();
    let log = Log::default();
    stage.take(&stage.host.connect(), &log).unwrap();
    written(&stage);
    stage.host.power_off(&stage.domain);
    (stage, log)
}

fn written(stage: &Stage) {
    for target in ["vda", "vdb"] {
        assert!(stage.host.guest_write(&stage.domain, target, 0, b"NEWEST"));
    }
}

/// Both disks are their bases, which hold all, and nothing is left.
fn assert_settled(stage: &Stage, log: &Log, when: &str) {
    stage.assert_clean(when);
    for target in ["vda", "vdb"] {
        let data = fs::read(stage.base(target)).unwrap();
        assert!(data.starts_with(b"NEWEST"), "{when}: {}", String::from_utf8_lossy(&data));
    }
    let closed = Intent::from_steps(&log.steps());
    assert!(closed.iter().all(|intent| !intent.is_open()), "{when}: {closed:?}");
    let again = stage.recover_files(log).unwrap();
    assert!(again.is_complete() && again.actions.is_empty(), "{when}: {:?}", again.actions);
}

#[test]
fn its_overlays_are_committed_and_removed_without_starting_it() {
    let (stage, log) = off();
    let recovery = stage.recover_files(&log).unwrap();
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
    assert!(recovery.actions.contains(&Action::CommitOffline { target: "vdb".into() }));
    assert_settled(&stage, &log, "off");
    stage.host.start(&stage.domain);
    assert!(stage.host.guest_write(&stage.domain, "vda", 0, b"after"));
}

#[test]
fn what_would_be_done_is_told_without_doing_it() {
    let (stage, log) = off();
    let offline = SimOffline::new(&stage.host);
    let options = RecoverOptions { undo: quick(), comparison: None, offline: Some(&offline) };
    let intent = stage.intent(&log);
    let foreseen = foresee(&stage.host.connect(), &intent, &options).unwrap();
    let commit = |target: &str| Action::CommitOffline { target: target.into() };
    assert_eq!(foreseen.actions, [commit("vda"), commit("vdb")]);
    assert!(foreseen.is_complete());
    let without = RecoverOptions { offline: None, ..options };
    let foreseen = foresee(&stage.host.connect(), &intent, &without).unwrap();
    assert!(foreseen.actions.is_empty());
    assert_eq!(foreseen.problems.len(), 2);
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
}

#[test]
fn killed_at_any_call_of_it_or_record_the_next_recovery_ends_it() {
    let mut tried = 0;
    for crash in [Crash::Before, Crash::After] {
        for number in 1.. {
            let (stage, log) = off();
            let process = stage.host.connect();
            process.crash_by_unwinding();
            process.crash_at(number, crash);
            let guards = SimGuards::new(&stage.host).dying();
            if !crashes(|| stage.recover_by(&process, &log, &guards).map(drop)) {
                break;
            }
            tried += 1;
            assert!(stage.recover_files(&log).unwrap().is_complete());
            assert_settled(&stage, &log, &format!("call {number}, {crash:?}"));
        }
    }
    assert!(tried > 40, "{tried}");
    for at in [At::BeforeWriting, At::AfterWriting] {
        for number in 0.. {
            let (stage, log) = off();
            let process = stage.host.connect();
            let killing = Log::killing_after(&log, &process, number, at);
            let guards = SimGuards::new(&stage.host).dying();
            if !crashes(|| stage.recover_by(&process, &killing, &guards).map(drop)) {
                assert!(number > 6, "{number}");
                break;
            }
            let log = Log::with(killing.steps());
            assert!(stage.recover_files(&log).unwrap().is_complete());
            assert_settled(&stage, &log, &format!("record {number}, {at:?}"));
        }
    }
}

#[test]
fn a_commit_of_files_that_fails_leaves_them_and_says_so_and_the_other_disk_is_done() {
    struct Fails<'a>(SimOffline, &'a Path);
    impl OfflineCommit for Fails<'_> {
        fn commit(&self, overlay: &Path, base: &Path) -> Result<(), Box<dyn StdError + Send + Sync>> {
            if base == self.1 { Err("No space left on device".into()) } else { self.0.commit(overlay, base) }
        }
    }
    let (stage, log) = off();
    let full = stage.base("vda");
    let offline = Fails(SimOffline::new(&stage.host), &full);
    let options = RecoverOptions { undo: quick(), comparison: None, offline: Some(&offline) };
    let error = stage.recover_with(&log, &options).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }) && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
    assert_eq!(stage.host.chain(&stage.domain, "vdb").len(), 1);
    assert!(stage.recover_files(&log).unwrap().is_complete());
    assert_settled(&stage, &log, "space was made");
}

#[test]
fn a_domain_that_is_started_while_its_files_are_committed_is_committed_running() {
    struct Starts<'a>(SimOffline, &'a Stage);
    impl OfflineCommit for Starts<'_> {
        fn commit(&self, overlay: &Path, base: &Path) -> Result<(), Box<dyn StdError + Send + Sync>> {
            let done = self.0.commit(overlay, base);
            self.1.host.start(&self.1.domain);
            // What only the overlay holds then.
            written(self.1);
            done
        }
    }
    let (stage, log) = off();
    let offline = Starts(SimOffline::new(&stage.host), &stage);
    let options = RecoverOptions { undo: quick(), comparison: None, offline: Some(&offline) };
    let recovery = stage.recover_with(&log, &options).unwrap();
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
    assert!(recovery.actions.contains(&Action::Commit { target: "vda".into() }), "{:?}", recovery.actions);
    assert_settled(&stage, &log, "started meanwhile");
}

#[test]
fn a_domain_that_goes_on_from_saved_memory_is_left_as_it_is() {
    let stage = Stage::new();
    let log = Log::default();
    stage.take(&stage.host.connect(), &log).unwrap();
    written(&stage);
    stage.host.save(&stage.domain);
    let recovery = stage.recover_files(&log).unwrap();
    assert!(recovery.actions.is_empty(), "{:?}", recovery.actions);
    assert_eq!(recovery.problems.len(), 2);
    assert!(recovery.problems[0].remedy.contains("managedsave-remove"));
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
    stage.host.start(&stage.domain);
    assert!(stage.recover_files(&log).unwrap().is_complete());
    assert_settled(&stage, &log, "started");
}

/// QEMU died in the pivot, with the CPUs stopped or not.
fn died_in_the_pivot(suspend_for_pivot: bool) -> (Stage, Log) {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    written(&stage);
    stage.host.behave(|behaviour| behaviour.pivot_kills = true);
    let options = UndoOptions { suspend_for_pivot, ..quick() };
    undo(&process, &point, &options, &log, &SimGuards::new(&stage.host), &mut |_| {}).unwrap_err();
    stage.host.behave(|behaviour| behaviour.pivot_kills = false);
    (stage, log)
}

struct Says(Comparison);

impl OverlayComparison for Says {
    fn compare(&self, _: &Path, _: &Path) -> Result<Comparison, Box<dyn StdError + Send + Sync>> {
        Ok(self.0)
    }
}

const DIFFERS: Says = Says(Comparison::Differs { first: 0 });

/// Recovery with all means.
fn recovered_with(stage: &Stage, log: &Log, says: &Says) -> Recovery {
    let offline = SimOffline::new(&stage.host);
    let options = RecoverOptions { undo: quick(), comparison: Some(says), offline: Some(&offline) };
    stage.recover_with(log, &options).unwrap()
}

/// Makes one of a disk's two files the one that was written to last.
fn written_last(newer: &Path, older: &Path) {
    let now = std::time::SystemTime::now();
    for (path, age) in [(newer, 0), (older, 60)] {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(now - std::time::Duration::from_secs(age)).unwrap();
    }
}

#[test]
fn a_pivot_whose_overlay_adds_nothing_is_settled_on_the_base_and_nothing_is_committed() {
    for suspend in [true, false] {
        let (stage, log) = died_in_the_pivot(suspend);
        let recovery = recovered_with(&stage, &log, &Says(Comparison::Equal));
        assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
        assert!(recovery.is_complete(), "{:?}", recovery.problems);
        assert!(!recovery.actions.contains(&Action::CommitOffline { target: "vda".into() }));
        assert_settled(&stage, &log, "equal");
    }
}

#[test]
fn a_pivot_with_the_cpus_stopped_whose_overlay_was_written_to_last_is_committed() {
    let (stage, log) = died_in_the_pivot(true);
    written_last(&stage.host.chain(&stage.domain, "vda")[0], &stage.base("vda"));
    let recovery = recovered_with(&stage, &log, &DIFFERS);
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
    assert_settled(&stage, &log, "the overlay has more");
    // With the CPUs running it says nothing.
    let (stage, log) = died_in_the_pivot(false);
    written_last(&stage.host.chain(&stage.domain, "vda")[0], &stage.base("vda"));
    assert!(!recovered_with(&stage, &log, &DIFFERS).is_complete());
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
}

#[test]
fn a_pivot_whose_base_was_written_to_last_keeps_both_files_though_the_cpus_were_stopped() {
    let (stage, log) = died_in_the_pivot(true);
    written_last(&stage.base("vda"), &stage.host.chain(&stage.domain, "vda")[0]);
    let recovery = recovered_with(&stage, &log, &DIFFERS);
    assert_eq!(recovery.problems.len(), 1, "{:?}", recovery.problems);
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
    // Nor does it help to ask again.
    assert!(!recovered_with(&stage, &log, &DIFFERS).is_complete());
}

/// Our process dies when the pivot was asked for, QEMU makes it, the definition isn't changed, and the guard lets the guest
/// go on: of that the journal says nothing.
#[test]
fn what_a_guest_that_its_guard_let_go_wrote_to_the_base_is_never_overwritten() {
    let stage = Stage::new();
    let healthy = Log::default();
    stage.cycle(&stage.host.connect(), &healthy, &SimGuards::new(&stage.host), true).unwrap();
    let step = healthy.names().iter().position(|name| *name == "pivot-requested").unwrap();

    let stage = Stage::new();
    let process = stage.host.connect();
    let log = Log::killing(&process, step, At::AfterWriting);
    stage.host.behave(|behaviour| behaviour.definition_lags = true);
    assert!(crashes(|| stage.cycle(&process, &log, &SimGuards::new(&stage.host), true)));
    stage.host.connect().pivot(&stage.domain, "vda").unwrap();
    assert!(!stage.host.is_suspended(&stage.domain), "its guard lets it go");
    assert_eq!(stage.host.chain(&stage.domain, "vda"), [stage.base("vda")]);
    written(&stage);
    stage.host.power_off(&stage.domain);
    let overlay = stage.host.chain(&stage.domain, "vda")[0].clone();
    assert_ne!(overlay, stage.base("vda"), "the definition names the overlay yet");

    let log = Log::with(log.steps());
    let recovery = recovered_with(&stage, &log, &DIFFERS);
    let targets: Vec<_> = recovery.problems.iter().map(|problem| problem.target.as_deref()).collect();
    assert_eq!(targets, [Some("vda")]);
    assert!(overlay.exists());
    assert!(fs::read(stage.base("vda")).unwrap().starts_with(b"NEWEST"));
}

#[test]
fn a_pivot_is_not_settled_without_a_comparison_nor_once_the_domain_was_started_again() {
    let (stage, log) = died_in_the_pivot(true);
    let recovery = stage.recover_files(&log).unwrap();
    assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
    assert_eq!(recovery.problems.len(), 1, "{:?}", recovery.problems);

    let (stage, log) = died_in_the_pivot(true);
    stage.host.start(&stage.domain);
    let recovery = recovered_with(&stage, &log, &Says(Comparison::Equal));
    assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
    assert_eq!(recovery.problems.len(), 1, "{:?}", recovery.problems);
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
}

#[test]
fn a_pivot_with_the_cpus_running_keeps_both_files() {
    let (stage, log) = died_in_the_pivot(false);
    let recovery = stage.recover_files(&log).unwrap();
    assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
    let targets: Vec<_> = recovery.problems.iter().map(|problem| problem.target.as_deref()).collect();
    assert_eq!(targets, [Some("vda")], "the other is committed");
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
    assert_eq!(stage.host.chain(&stage.domain, "vdb").len(), 1);
}

/// The pivot was made, the definition could not be set right, and the guest was let go on: what it wrote since is in the
/// base alone.
#[test]
fn a_guest_that_went_on_after_a_pivot_that_failed_has_a_pivot_that_is_ambiguous() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.behave(|behaviour| behaviour.definition_lags = true);
    stage.host.fail(Call::Define, 1, Failure::Refused(CallErrorKind::Denied));
    let options = UndoOptions { pivot_deadline: std::time::Duration::from_secs(4), ..quick() };
    undo(&process, &point, &options, &log, &SimGuards::new(&stage.host), &mut |_| {}).unwrap_err();
    assert!(!stage.host.is_suspended(&stage.domain));
    assert_eq!(log.names().last(), Some(&"resumed"));
    written(&stage);
    stage.host.power_off(&stage.domain);
    let recovery = stage.recover_files(&log).unwrap();
    assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
    assert!(!recovery.is_complete());
    assert!(fs::read(stage.base("vda")).unwrap().starts_with(b"NEWEST"), "the base is not overwritten");
}
