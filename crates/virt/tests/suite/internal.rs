//! Internal snapshots.

use std::time::Duration;

use stillpoint_virt::{
    Consistency, DomainState, Error, Intent, InternalOptions, InternalPoint, NullJournal, StepKind, plan,
    plan_internal, prune_internal, take_internal,
};

use super::{Stage, options, recovered};

fn internal(stage: &dyn Stage, tag: &str) -> InternalPoint {
    let plan = plan_internal(stage.hypervisor(), stage.domain(), &options(tag)).unwrap();
    take_internal(stage.hypervisor(), &plan, &InternalOptions::default(), &NullJournal).unwrap()
}

fn known(point: &InternalPoint) -> Intent {
    let mut intent = Intent::begun(point.domain.clone(), point.tag.clone());
    intent.apply(&StepKind::InternalVerified);
    intent
}

pub(super) fn of_a_guest_that_runs(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    stage.write("vda", 0, 0x31);
    let first = internal(stage, "first");
    println!("  measured: {}: internal snapshot {:.0?}", hypervisor.backend(), first.took);
    assert_eq!(hypervisor.state(domain).unwrap(), DomainState::Running);
    stage.write("vda", 0, 0x32);
    let second = internal(stage, "second");
    let mut names = hypervisor.snapshots(domain).unwrap();
    names.sort();
    assert_eq!(names, ["stillpoint-first", "stillpoint-second"]);
    // An external one is not mixed with them.
    assert!(matches!(plan(hypervisor, domain, &options("mixed")), Err(Error::Refused { .. })));
    let intents = [known(&first), known(&second)];
    let deleted = prune_internal(hypervisor, domain, &intents, 1, &NullJournal).unwrap();
    assert_eq!(deleted, [first.tag]);
    assert_eq!(hypervisor.snapshots(domain).unwrap(), ["stillpoint-second"]);
    stage.power_off();
    if let Some(found) = stage.in_files("stillpoint-second") {
        assert_eq!(found, (2, 1), "in both disks, with memory in one");
        assert_eq!(stage.in_files("stillpoint-first"), Some((0, 0)));
    }
    assert!(stage.snapshot_holds("stillpoint-second", "vda", 0, 0x32));
    prune_internal(hypervisor, domain, &intents[1..], 0, &NullJournal).unwrap();
    assert_eq!(hypervisor.snapshot_count(domain).unwrap(), 0);
    assert!(stage.holds("vda", 0, 0x32));
    stage.start();
}

pub(super) fn of_a_domain_that_is_off(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    stage.write("vdb", 65536, 0x41);
    stage.power_off();
    let point = internal(stage, "cold");
    assert_eq!(point.consistency, Consistency::Off);
    if let Some(found) = stage.in_files("stillpoint-cold") {
        assert_eq!(found, (2, 0));
    }
    stage.start();
    stage.write("vdb", 65536, 0x42);
    stage.power_off();
    assert!(stage.snapshot_holds("stillpoint-cold", "vdb", 65536, 0x41));
    let twice = hypervisor.snapshot_internal(
        domain,
        &plan_internal(hypervisor, domain, &options("another"))
            .unwrap()
            .snapshot_xml()
            .replace("another", "cold"),
        Duration::from_secs(60),
    );
    assert!(twice.is_err(), "a name is taken once");
    // A deletion that was interrupted is finished by recovery.
    let mut intent = known(&point);
    intent.apply(&StepKind::InternalDeletionIntended);
    recovered(stage, &intent);
    assert_eq!(hypervisor.snapshot_count(domain).unwrap(), 0);
    hypervisor.delete_snapshot(domain, "stillpoint-cold").unwrap_err();
    stage.start();
}
