//! Freeze, snapshot, thaw.

use std::fs;
use std::time::Duration;

use stillpoint_sim::hypervisor::{Call, Failure, SimAgent, SimGuards};
use stillpoint_virt::{
    CallErrorKind, Consistency, Error, Guard, GuardError, GuardSpawner, Quiesce, Release, StepKind,
    StillPoint, Tag, TakeOptions, plan, take,
};

use crate::stage::{BASE, Log, Stage};

fn take_with(
    stage: &Stage,
    quiesce: Quiesce,
    log: &Log,
    guard: &dyn GuardSpawner,
) -> Result<StillPoint, Error> {
    let process = stage.host.connect();
    let plan = plan(&process, &stage.domain, &stage.options()).unwrap();
    take(&process, &plan, &TakeOptions { quiesce, ..TakeOptions::default() }, log, guard)
}

fn taken(stage: &Stage, quiesce: Quiesce) -> Result<StillPoint, Error> {
    take_with(stage, quiesce, &Log::default(), &SimGuards::new(&stage.host))
}

#[test]
fn from_the_snapshot_on_the_bases_stand_still_and_the_guest_goes_on() {
    let stage = Stage::new();
    let point = taken(&stage, Quiesce::Require).unwrap();
    assert_eq!(point.consistency, Consistency::FileSystem { frozen: 2 });
    assert!(stage.host.guest_write(&stage.domain, "vda", 0, b"changed"));
    for disk in &point.disks {
        assert_eq!(fs::read(&disk.disk.base).unwrap(), BASE);
        let chain = stage.host.chain(&stage.domain, &disk.disk.target);
        assert_eq!(chain, [disk.disk.overlay.clone(), disk.disk.base.clone()]);
    }
}

#[test]
fn the_snapshot_and_the_freeze_are_journalled_before_they_are_made() {
    let stage = Stage::new();
    let log = Log::default();
    take_with(&stage, Quiesce::Require, &log, &SimGuards::new(&stage.host)).unwrap();
    assert_eq!(
        log.names(),
        ["snapshot-intended", "freeze-intended", "frozen", "thawed", "snapshot-verified"]
    );
}

#[test]
fn a_policy_of_never_leaves_the_agent_alone() {
    let stage = Stage::with(|domain| domain.agent(SimAgent::Hangs));
    let log = Log::default();
    let point = take_with(&stage, Quiesce::Never, &log, &SimGuards::new(&stage.host)).unwrap();
    assert!(matches!(point.consistency, Consistency::Crash { .. }));
    assert_eq!(point.frozen, Duration::ZERO);
    assert!(!log.names().contains(&"freeze-intended"));
}

#[test]
fn without_an_agent_require_refuses_and_prefer_says_crash_consistent() {
    for agent in
        [SimAgent::Absent, SimAgent::Disconnected, SimAgent::Hangs, SimAgent::Answers { file_systems: 0 }]
    {
        let stage = Stage::with(|domain| domain.agent(agent));
        let log = Log::default();
        let error = take_with(&stage, Quiesce::Require, &log, &SimGuards::new(&stage.host)).unwrap_err();
        assert!(matches!(error, Error::NotQuiet { .. }) && !error.needs_recovery(), "{agent:?}: {error}");
        stage.assert_clean(&format!("refused, {agent:?}"));
        assert!(stage.recover(&log).unwrap().is_complete());

        let stage = Stage::with(|domain| domain.agent(agent));
        let point = taken(&stage, Quiesce::Prefer).unwrap();
        assert!(matches!(point.consistency, Consistency::Crash { .. }), "{agent:?}: {:?}", point.consistency);
    }
}

#[test]
fn a_freeze_whose_answer_is_lost_is_thawed_and_not_called_consistent() {
    for kind in [CallErrorKind::AgentTimeout, CallErrorKind::AgentFailed, CallErrorKind::Deadline] {
        let stage = Stage::new();
        stage.host.fail(Call::Freeze, 1, Failure::AnswerLost(kind));
        let point = taken(&stage, Quiesce::Prefer).unwrap();
        assert!(matches!(point.consistency, Consistency::Crash { .. }));
        assert!(!stage.host.is_frozen(&stage.domain), "{kind:?}");
    }
}

#[test]
fn a_thaw_that_fails_is_left_to_the_guard_and_the_journal_keeps_saying_frozen() {
    let stage = Stage::new();
    stage.host.fail(Call::Thaw, 9, Failure::Refused(CallErrorKind::AgentTimeout));
    let log = Log::default();
    let point = take_with(&stage, Quiesce::Prefer, &log, &SimGuards::new(&stage.host)).unwrap();
    assert!(matches!(point.consistency, Consistency::Crash { .. }));
    assert!(!stage.host.is_frozen(&stage.domain), "the guard thaws");
    assert!(!log.has(|step| matches!(step, StepKind::Thawed { .. })));
}

/// Acts as soon as it stands: as if its deadline had passed at once.
#[derive(Debug)]
struct Hasty(SimGuards);

impl GuardSpawner for Hasty {
    fn arm(
        &self,
        domain: &stillpoint_virt::DomainId,
        tag: &Tag,
        release: Release,
        deadline: Duration,
    ) -> Result<Box<dyn Guard>, GuardError> {
        let guard = self.0.arm(domain, tag, release, deadline)?;
        self.0.expire();
        Ok(guard)
    }
}

#[test]
fn a_point_whose_guard_acted_in_between_is_not_called_consistent() {
    let stage = Stage::new();
    let point =
        take_with(&stage, Quiesce::Prefer, &Log::default(), &Hasty(SimGuards::new(&stage.host))).unwrap();
    assert!(matches!(point.consistency, Consistency::Crash { .. }), "{:?}", point.consistency);

    let stage = Stage::new();
    let log = Log::default();
    let error = take_with(&stage, Quiesce::Require, &log, &Hasty(SimGuards::new(&stage.host))).unwrap_err();
    assert!(matches!(error, Error::LeftOnOverlay { .. }) && error.needs_recovery(), "{error}");
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("undone");
}

#[test]
fn without_a_guard_the_guest_is_not_frozen() {
    let stage = Stage::new();
    let guards = SimGuards::new(&stage.host).refusing();
    let error = take_with(&stage, Quiesce::Require, &Log::default(), &guards).unwrap_err();
    assert!(matches!(error, Error::NotQuiet { .. }), "{error}");
    let point = take_with(&stage, Quiesce::Prefer, &Log::default(), &guards).unwrap();
    assert!(matches!(point.consistency, Consistency::Crash { .. }));
}

#[test]
fn a_refused_snapshot_leaves_the_guest_thawed_on_its_bases() {
    let stage = Stage::new();
    stage.host.fail(Call::Snapshot, 1, Failure::Refused(CallErrorKind::Denied));
    let error = taken(&stage, Quiesce::Require).unwrap_err();
    assert!(matches!(error, Error::NoSnapshot { .. }), "{error}");
    stage.assert_clean("refused");
}

#[test]
fn a_snapshot_that_was_made_in_spite_of_an_error_is_seen_and_undone() {
    for kind in [CallErrorKind::Other, CallErrorKind::Deadline] {
        let stage = Stage::new();
        stage.host.fail(Call::Snapshot, 1, Failure::AnswerLost(kind));
        let log = Log::default();
        let error = take_with(&stage, Quiesce::Require, &log, &SimGuards::new(&stage.host)).unwrap_err();
        assert!(matches!(error, Error::LeftOnOverlay { .. }), "{error}");
        assert!(stage.recover(&log).unwrap().is_complete());
        stage.assert_clean("recovered");
    }
}

#[test]
fn a_snapshot_that_the_definition_does_not_show_is_no_still_point() {
    let stage = Stage::new();
    stage.host.behave(|behaviour| behaviour.snapshot_skips_definition = true);
    let log = Log::default();
    let error = take_with(&stage, Quiesce::Require, &log, &SimGuards::new(&stage.host)).unwrap_err();
    assert!(matches!(error, Error::LeftOnOverlay { .. }), "{error}");
    assert!(stage.recover(&log).unwrap().is_complete());
    stage.assert_clean("recovered");
}

#[test]
fn a_domain_that_changed_since_the_plan_is_not_touched() {
    let stage = Stage::new();
    let process = stage.host.connect();
    let plan = plan(&process, &stage.domain, &stage.options()).unwrap();
    stage.host.redefine(&stage.domain, "vdb", std::path::Path::new("/elsewhere"));
    let log = Log::default();
    let error =
        take(&process, &plan, &TakeOptions::default(), &log, &SimGuards::new(&stage.host)).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert!(log.steps().is_empty());
}
