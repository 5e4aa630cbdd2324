//! What fails on the way leaves a clean primary, or says what is left.

use std::time::Duration;

use stillpoint_backup::recover::Recovered;
use stillpoint_backup::{Error, Outcome};
use stillpoint_sim::hypervisor::{Call, Failure, SimAgent, SimDisk, SimDomain};
use stillpoint_sim::replication::{Behaviour, Fault};
use stillpoint_virt::{CallErrorKind, Consistency, Quiesce};

use crate::world::World;

#[test]
fn a_checkpoint_that_is_not_reached_fails_the_run_and_commits_the_overlays() {
    for behaviour in [
        Behaviour::ZeroActive,
        Behaviour::PassiveSet { set: 1 },
        Behaviour::Starved { brick: 2, starts: 99 },
        Behaviour::Faulty { brick: 0 },
        Behaviour::Offline { brick: 3 },
        Behaviour::LinkCut,
    ] {
        let world = World::new(&[("vm1", 1)]);
        world.session.behave(behaviour.clone());
        let report = world.run(&world.config(), &|_| {}).expect("it began");
        assert_eq!(report.outcome, Outcome::Failed, "{behaviour:?}");
        assert!(!report.failures.is_empty(), "{behaviour:?}");
        world.ensure_clean();
    }
}

#[test]
fn a_worker_that_starves_once_does_not_fail_the_run() {
    let world = World::new(&[("vm1", 1)]);
    world.session.behave(Behaviour::Starved { brick: 2, starts: 1 });
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
    assert_eq!(report.verdict.expect("a verdict").restarts, 1);
}

#[test]
fn replication_that_cannot_be_stopped_leaves_the_overlays_for_recovery() {
    let world = World::new(&[("vm1", 2)]);
    world.session.behave(Behaviour::WontStop);
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::NeedsRecovery);
    assert!(!report.domains[0].undone);
    for disk in &world.disks {
        assert_eq!(world.host.chain(&disk.domain, &disk.target).len(), 2, "an overlay was committed");
    }
    // Nor does recovery commit while it may be running, and a new run doesn't begin on top of it.
    assert_eq!(world.recover()[0].outcome, Recovered::NeedsRecovery);
    assert!(matches!(world.run(&world.config(), &|_| {}), Err(Error::Unrecovered { .. })));
    world.session.behave(Behaviour::Healthy);
    world.session.session().stop(true).expect("stopped");
    assert_eq!(world.recover()[0].outcome, Recovered::Finished);
    world.ensure_clean();
    assert_eq!(world.recover(), []);
}

#[test]
fn a_refusing_preflight_touches_nothing() {
    let world = World::new(&[("vm1", 1)]);
    world.session.set_config("secondary-access-mount", "false");
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.failures[0].what.contains("secondary-access-mount"), "{:?}", report.failures);
    assert_eq!(world.steps(), ["run.began", "run.ended"]);
    world.ensure_clean();

    let mut config = world.config();
    config.override_checks.push(stillpoint_georep::Check::SecondaryAccessMount);
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
    assert!(report.warnings.iter().any(|warning| warning.contains("overridden")));
}

#[test]
fn only_the_disks_that_are_named_are_taken_and_proven() {
    let world = World::new(&[("vm1", 2), ("vm2", 2)]);
    let mut config = world.config();
    config.disks = vec!["vm1:vdb".parse().expect("a disk")];
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
    let taken =
        |at: usize| report.domains[at].disks.iter().map(|disk| disk.target.as_str()).collect::<Vec<_>>();
    assert_eq!((taken(0), taken(1)), (vec!["vdb"], vec!["vda", "vdb"]));
    assert_eq!(report.proof.expect("a proof").compared.files, 3);
    assert!(report.warnings.iter().any(|warning| warning.contains("vm1: disk vda")), "{:?}", report.warnings);
    world.ensure_clean();
    config.disks = vec!["vm3:vda".parse().expect("a disk")];
    assert!(matches!(world.run(&config, &|_| {}), Err(Error::DiskOfOther { domain }) if domain == "vm3"));
}

#[test]
fn all_domains_on_the_volume_that_run_are_taken_and_those_that_are_off_are_told() {
    let world = World::new(&[("vm1", 1), ("vm2", 1), ("vm3", 1)]);
    world.host.power_off(&world.disks[1].domain);
    let mut config = world.config();
    (config.domains, config.all_domains) = (vec!["vm3".into()], true);
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
    let names: Vec<_> = report.domains.iter().map(|domain| domain.domain.name.as_str()).collect();
    assert_eq!(names, ["vm3", "vm1"]);
    assert!(report.warnings.iter().any(|warning| warning.contains("'vm2' is off")), "{:?}", report.warnings);
    world.ensure_clean();
    for disk in &world.disks {
        world.host.power_off(&disk.domain);
    }
    config.domains.clear();
    assert!(matches!(world.run(&config, &|_| {}), Err(Error::NoDomains { .. })));
}

#[test]
fn a_domain_that_is_refused_is_left_out_of_all_and_the_run_is_partial() {
    let world = World::new(&[("vm1", 1), ("vm2", 1)]);
    world.host.task(&world.disks[0].domain, true);
    let mut config = world.config();
    (config.domains, config.all_domains) = (Vec::new(), true);
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Partial, "{:?}", report.failures);
    assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
    assert_eq!(report.failures[0].domain.as_deref(), Some("vm1"));
    let points: Vec<_> =
        report.domains.iter().map(|domain| (domain.domain.name.as_str(), domain.point.is_some())).collect();
    assert_eq!(points, [("vm2", true), ("vm1", false)]);
    world.ensure_clean();

    world.host.task(&world.disks[1].domain, true);
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.failures.len(), 2, "both are told: {:?}", report.failures);
    world.ensure_clean();
}

#[test]
fn a_disk_outside_the_volume_is_refused() {
    let world = World::new(&[("vm1", 1)]);
    let elsewhere = world.path("elsewhere.img");
    std::fs::write(&elsewhere, "a disk").expect("a file");
    let _ = world.host.add(SimDomain::new("vm2").with(SimDisk::new("vda", elsewhere)));
    let mut config = world.config();
    config.domains.push("vm2".to_owned());
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.failures[0].what.contains("elsewhere.img"), "{:?}", report.failures);
    world.ensure_clean();
}

#[test]
fn another_volumes_description_is_refused() {
    let world = World::new(&[("vm1", 1)]);
    let mut config = world.config();
    config.secondary = config.primary.clone();
    let report = world.run(&config, &|_| {}).expect("it began");
    assert!(report.failures[0].what.contains("gv1"), "{:?}", report.failures);
    world.ensure_clean();
}

#[test]
fn an_unknown_domain_does_not_begin_a_run() {
    let world = World::new(&[("vm1", 1)]);
    let mut config = world.config();
    config.domains = vec!["nobody".to_owned()];
    assert!(matches!(world.run(&config, &|_| {}), Err(Error::Hypervisor(_))));
    assert_eq!(world.recover(), []);
}

#[test]
fn a_domain_whose_snapshot_fails_is_left_out_and_the_run_is_partial() {
    let world = World::new(&[("vm1", 1), ("vm2", 1)]);
    world.host.fail(Call::Snapshot, 1, Failure::Refused(CallErrorKind::Other));
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Partial, "{:?}", report.failures);
    assert!(report.domains[0].point.is_none() && report.domains[1].point.is_some());
    assert_eq!(report.proof.as_ref().expect("a proof").compared.files, 1);
    world.ensure_clean();
}

#[test]
fn a_snapshot_whose_answer_is_lost_is_undone_or_used_but_never_left() {
    let world = World::new(&[("vm1", 1)]);
    world.host.fail(Call::Snapshot, 1, Failure::AnswerLost(CallErrorKind::Connection));
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert!(matches!(report.outcome, Outcome::Failed | Outcome::Proven), "{report:?}");
    world.ensure_clean();
}

#[test]
fn a_commit_that_ends_by_itself_is_tried_again() {
    let world = World::new(&[("vm1", 1)]);
    world.host.fail(Call::Commit, 1, Failure::Refused(CallErrorKind::Busy));
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
    world.ensure_clean();
}

#[test]
fn a_commit_that_never_gets_ready_leaves_the_overlay_for_recovery() {
    let world = World::new(&[("vm1", 1)]);
    world.host.behave(|machine| machine.never_ready = true);
    let mut config = world.config();
    config.undo.deadline = Duration::from_millis(20);
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::NeedsRecovery, "{:?}", report.failures);
    assert!(report.proof.as_ref().expect("a proof").holds);
    world.host.behave(|machine| machine.never_ready = false);
    let recovered = world.recover();
    assert_eq!(recovered[0].outcome, Recovered::Finished, "{recovered:?}");
    // It was proven before it was interrupted.
    assert_eq!(recovered[0].ended, Some(Outcome::Proven));
    world.ensure_clean();
}

#[test]
fn a_guest_without_an_agent_is_crash_consistent_or_refused_by_policy() {
    let world = World::new(&[("vm1", 1)]);
    world.host.set_agent(&world.disks[0].domain, SimAgent::Absent);
    let mut config = world.config();
    config.take.quiesce = Quiesce::Require;
    let report = world.run(&config, &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Failed);
    world.ensure_clean();
    config.take.quiesce = Quiesce::Prefer;
    let report = world.run(&config, &|_| {}).expect("it began");
    let point = report.domains[0].point.as_ref().expect("a point");
    assert!(matches!(point.consistency, Consistency::Crash { .. }));
}

#[test]
fn a_session_that_refuses_at_first_is_asked_again() {
    let world = World::new(&[("vm1", 1)]);
    world.session.fail(
        "checkpoint now",
        1,
        Fault::Refuse("Another transaction is in progress for gv1".to_owned()),
    );
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
}
