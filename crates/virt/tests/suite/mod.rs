//! What every backend must do alike: run against the simulated hypervisor, `virsh` and the `virt` crate.

mod internal;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use stillpoint_virt::domain::Domain;
use stillpoint_virt::{
    CallErrorKind, CommitSpec, DiskCondition, DomainId, DomainState, GuardSpawner, Hypervisor, IntendedDisk,
    Intent, NullJournal, OfflineCommit, PauseReason, Plan, PlanOptions, Progressed, Quiesce, RecoverOptions,
    StepKind, StillPoint, Tag, TakeOptions, UndoOptions, Which, domains_below, observe, plan, recover, take,
    undo,
};

/// A running domain with the qcow2 disks `vda` and `vdb` of at least 16 MiB, an empty cdrom drive, and no guest agent that
/// answers.
pub(crate) trait Stage {
    fn hypervisor(&self) -> &dyn Hypervisor;
    fn domain(&self) -> &DomainId;
    fn guards(&self) -> &dyn GuardSpawner;
    fn base(&self, target: &str) -> PathBuf;
    /// The guest writes 64 KiB of this byte at this offset of its disk.
    fn write(&self, target: &str, offset: u64, byte: u8);
    /// Whether the guest finds that there, by the base alone, when it is off.
    fn holds(&self, target: &str, offset: u64, byte: u8) -> bool;
    fn power_off(&self);
    /// Ends it with its memory saved, from which its next start goes on.
    fn save(&self);
    fn start(&self);
    fn offline(&self) -> &dyn OfflineCommit;
    /// How many internal snapshots of this name are in the files of both disks, and in how many there is memory; `None` where
    /// files aren't images. For a domain that is off.
    fn in_files(&self, name: &str) -> Option<(usize, usize)>;
    /// Whether the guest found this there when the internal snapshot was taken.
    fn snapshot_holds(&self, name: &str, target: &str, offset: u64, byte: u8) -> bool;
}

type Test = fn(&dyn Stage);

/// The suite, by name.
pub(crate) const SUITE: &[(&str, Test)] = &[
    ("what is not there is NoDomain", what_is_not_there_is_no_domain),
    ("domains are found by name and by UUID", domains_are_found_by_name_and_by_uuid),
    ("metadata is stored, read and removed", metadata_is_stored_read_and_removed),
    ("CPUs stop and run again", cpus_stop_and_run_again),
    ("an agent that is not there is AgentUnavailable", an_agent_that_is_not_there_is_unavailable),
    ("a whole cycle brings every write home", a_whole_cycle_brings_every_write_home),
    ("a whole cycle without suspension does too", a_whole_cycle_without_suspension_does_too),
    ("overlays may lie in another directory", overlays_may_lie_in_another_directory),
    ("an internal snapshot of a guest that runs is made and deleted", internal::of_a_guest_that_runs),
    ("an internal snapshot of a domain that is off is made and deleted", internal::of_a_domain_that_is_off),
    ("one disk of two is taken, and the other goes on as it is", one_disk_of_two_is_taken),
    (
        "a snapshot onto an existing file is refused and changes nothing",
        a_snapshot_onto_an_existing_file_is_refused,
    ),
    ("a pivot before a commit is refused", a_pivot_before_a_commit_is_refused),
    ("a cancelled commit leaves the overlay in use", a_cancelled_commit_leaves_the_overlay_in_use),
    ("recovery attaches to a commit that runs", recovery_attaches_to_a_commit_that_runs),
    ("recovery settles a definition that lags behind", recovery_settles_a_definition_that_lags_behind),
    ("a domain that went off waits for its start", a_domain_that_went_off_waits_for_its_start),
    ("a domain that went off is committed by its files", a_domain_that_went_off_is_committed_by_its_files),
    ("a domain with saved memory is not committed", a_domain_with_saved_memory_is_not_committed),
];

fn options(tag: &str) -> PlanOptions {
    PlanOptions::new(Tag::new(format!("stillpoint-{tag}")).unwrap())
}

fn never() -> TakeOptions {
    TakeOptions { quiesce: Quiesce::Never, ..TakeOptions::default() }
}

pub(crate) fn undoing() -> UndoOptions {
    UndoOptions {
        poll: Duration::from_millis(20),
        deadline: Duration::from_secs(120),
        ..UndoOptions::default()
    }
}

fn planned(stage: &dyn Stage, tag: &str) -> Plan {
    plan(stage.hypervisor(), stage.domain(), &options(tag)).unwrap()
}

pub(crate) fn taken(stage: &dyn Stage, tag: &str) -> StillPoint {
    take(stage.hypervisor(), &planned(stage, tag), &never(), &NullJournal, stage.guards()).unwrap()
}

/// What a journal would have said of a snapshot that was verified.
pub(crate) fn intent_of(point: &StillPoint) -> Intent {
    let mut intent = Intent::begun(point.domain.clone(), point.tag.clone());
    let disks: Vec<IntendedDisk> = point.disks.iter().map(|disk| disk.disk.clone()).collect();
    intent.apply(&StepKind::SnapshotIntended { disks });
    intent.apply(&StepKind::SnapshotVerified);
    intent
}

pub(crate) fn recovered(stage: &dyn Stage, intent: &Intent) {
    let options = RecoverOptions { undo: undoing(), comparison: None, offline: None };
    let recovery =
        recover(stage.hypervisor(), intent, &options, &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
}

/// Recovery that may commit the files of a domain that is off.
pub(crate) fn recovered_by_files(stage: &dyn Stage, intent: &Intent) {
    let options = RecoverOptions { undo: undoing(), comparison: None, offline: Some(stage.offline()) };
    let recovery =
        recover(stage.hypervisor(), intent, &options, &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
}

pub(crate) fn assert_home(stage: &dyn Stage) {
    assert_eq!(stage.hypervisor().state(stage.domain()).unwrap(), DomainState::Running);
    assert_home_and(stage);
}

/// Whatever the domain does.
pub(crate) fn assert_home_and(stage: &dyn Stage) {
    for which in [Which::Live, Which::Inactive] {
        let domain = Domain::parse(&stage.hypervisor().xml(stage.domain(), which).unwrap()).unwrap();
        for target in ["vda", "vdb"] {
            let disk = domain.disk(target).unwrap();
            assert!(disk.source.is_file(&stage.base(target)), "{which:?} {target}: {}", disk.source);
            assert_eq!(disk.mirror, None);
        }
    }
    for entry in fs::read_dir(stage.base("vda").parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("stillpoint-"), "left behind: {name}");
    }
}

fn what_is_not_there_is_no_domain(stage: &dyn Stage) {
    let hypervisor = stage.hypervisor();
    assert_eq!(hypervisor.find("no such domain").unwrap_err().kind, CallErrorKind::NoDomain);
    let gone = DomainId { uuid: uuid::Uuid::from_u128(42), name: "gone".into() };
    let kinds = [
        hypervisor.state(&gone).unwrap_err().kind,
        hypervisor.xml(&gone, Which::Live).unwrap_err().kind,
        hypervisor.is_persistent(&gone).unwrap_err().kind,
        hypervisor.suspend(&gone).unwrap_err().kind,
        hypervisor.pivot(&gone, "vda").unwrap_err().kind,
    ];
    assert_eq!(kinds, [CallErrorKind::NoDomain; 5]);
}

fn domains_are_found_by_name_and_by_uuid(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    assert_eq!(&hypervisor.find(&domain.name).unwrap(), domain);
    assert_eq!(&hypervisor.find(&domain.uuid.to_string()).unwrap(), domain);
    assert!(hypervisor.domains().unwrap().contains(domain));
    assert!(hypervisor.is_persistent(domain).unwrap());
    assert_eq!(hypervisor.snapshot_count(domain).unwrap(), 0);
    assert_eq!(hypervisor.checkpoint_count(domain).unwrap(), 0);
    assert!(!hypervisor.has_task(domain).unwrap());
    assert_eq!(hypervisor.capacity(domain, "vdb").unwrap(), 16 << 20);
    hypervisor.capacity(domain, "vdz").unwrap_err();
    let below = domains_below(hypervisor, stage.base("vda").parent().unwrap()).unwrap();
    assert_eq!(below.active, std::slice::from_ref(domain));
    let versions = hypervisor.versions().unwrap();
    assert!(versions.libvirt.is_some() && versions.hypervisor.is_some(), "{versions:?}");
    let parsed = Domain::parse(&hypervisor.xml(domain, Which::Live).unwrap()).unwrap();
    assert_eq!((parsed.uuid, &parsed.name), (domain.uuid, &domain.name));
    assert!(parsed.id.is_some());
    assert_eq!(Domain::parse(&hypervisor.xml(domain, Which::Inactive).unwrap()).unwrap().id, None);
}

fn metadata_is_stored_read_and_removed(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    let namespace = "https://stillpoint.example/point/1";
    assert_eq!(hypervisor.metadata(domain, namespace).unwrap(), None);
    hypervisor.set_metadata(domain, namespace, Some("<point tag=\"a\"/>")).unwrap();
    let read = hypervisor.metadata(domain, namespace).unwrap().unwrap();
    assert!(read.contains("point") && read.contains("tag"), "{read}");
    hypervisor.set_metadata(domain, namespace, None).unwrap();
    assert_eq!(hypervisor.metadata(domain, namespace).unwrap(), None);
}

fn cpus_stop_and_run_again(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    hypervisor.suspend(domain).unwrap();
    assert_eq!(hypervisor.state(domain).unwrap(), DomainState::Paused(PauseReason::User));
    hypervisor.resume(domain).unwrap();
    assert_eq!(hypervisor.state(domain).unwrap(), DomainState::Running);
    assert_eq!(hypervisor.resume(domain).unwrap_err().kind, CallErrorKind::NotInState);
}

fn an_agent_that_is_not_there_is_unavailable(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    hypervisor.set_agent_timeout(domain, Duration::from_secs(2)).unwrap();
    assert_eq!(hypervisor.freeze(domain).unwrap_err().kind, CallErrorKind::AgentUnavailable);
    assert_eq!(hypervisor.thaw(domain).unwrap_err().kind, CallErrorKind::AgentUnavailable);
}

fn cycle(stage: &dyn Stage, tag: &str, options: &UndoOptions) {
    stage.write("vda", 0, 0x11);
    let point = taken(stage, tag);
    stage.write("vda", 65536, 0x22);
    stage.write("vdb", 1 << 20, 0x33);
    for disk in &point.disks {
        assert!(disk.disk.overlay.exists());
    }
    let undone =
        undo(stage.hypervisor(), &point, options, &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    for disk in &undone.disks {
        assert_eq!(disk.suspended.is_some(), options.suspend_for_pivot);
        println!(
            "  measured: {} {}: snapshot {:.0?}, commit {:.0?}, pivot {:.0?}, suspended {:.0?}",
            stage.hypervisor().backend(),
            disk.target,
            point.snapshot,
            disk.commit,
            disk.pivot,
            disk.suspended.unwrap_or_default()
        );
    }
    assert_home(stage);
    stage.write("vdb", 2 << 20, 0x44);
    stage.power_off();
    for (target, offset, byte) in
        [("vda", 0, 0x11), ("vda", 65536, 0x22), ("vdb", 1 << 20, 0x33), ("vdb", 2 << 20, 0x44)]
    {
        assert!(stage.holds(target, offset, byte), "{target} at {offset}");
    }
    stage.start();
}

fn a_whole_cycle_brings_every_write_home(stage: &dyn Stage) {
    cycle(stage, "whole", &undoing());
}

fn a_whole_cycle_without_suspension_does_too(stage: &dyn Stage) {
    cycle(stage, "without", &UndoOptions { suspend_for_pivot: false, bandwidth: Some(1 << 30), ..undoing() });
}

fn overlays_may_lie_in_another_directory(stage: &dyn Stage) {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options("elsewhere");
    options.overlay_dir = Some(directory.path().into());
    let plan = plan(stage.hypervisor(), stage.domain(), &options).unwrap();
    let point = take(stage.hypervisor(), &plan, &never(), &NullJournal, stage.guards()).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    undo(stage.hypervisor(), &point, &undoing(), &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_home(stage);
}

fn one_disk_of_two_is_taken(stage: &dyn Stage) {
    let mut options = options("one");
    options.disks = Some(vec!["vdb".into()]);
    let plan = plan(stage.hypervisor(), stage.domain(), &options).unwrap();
    let point = take(stage.hypervisor(), &plan, &never(), &NullJournal, stage.guards()).unwrap();
    let live = Domain::parse(&stage.hypervisor().xml(stage.domain(), Which::Live).unwrap()).unwrap();
    assert!(live.disk("vda").unwrap().source.is_file(&stage.base("vda")));
    assert!(live.disk("vdb").unwrap().source.is_file(&point.disks[0].disk.overlay));
    undo(stage.hypervisor(), &point, &undoing(), &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    assert_home(stage);
}

fn a_snapshot_onto_an_existing_file_is_refused(stage: &dyn Stage) {
    let plan = planned(stage, "exists");
    let overlay = &plan.disks[1].disk.overlay;
    fs::write(overlay, b"something of someone").unwrap();
    let error = stage.hypervisor().snapshot(stage.domain(), &plan.snapshot_xml()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Exists, "{error}");
    assert_eq!(fs::read(overlay).unwrap(), b"something of someone");
    assert!(!plan.disks[0].disk.overlay.exists(), "all disks or none");
    fs::remove_file(overlay).unwrap();
    assert_home(stage);
}

fn a_pivot_before_a_commit_is_refused(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    hypervisor.pivot(domain, "vda").unwrap_err();
    hypervisor.cancel_job(domain, "vda").unwrap_err();
    assert_eq!(hypervisor.block_job(domain, "vda").unwrap(), None);
    assert_home(stage);
}

fn commit(stage: &dyn Stage, point: &StillPoint, target: &str) {
    let disk = &point.disks.iter().find(|disk| disk.disk.target == target).unwrap().disk;
    let spec = CommitSpec {
        target: target.into(),
        base: disk.base.clone(),
        top: disk.overlay.clone(),
        bandwidth: None,
    };
    stage.hypervisor().commit(stage.domain(), &spec).unwrap();
}

fn a_cancelled_commit_leaves_the_overlay_in_use(stage: &dyn Stage) {
    let point = taken(stage, "cancelled");
    stage.write("vda", 3 << 20, 0x55);
    commit(stage, &point, "vda");
    stage.hypervisor().cancel_job(stage.domain(), "vda").unwrap();
    let intent = intent_of(&point);
    let seen = observe(stage.hypervisor(), &intent).unwrap();
    assert_eq!(seen.disks[0].condition, DiskCondition::OnOverlay);
    recovered(stage, &intent);
    assert_home(stage);
}

fn recovery_attaches_to_a_commit_that_runs(stage: &dyn Stage) {
    let point = taken(stage, "attached");
    stage.write("vda", 4 << 20, 0x66);
    commit(stage, &point, "vda");
    let intent = intent_of(&point);
    let seen = observe(stage.hypervisor(), &intent).unwrap();
    assert!(
        matches!(seen.disks[0].condition, DiskCondition::Committing | DiskCondition::Ready),
        "{:?}",
        seen.disks
    );
    assert_eq!(seen.disks[1].condition, DiskCondition::OnOverlay);
    recovered(stage, &intent);
    assert_home(stage);
    stage.power_off();
    assert!(stage.holds("vda", 4 << 20, 0x66));
    stage.start();
}

/// The definition is edited behind the back of a running domain so that it names an overlay.
fn recovery_settles_a_definition_that_lags_behind(stage: &dyn Stage) {
    let (hypervisor, domain) = (stage.hypervisor(), stage.domain());
    let point = taken(stage, "lagging");
    let behind = hypervisor.xml(domain, Which::InactiveWithSecrets).unwrap();
    let mut intent = intent_of(&point);
    undo(hypervisor, &point, &undoing(), &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    hypervisor.define(&behind).unwrap();
    let seen = observe(hypervisor, &intent).unwrap();
    assert_eq!(seen.disks[0].condition, DiskCondition::DefinitionBehind);
    for disk in &mut intent.disks {
        disk.progressed = Progressed::PivotRequested;
    }
    recovered(stage, &intent);
    assert_home(stage);
}

fn a_domain_that_went_off_waits_for_its_start(stage: &dyn Stage) {
    let point = taken(stage, "off");
    stage.write("vdb", 5 << 20, 0x77);
    stage.power_off();
    let intent = intent_of(&point);
    let seen = observe(stage.hypervisor(), &intent).unwrap();
    assert!(
        seen.disks.iter().all(|disk| disk.condition == DiskCondition::OfflineOverlay),
        "{:?}",
        seen.disks
    );
    stage.start();
    recovered(stage, &intent);
    assert_home(stage);
    stage.power_off();
    assert!(stage.holds("vdb", 5 << 20, 0x77));
    stage.start();
}

fn a_domain_that_went_off_is_committed_by_its_files(stage: &dyn Stage) {
    let point = taken(stage, "files");
    stage.write("vda", 6 << 20, 0x88);
    stage.write("vdb", 7 << 20, 0x99);
    let intent = intent_of(&point);
    // While it runs its files can't be had.
    let disk = &point.disks[0].disk;
    stage.offline().commit(&disk.overlay, &disk.base).unwrap_err();
    stage.power_off();
    recovered_by_files(stage, &intent);
    assert_eq!(stage.hypervisor().state(stage.domain()).unwrap(), DomainState::Off);
    assert_home_and(stage);
    assert!(stage.holds("vda", 6 << 20, 0x88) && stage.holds("vdb", 7 << 20, 0x99));
    stage.start();
    stage.write("vda", 0, 0x10);
    assert_home(stage);
}

fn a_domain_with_saved_memory_is_not_committed(stage: &dyn Stage) {
    let point = taken(stage, "saved");
    assert!(!stage.hypervisor().has_saved_state(stage.domain()).unwrap());
    stage.save();
    assert!(stage.hypervisor().has_saved_state(stage.domain()).unwrap());
    let intent = intent_of(&point);
    let options = RecoverOptions { undo: undoing(), comparison: None, offline: Some(stage.offline()) };
    let recovery =
        recover(stage.hypervisor(), &intent, &options, &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    assert!(recovery.actions.is_empty() && recovery.problems.len() == 2, "{recovery:?}");
    stage.start();
    assert!(!stage.hypervisor().has_saved_state(stage.domain()).unwrap());
    recovered(stage, &intent);
    assert_home(stage);
}
