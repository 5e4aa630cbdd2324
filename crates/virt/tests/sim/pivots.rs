//! Commits and pivots that don't go as they should.

use std::error::Error as StdError;
use std::fs;
use std::path::Path;
use std::time::Duration;

use stillpoint_sim::hypervisor::{Call, Failure, SimGuards};
use stillpoint_virt::{
    CallErrorKind, Comparison, DiskCondition, Error, Intent, OverlayComparison, RecoverOptions, UndoOptions,
    observe, undo,
};

use crate::stage::{Log, Stage, quick};

#[test]
fn a_pivot_that_is_not_ready_is_asked_for_again() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.fail(Call::Pivot, 3, Failure::Refused(CallErrorKind::NotReady));
    stage.undo(&process, &point, &log).unwrap();
    stage.assert_clean("not ready three times");
}

#[test]
fn a_pivot_whose_answer_is_lost_counts_when_the_xml_shows_it() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.fail(Call::Pivot, 1, Failure::AnswerLost(CallErrorKind::Deadline));
    stage.host.fail(Call::Commit, 1, Failure::AnswerLost(CallErrorKind::Connection));
    stage.undo(&process, &point, &log).unwrap();
    stage.assert_clean("answers lost");
}

#[test]
fn a_pivot_that_is_refused_lets_the_guest_run_again_and_keeps_the_overlay() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.fail(Call::Pivot, 1, Failure::Refused(CallErrorKind::Denied));
    let error = stage.undo(&process, &point, &log).unwrap_err();
    assert_eq!(error.call_kind(), Some(CallErrorKind::Denied));
    assert!(!stage.host.is_suspended(&stage.domain));
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("recovered");
}

#[test]
fn a_pivot_that_takes_a_while_is_waited_for_with_the_guest_suspended() {
    let stage = Stage::new();
    stage.host.behave(|behaviour| behaviour.polls_until_pivoted = 5);
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    let undone = stage.undo(&process, &point, &log).unwrap();
    assert!(undone.disks.iter().all(|disk| disk.suspended.is_some()));
    stage.assert_clean("waited");
}

#[test]
fn a_guest_that_its_operator_paused_stays_paused() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.pause(&stage.domain);
    let undone = stage.undo(&process, &point, &log).unwrap();
    assert!(undone.disks.iter().all(|disk| disk.suspended.is_none()));
    assert!(stage.host.is_suspended(&stage.domain));
    assert!(!log.names().contains(&"suspend-intended"));
}

#[test]
fn without_a_guard_the_guest_is_not_suspended_and_the_overlay_stays() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    let guards = SimGuards::new(&stage.host).refusing();
    let error = undo(&process, &point, &quick(), &log, &guards, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Guard(_)), "{error}");
    assert!(!stage.host.is_suspended(&stage.domain));
    assert!(stage.recover(&log).unwrap().is_complete());
}

#[test]
fn a_commit_that_never_gets_ready_is_left_running_and_attached_to_later() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.behave(|behaviour| behaviour.never_ready = true);
    let options = UndoOptions { deadline: Duration::from_millis(50), ..quick() };
    let guards = SimGuards::new(&stage.host);
    let error = undo(&process, &point, &options, &log, &guards, &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, Error::Deadline { .. }) && error.is_retryable() && error.needs_recovery(),
        "{error}"
    );
    assert!(stage.host.has_job(&stage.domain));
    stage.host.behave(|behaviour| behaviour.never_ready = false);
    let before = log.names().iter().filter(|name| **name == "commit-intended").count();
    assert!(stage.recover(&log).unwrap().is_complete());
    let after = log.names().iter().filter(|name| **name == "commit-intended").count();
    assert_eq!(after, before + 1, "only the second disk's commit is started");
    stage.assert_clean("attached");
}

#[test]
fn a_commit_that_ends_by_itself_is_an_error_and_the_overlay_stays() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.behave(|behaviour| behaviour.job_fails = true);
    let error = stage.undo(&process, &point, &log).unwrap_err();
    assert!(matches!(error, Error::JobVanished { .. }), "{error}");
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2);
    stage.host.behave(|behaviour| behaviour.job_fails = false);
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("started over");
}

#[test]
fn a_definition_that_still_names_the_overlay_after_the_pivot_is_set_right() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.behave(|behaviour| behaviour.definition_lags = true);
    stage.undo(&process, &point, &log).unwrap();
    stage.assert_clean("set right");
}

#[test]
fn libvirt_out_of_reach_for_a_moment_does_not_end_a_commit() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.fail(Call::Xml, 2, Failure::Refused(CallErrorKind::Connection));
    stage.undo(&process, &point, &log).unwrap();
    stage.assert_clean("reached again");
}

/// QEMU ended in the first disk's pivot.
fn killed_in_the_pivot(suspend_for_pivot: bool) -> (Stage, Log) {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.guest_write(&stage.domain, "vda", 0, b"NEW");
    stage.host.behave(|behaviour| behaviour.pivot_kills = true);
    let options = UndoOptions { suspend_for_pivot, ..quick() };
    let guards = SimGuards::new(&stage.host);
    let error = undo(&process, &point, &options, &log, &guards, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    stage.host.behave(|behaviour| behaviour.pivot_kills = false);
    (stage, log)
}

struct Says(Result<Comparison, &'static str>);

impl OverlayComparison for Says {
    fn compare(&self, overlay: &Path, base: &Path) -> Result<Comparison, Box<dyn StdError + Send + Sync>> {
        assert!(overlay.exists() && base.exists());
        self.0.map_err(Into::into)
    }
}

#[test]
fn a_pivot_that_was_asked_for_of_a_qemu_that_ended_is_ambiguous_and_both_files_are_kept() {
    let (stage, log) = killed_in_the_pivot(false);
    let differs = Says(Ok(Comparison::Differs { first: 65536 }));
    let unreadable = Says(Err("not a qcow2 image"));
    for comparison in [None, Some(&differs as &dyn OverlayComparison), Some(&unreadable)] {
        let recovery =
            stage.recover_with(&log, &RecoverOptions { undo: quick(), comparison, offline: None }).unwrap();
        assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
        assert_eq!(recovery.found[1].condition, DiskCondition::OfflineOverlay);
        assert_eq!(recovery.problems.len(), 2, "{:?}", recovery.problems);
        let overlay = &stage.host.chain(&stage.domain, "vda")[0];
        assert!(overlay.exists() && stage.base("vda").exists());
    }
}

#[test]
fn an_ambiguous_pivot_whose_overlay_adds_nothing_is_settled_on_the_base() {
    let (stage, log) = killed_in_the_pivot(false);
    let equal = Says(Ok(Comparison::Equal));
    let recovery = stage
        .recover_with(&log, &RecoverOptions { undo: quick(), comparison: Some(&equal), offline: None })
        .unwrap();
    let targets: Vec<_> = recovery.problems.iter().map(|problem| problem.target.as_deref()).collect();
    assert_eq!(targets, [Some("vdb")], "the other disk only waits for the domain to be started");
    assert_eq!(stage.host.chain(&stage.domain, "vda"), [stage.base("vda")]);
    stage.host.start(&stage.domain);
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("settled");
    assert!(fs::read(stage.base("vda")).unwrap().starts_with(b"NEW"));
}

#[test]
fn an_ambiguous_pivot_of_a_domain_that_was_started_since_is_left_alone() {
    let (stage, log) = killed_in_the_pivot(false);
    stage.host.start(&stage.domain);
    let equal = Says(Ok(Comparison::Equal));
    let recovery = stage
        .recover_with(&log, &RecoverOptions { undo: quick(), comparison: Some(&equal), offline: None })
        .unwrap();
    assert_eq!(recovery.found[0].condition, DiskCondition::AmbiguousPivot);
    assert_eq!(recovery.problems.len(), 1);
    assert_eq!(stage.host.chain(&stage.domain, "vda").len(), 2, "the stale chain is not committed");
    assert_eq!(stage.host.chain(&stage.domain, "vdb").len(), 1, "the other disk is home");
}

#[test]
fn a_domain_that_is_off_with_overlays_waits_for_its_start() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    stage.take(&process, &log).unwrap();
    stage.host.power_off(&stage.domain);
    let recovery = stage.recover(&log).unwrap();
    assert!(recovery.actions.is_empty() && recovery.problems.len() == 2, "{recovery:?}");
    assert!(recovery.problems[0].remedy.contains("start"));
    stage.host.start(&stage.domain);
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("started");
}

#[test]
fn an_overlay_that_was_not_pivoted_by_us_is_renamed_and_never_deleted() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    let overlay = point.disks[0].disk.overlay.clone();
    // An operator points the definition back while the domain is off.
    stage.host.power_off(&stage.domain);
    stage.host.redefine(&stage.domain, "vda", &stage.base("vda"));
    stage.host.start(&stage.domain);
    let recovery = stage.recover(&log).unwrap();
    assert_eq!(recovery.problems.len(), 1, "{recovery:?}");
    assert!(!overlay.exists());
    let mut kept = overlay.into_os_string();
    kept.push(".stale");
    assert!(Path::new(&kept).exists());
    assert!(stage.recover(&log).unwrap().is_complete(), "said once is enough");
    assert!(Path::new(&kept).exists());
}

#[test]
fn a_stale_overlay_that_came_back_into_use_is_never_committed_again() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    let bytes = fs::read(&point.disks[0].disk.overlay).unwrap();
    stage.undo(&process, &point, &log).unwrap();
    fs::write(&point.disks[0].disk.overlay, bytes).unwrap();
    stage.host.power_off(&stage.domain);
    stage.host.redefine(&stage.domain, "vda", &point.disks[0].disk.overlay);
    stage.host.start(&stage.domain);
    let intent = &Intent::from_steps(&log.steps())[0];
    let seen = observe(&stage.host.connect(), intent).unwrap();
    assert!(matches!(seen.disks[0].condition, DiskCondition::Foreign { .. }), "{seen:?}");
    let recovery = stage.recover(&log).unwrap();
    assert!(!recovery.is_complete() && recovery.actions.is_empty());
}

#[test]
fn a_job_of_someone_else_is_not_touched() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.redefine(&stage.domain, "vda", Path::new("/elsewhere.qcow2"));
    stage.host.power_off(&stage.domain);
    stage.host.start(&stage.domain);
    let error = stage.undo(&process, &point, &log).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    let recovery = stage.recover(&log).unwrap();
    assert!(!recovery.is_complete());
    assert!(point.disks[0].disk.overlay.exists());
}

#[test]
fn a_guest_that_its_full_overlay_paused_goes_on_once_it_is_home() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    let point = stage.take(&process, &log).unwrap();
    stage.host.io_error(&stage.domain);
    let undone = stage.undo(&process, &point, &log).unwrap();
    assert!(undone.disks.iter().all(|disk| disk.suspended.is_none()), "it stood still already");
    stage.assert_clean("undone");

    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    stage.take(&process, &log).unwrap();
    stage.host.io_error(&stage.domain);
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("recovered");
    // What has nothing to do with us stays as it is.
    stage.host.io_error(&stage.domain);
    assert!(stage.recover(&log).unwrap().is_complete());
    assert!(stage.host.is_suspended(&stage.domain));
}
