//! The whole cycle over a simulated hypervisor and a simulated session, on real files in Gluster's format.

mod crash;
mod failure;
mod proof;
mod resync;
mod world;

use stillpoint_backup::{AfterRun, Cancel, Error, Outcome, Stage, StateDir};
use stillpoint_sim::hypervisor::SimGuards;

use crate::world::World;

#[test]
fn a_healthy_run_is_proven_and_leaves_nothing() {
    let world = World::new(&[("vm1", 1), ("vm2", 3)]);
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.failures, []);
    assert_eq!(report.outcome, Outcome::Proven);
    let proof = report.proof.as_ref().expect("a proof");
    assert!(proof.holds);
    assert_eq!((proof.compared.files, proof.compared.shards, proof.compared.empty_shards), (4, 28, 4));
    assert_eq!(proof.primary, proof.secondary);
    assert!(report.domains.iter().all(|domain| domain.undone && domain.point.is_some()));
    assert_eq!(report.commits.len(), 2);
    world.ensure_clean();
    // A second run, of what the guests wrote meanwhile.
    let again = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(again.outcome, Outcome::Proven);
    assert_ne!(again.proof.expect("a proof").primary, proof.primary);
    world.ensure_clean();
}

#[test]
fn a_report_is_kept_and_reads_back() {
    let world = World::new(&[("vm1", 1)]);
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    let state = StateDir::open(&world.path("state")).expect("a state directory");
    let kept = std::fs::read(state.run_dir(&report.run).join("report.json")).expect("a report");
    let kept: stillpoint_backup::RunReport = serde_json::from_slice(&kept).expect("readable");
    assert_eq!((kept.run, kept.outcome, kept.proof), (report.run, report.outcome, report.proof));
    for stage in [Stage::Preflight, Stage::StillPoint, Stage::Replicate, Stage::DigestPrimary, Stage::Undo] {
        assert!(kept.durations.iter().any(|part| part.stage == stage), "{stage}");
    }
}

#[test]
fn the_proof_begins_only_when_replication_is_stopped() {
    let world = World::new(&[("vm1", 1)]);
    world
        .run(&world.config(), &|record| {
            if record.entry.name() == "run.proof-began" {
                assert!(!world.session.is_running());
            }
        })
        .expect("it began");
    let steps = world.steps();
    let at = |name: &str| {
        steps.iter().position(|step| step == name).unwrap_or_else(|| panic!("{name} in {steps:?}"))
    };
    assert!(at("virt.snapshot-verified") < at("georep.checkpoint-set"));
    let (started, proof) = (at("georep.started"), at("run.proof-began"));
    assert!(steps[started..proof].iter().any(|step| step == "georep.stopped"), "{steps:?}");
    assert!(at("run.proved") < at("virt.commit-intended"));
    assert_eq!(steps.last().map(String::as_str), Some("run.ended"));
}

#[test]
fn replication_is_left_as_it_was_found_only_when_asked() {
    for (after_run, running) in [(AfterRun::Stopped, false), (AfterRun::AsFound, true)] {
        let world = World::new(&[("vm1", 1)]);
        world.session.session().start().expect("started");
        let mut config = world.config();
        config.after_run = after_run;
        let report = world.run(&config, &|_| {}).expect("it began");
        assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
        assert_eq!(report.replication_found_running, Some(true));
        assert_eq!(report.replication_left_running, Some(running));
        assert_eq!(world.session.is_running(), running);
    }
}

#[test]
fn a_run_in_progress_keeps_others_out() {
    let world = World::new(&[("vm1", 1)]);
    let mut held =
        StateDir::open(&world.path("state")).expect("a directory").lock("gv1 siteB::gv2").expect("free");
    held.tell(None).expect("writable");
    match world.run(&world.config(), &|_| {}) {
        Err(Error::Locked { holder: Some(holder), .. }) => assert_eq!(holder.pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    drop(held);
    assert_eq!(world.run(&world.config(), &|_| {}).expect("it began").outcome, Outcome::Proven);
}

#[test]
fn a_cancelled_run_commits_its_overlays_and_fails() {
    for step in ["virt.snapshot-verified", "georep.checkpoint-set", "georep.started"] {
        let world = World::new(&[("vm1", 2)]);
        let cancel = Cancel::new();
        let guards = SimGuards::new(&world.host);
        let report = world
            .run_as(&world.config(), &world.host.connect(), &guards, &cancel, &|record| {
                if record.entry.name() == step {
                    cancel.request();
                }
            })
            .expect("it began");
        assert_eq!(report.outcome, Outcome::Failed, "{step}");
        assert!(
            report.failures.iter().any(|failure| failure.what.contains("cancelled")),
            "{:?}",
            report.failures
        );
        assert!(report.proof.is_none());
        world.ensure_clean();
    }
}
