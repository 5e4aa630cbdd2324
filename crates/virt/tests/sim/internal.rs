//! Internal snapshots.

use stillpoint_sim::hypervisor::{Call, Crash, Failure, SimAgent, SimDisk, SimDomain};
use stillpoint_virt::{
    CallErrorKind, Check, Consistency, Error, Hypervisor, Intent, InternalOptions, InternalPlan,
    InternalPoint, InternalProgress, PlanOptions, RecoverOptions, Severity, Tag, Version, Versions,
    plan_internal, prune_internal, recover, take_internal,
};

use crate::stage::{Log, Stage, crashes, quick};

fn options(name: &str) -> PlanOptions {
    PlanOptions::new(Tag::new(format!("stillpoint-{name}")).unwrap())
}

fn planned(stage: &Stage, name: &str) -> Result<InternalPlan, Error> {
    plan_internal(&stage.host.connect(), &stage.domain, &options(name))
}

fn taken(stage: &Stage, hypervisor: &dyn Hypervisor, log: &Log, name: &str) -> Result<InternalPoint, Error> {
    let plan = plan_internal(hypervisor, &stage.domain, &options(name))?;
    take_internal(hypervisor, &plan, &InternalOptions::default(), log)
}

fn listed(stage: &Stage) -> Vec<String> {
    stage.host.connect().snapshots(&stage.domain).unwrap()
}

fn refused(stage: &Stage) -> Vec<Check> {
    let Err(Error::Refused { findings, .. }) = planned(stage, "refused") else { panic!("not refused") };
    findings
        .iter()
        .filter(|finding| finding.severity == Severity::Refusal)
        .map(|finding| finding.check)
        .collect()
}

/// Recovers all that a journal leaves open, twice: the second time there is nothing.
fn recovered(stage: &Stage, log: &Log, when: &str) {
    for again in [false, true] {
        for intent in Intent::from_steps(&log.steps()).iter().filter(|intent| intent.is_open()) {
            assert!(!again, "{when}: {intent:?}");
            let options = RecoverOptions { undo: quick(), comparison: None, offline: None };
            let guards = stillpoint_virt::Unguarded;
            let done = recover(&stage.host.connect(), intent, &options, log, &guards, &mut |_| {});
            assert!(done.unwrap_or_else(|error| panic!("{when}: {error}")).is_complete(), "{when}");
        }
    }
    assert!(!stage.host.is_suspended(&stage.domain), "{when}: the guest is paused");
}

#[test]
fn a_guest_that_runs_is_taken_with_its_memory_and_one_that_is_off_without() {
    let stage = Stage::with(|domain| domain.agent(SimAgent::Absent));
    let log = Log::default();
    let point = taken(&stage, &stage.host.connect(), &log, "on").unwrap();
    assert_eq!(point.consistency, Consistency::Memory);
    stage.host.power_off(&stage.domain);
    let point = taken(&stage, &stage.host.connect(), &log, "off").unwrap();
    assert_eq!(point.consistency, Consistency::Off);
    assert_eq!(listed(&stage), ["stillpoint-on", "stillpoint-off"]);
    assert_eq!(
        log.names(),
        ["internal-intended", "internal-verified", "internal-intended", "internal-verified"],
        "nothing is frozen, nothing has to be undone"
    );
    assert!(Intent::from_steps(&log.steps()).iter().all(|intent| !intent.is_open()));
}

#[test]
fn what_forbids_it_is_named() {
    let with = |disk: SimDisk| Stage::with(move |domain| domain.with(disk));
    assert_eq!(refused(&with(SimDisk::new("vdc", "/dev/null").format("raw"))), [Check::Disks]);
    assert_eq!(refused(&with(SimDisk::new("vdc", "/dev/null").flag("shareable"))), [Check::Disks]);
    assert_eq!(refused(&Stage::with(SimDomain::transient)), [Check::Persistent]);
    assert_eq!(
        refused(&Stage::with(|domain| domain.moments(1, 1))),
        [Check::NoSnapshots, Check::NoCheckpoints]
    );
    let stage = with(SimDisk::new("sda", "/cd.iso").device("cdrom").flag("readonly"));
    planned(&stage, "cd").unwrap();
    let mut some = options("some");
    some.disks = Some(vec!["vda".into()]);
    plan_internal(&stage.host.connect(), &stage.domain, &some).unwrap_err();
    stage.host.task(&stage.domain, true);
    assert_eq!(refused(&stage), [Check::NoTask]);
    stage.host.task(&stage.domain, false);
    stage.host.save(&stage.domain);
    assert_eq!(refused(&stage), [Check::Running]);
}

#[test]
fn machines_whose_state_can_not_be_saved_are_refused_while_they_run() {
    let uefi = |variables: &str| {
        Stage::with(|domain| domain.os(&format!("<loader type='pflash'>/ovmf.fd</loader>{variables}")))
    };
    let version = |stage: &Stage, minor| {
        stage.host.set_versions(Versions { libvirt: Some(Version::new(10, minor, 0)), hypervisor: None });
    };
    let raw = uefi("<nvram>/vars.fd</nvram>");
    version(&raw, 8);
    assert_eq!(refused(&raw), [Check::Versions]);
    version(&raw, 10);
    assert_eq!(refused(&raw), [Check::Machine]);
    raw.host.power_off(&raw.domain);
    assert!(planned(&raw, "off").unwrap().warnings.is_empty());
    version(&raw, 8);
    assert_eq!(planned(&raw, "off").unwrap().warnings[0].check, Check::Versions);
    let qcow2 = uefi("<nvram format='qcow2'>/vars.qcow2</nvram>");
    version(&qcow2, 9);
    assert!(planned(&qcow2, "on").unwrap().with_memory);

    let passed = Stage::with(|domain| domain.device("<hostdev mode='subsystem' type='pci'/>"));
    assert_eq!(refused(&passed), [Check::Machine]);
    passed.host.power_off(&passed.domain);
    planned(&passed, "off").unwrap();
}

#[test]
fn a_libvirt_that_can_not_revert_is_warned_of() {
    let stage = Stage::new();
    for (minor, warnings) in [(1, 0), (2, 1), (3, 1), (4, 0)] {
        let libvirt = Some(Version::new(11, minor, 0));
        stage.host.set_versions(Versions { libvirt, hypervisor: None });
        assert_eq!(planned(&stage, "v").unwrap().warnings.len(), warnings, "11.{minor}");
    }
}

#[test]
fn a_guest_that_the_snapshot_left_paused_runs_again() {
    let stage = Stage::new();
    stage.host.behave(|behaviour| behaviour.internal_leaves_paused = true);
    taken(&stage, &stage.host.connect(), &Log::default(), "paused").unwrap();
    assert!(!stage.host.is_suspended(&stage.domain));
    // One that its operator paused stays so.
    stage.host.pause(&stage.domain);
    taken(&stage, &stage.host.connect(), &Log::default(), "operator").unwrap();
    assert!(stage.host.is_suspended(&stage.domain));
}

#[test]
fn a_snapshot_that_is_refused_is_none_and_one_whose_answer_is_lost_is_deleted() {
    let stage = Stage::new();
    let log = Log::default();
    stage.host.fail(Call::Internal, 1, Failure::Refused(CallErrorKind::NoSpace));
    let error = taken(&stage, &stage.host.connect(), &log, "a").unwrap_err();
    assert!(matches!(error, Error::NoSnapshot { .. }) && !error.needs_recovery(), "{error}");
    recovered(&stage, &log, "refused");
    stage.host.fail(Call::Internal, 1, Failure::AnswerLost(CallErrorKind::Deadline));
    let error = taken(&stage, &stage.host.connect(), &log, "b").unwrap_err();
    assert!(error.needs_recovery(), "{error}");
    assert_eq!(listed(&stage), ["stillpoint-b"]);
    recovered(&stage, &log, "lost");
    assert_eq!(listed(&stage), Vec::<String>::new());
}

#[test]
fn only_the_oldest_that_the_journal_knows_are_deleted() {
    let stage = Stage::new();
    let (log, process) = (Log::default(), stage.host.connect());
    taken(&stage, &process, &Log::default(), "of-another-journal").unwrap();
    for name in ["1", "2", "3"] {
        taken(&stage, &process, &log, name).unwrap();
    }
    let pruned = |keep| {
        let intents = Intent::from_steps(&log.steps());
        let deleted = prune_internal(&process, &stage.domain, &intents, keep, &log).unwrap();
        deleted.iter().map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pruned(3), Vec::<String>::new());
    assert_eq!(pruned(1), ["stillpoint-1", "stillpoint-2"]);
    assert_eq!(pruned(1), Vec::<String>::new());
    assert_eq!(listed(&stage), ["stillpoint-of-another-journal", "stillpoint-3"]);
}

#[test]
fn killed_at_any_call_of_taking_or_pruning_the_next_recovery_ends_it() {
    let mut tried = 0;
    for crash in [Crash::Before, Crash::After] {
        for number in 1.. {
            let stage = Stage::new();
            stage.host.behave(|behaviour| behaviour.internal_leaves_paused = true);
            let log = Log::default();
            taken(&stage, &stage.host.connect(), &log, "old").unwrap();
            let process = stage.host.connect();
            process.crash_by_unwinding();
            process.crash_at(number, crash);
            let died = crashes(|| {
                taken(&stage, &process, &log, "new")?;
                let intents = Intent::from_steps(&log.steps());
                prune_internal(&process, &stage.domain, &intents, 1, &log).map(drop)
            });
            if !died {
                break;
            }
            tried += 1;
            let when = format!("call {number}, {crash:?}");
            recovered(&stage, &log, &when);
            // What is left is what the journal says was verified and not meant to be deleted.
            let kept: Vec<String> = Intent::from_steps(&log.steps())
                .iter()
                .filter(|intent| intent.internal == Some(InternalProgress::Verified))
                .map(|intent| intent.tag.as_str().to_owned())
                .collect();
            assert_eq!(listed(&stage), kept, "{when}");
            assert!(!kept.is_empty(), "{when}");
        }
    }
    assert!(tried > 25, "{tried}");
}
