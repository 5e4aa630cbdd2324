//! What is refused before anything is touched.

use std::fs;

use stillpoint_sim::hypervisor::{Call, Failure, SimDisk, SimDomain};
use stillpoint_virt::{
    CallErrorKind, Check, Error, Plan, PlanOptions, Severity, Version, Versions, domains_below, plan,
};

use crate::stage::{BASE, Stage};

fn planned(stage: &Stage, change: impl FnOnce(&mut PlanOptions)) -> Result<Plan, Error> {
    let mut options = stage.options();
    change(&mut options);
    plan(&stage.host.connect(), &stage.domain, &options)
}

fn refused(stage: &Stage, change: impl FnOnce(&mut PlanOptions)) -> Vec<Check> {
    match planned(stage, change) {
        Err(error @ Error::Refused { .. }) => {
            assert!(!error.needs_recovery());
            let Error::Refused { findings, .. } = &error else { unreachable!() };
            let refusals = findings.iter().filter(|finding| finding.severity == Severity::Refusal);
            for finding in refusals.clone() {
                assert!(!finding.remedy.is_empty());
                assert!(error.to_string().contains(&finding.remedy), "the message tells the remedy");
            }
            refusals.map(|finding| finding.check).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_healthy_domain_gets_an_overlay_beside_each_disk() {
    let stage = Stage::new();
    let plan = planned(&stage, |options| options.inside = Some(stage.directory.path().into())).unwrap();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    for (planned, name) in plan.disks.iter().zip(["system", "data"]) {
        let overlay = format!("{name}.stillpoint-20261123T051234Z-4f1c.qcow2");
        assert_eq!(planned.disk.overlay, stage.directory.path().join(overlay));
    }
}

#[test]
fn overlays_of_domains_with_the_same_file_names_differ_in_a_common_directory() {
    let stage = Stage::new();
    let other = stage.directory.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("system.qcow2"), BASE).unwrap();
    let second = stage.host.add(SimDomain::new("guest two").disk(other.join("system.qcow2")));
    let directory = tempfile::tempdir().unwrap();
    let mut options = stage.options();
    options.overlay_dir = Some(directory.path().into());
    let first = plan(&stage.host.connect(), &stage.domain, &options).unwrap();
    let second = plan(&stage.host.connect(), &second, &options).unwrap();
    assert_ne!(first.disks[0].disk.overlay, second.disks[0].disk.overlay);
    assert!(options.tag.marks(&second.disks[0].disk.overlay));
    assert!(second.disks[0].disk.overlay.starts_with(directory.path()));
}

#[test]
fn states_and_moments_that_forbid_it_are_named() {
    assert_eq!(refused(&Stage::with(SimDomain::off), |_| {}), [Check::Running]);
    assert_eq!(refused(&Stage::with(SimDomain::transient), |_| {}), [Check::Persistent]);
    assert_eq!(refused(&Stage::with(|domain| domain.moments(1, 0)), |_| {}), [Check::NoSnapshots]);
    assert_eq!(refused(&Stage::with(|domain| domain.moments(0, 2)), |_| {}), [Check::NoCheckpoints]);
}

#[test]
fn disks_that_can_not_be_taken_are_named_and_drives_are_left_out() {
    for flag in ["shareable", "transient"] {
        let stage = Stage::with(|domain| domain.with(SimDisk::new("vdc", "/dev/null").flag(flag)));
        assert_eq!(refused(&stage, |_| {}), [Check::Disks], "{flag}");
    }
    let lun = Stage::with(|domain| domain.with(SimDisk::new("sda", "/dev/null").device("lun")));
    assert_eq!(refused(&lun, |_| {}), [Check::Disks]);
    let vmdk = Stage::with(|domain| domain.with(SimDisk::new("vdc", "/dev/null").format("vmdk")));
    assert_eq!(refused(&vmdk, |_| {}), [Check::Disks]);
    let drives = Stage::with(|domain| {
        domain
            .with(SimDisk::new("sda", "/cd.iso").device("cdrom").flag("readonly"))
            .with(SimDisk::new("vdz", "/seed.img").flag("readonly"))
    });
    let plan = planned(&drives, |_| {}).unwrap();
    assert_eq!(plan.left_out, ["sda", "vdz"]);
    assert_eq!(plan.snapshot_xml().matches("snapshot='no'").count(), 2 + 1, "two drives and the memory");
}

#[test]
fn layers_outside_of_the_replicated_volume_are_named() {
    let elsewhere = tempfile::tempdir().unwrap();
    let template = elsewhere.path().join("template.qcow2");
    fs::write(&template, BASE).unwrap();
    let stage = Stage::new();
    let path = stage.directory.path().join("clone.qcow2");
    fs::write(&path, BASE).unwrap();
    let clone =
        stage.host.add(SimDomain::new("clone").with(SimDisk::new("vda", path).below([template.clone()])));
    let mut options = stage.options();
    let planned = plan(&stage.host.connect(), &clone, &options).unwrap();
    assert_eq!(
        planned.disks[0].below,
        std::slice::from_ref(&template),
        "a template below is part of the point"
    );
    options.inside = Some(stage.directory.path().into());
    let error = plan(&stage.host.connect(), &clone, &options).unwrap_err();
    assert!(error.to_string().contains(&template.display().to_string()), "{error}");
}

#[test]
fn an_overlay_that_exists_or_that_an_earlier_run_left_is_named() {
    let stage = Stage::new();
    let overlay = planned(&stage, |_| {}).unwrap().disks[1].disk.overlay.clone();
    fs::write(&overlay, b"").unwrap();
    assert_eq!(refused(&stage, |_| {}), [Check::OverlayNames]);
    fs::remove_file(overlay).unwrap();

    stage.take(&stage.host.connect(), &stillpoint_virt::NullJournal).unwrap();
    assert_eq!(refused(&stage, |_| {}), [Check::Chain, Check::Chain]);
}

#[test]
fn a_definition_that_differs_from_what_runs_is_named() {
    let stage = Stage::new();
    stage.host.redefine(&stage.domain, "vda", std::path::Path::new("/elsewhere.qcow2"));
    assert_eq!(refused(&stage, |_| {}), [Check::Chain]);
}

#[test]
fn old_versions_are_refused_and_those_with_faults_warned_of() {
    let stage = Stage::new();
    let versions = |major, minor| Versions { libvirt: Some(Version::new(major, minor, 0)), hypervisor: None };
    stage.host.set_versions(versions(5, 10));
    assert_eq!(refused(&stage, |_| {}), [Check::Versions]);
    stage.host.set_versions(versions(9, 0));
    assert_eq!(planned(&stage, |_| {}).unwrap().warnings[0].check, Check::Versions);
    stage.host.set_versions(versions(9, 1));
    assert!(planned(&stage, |_| {}).unwrap().warnings.is_empty());
}

#[test]
fn only_the_disks_that_are_asked_for_take_part_and_the_others_are_told() {
    let stage = Stage::new();
    let plan = planned(&stage, |options| options.disks = Some(vec!["vdb".into()])).unwrap();
    assert_eq!(plan.disks.iter().map(|disk| disk.disk.target.as_str()).collect::<Vec<_>>(), ["vdb"]);
    assert_eq!(plan.left_out, ["vda"]);
    assert!(plan.snapshot_xml().contains("<disk name='vda' snapshot='no'/>"));
    assert!(plan.warnings.iter().any(|finding| finding.what.contains("vda")), "{:?}", plan.warnings);
    assert_eq!(
        refused(&stage, |options| options.disks = Some(vec!["vdb".into(), "vdz".into()])),
        [Check::Disks]
    );
}

#[test]
fn what_forbids_a_disk_that_was_not_asked_for_forbids_nothing() {
    let stage = Stage::with(|domain| domain.with(SimDisk::new("vdc", "/dev/null").flag("shareable")));
    assert_eq!(refused(&stage, |_| {}), [Check::Disks]);
    planned(&stage, |options| options.disks = Some(vec!["vda".into(), "vdb".into()])).unwrap();
}

#[test]
fn a_disk_on_which_another_domain_depends_is_named() {
    let stage = Stage::new();
    let path = stage.directory.path().join("clone.qcow2");
    fs::write(&path, BASE).unwrap();
    let clone = SimDomain::new("clone").with(SimDisk::new("vda", path).below([stage.base("vdb")]));
    let clone = stage.host.add(clone);
    assert_eq!(refused(&stage, |_| {}), [Check::Template]);
    // The clone itself may: nobody writes to what is below it on its account.
    plan(&stage.host.connect(), &clone, &stage.options()).unwrap();
    let _ = stage.host.add(SimDomain::new("twin").disk(stage.base("vda")).off());
    assert_eq!(refused(&stage, |_| {}), [Check::Template, Check::Template]);
}

#[test]
fn a_job_of_the_whole_domain_is_named() {
    let stage = Stage::new();
    stage.host.task(&stage.domain, true);
    assert_eq!(refused(&stage, |_| {}), [Check::NoTask]);
    stage.host.task(&stage.domain, false);
    planned(&stage, |_| {}).unwrap();
}

#[test]
fn a_disk_whose_size_is_not_told_is_warned_of() {
    let stage = Stage::new();
    stage.host.fail(Call::Capacity, 1, Failure::Refused(CallErrorKind::Other));
    let plan = planned(&stage, |_| {}).unwrap();
    assert_eq!(plan.warnings.iter().map(|finding| finding.check).collect::<Vec<_>>(), [Check::Space]);
}

#[test]
fn the_domains_with_a_disk_below_a_directory_are_found() {
    let stage = Stage::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let make = |directory: &std::path::Path, name: &str| {
        let path = directory.join(name);
        fs::write(&path, BASE).unwrap();
        path
    };
    let deeper = stage.directory.path().join("deeper");
    fs::create_dir(&deeper).unwrap();
    let mixed = SimDomain::new("a mixed one")
        .disk(make(elsewhere.path(), "one.qcow2"))
        .disk(make(&deeper, "two.qcow2"));
    let mixed = stage.host.add(mixed);
    let off = stage.host.add(SimDomain::new("off").disk(make(&deeper, "off.qcow2")).off());
    let _ = stage.host.add(SimDomain::new("other").disk(make(elsewhere.path(), "other.qcow2")));
    let cd = SimDisk::new("sda", make(&deeper, "cd.iso")).device("cdrom").flag("readonly");
    let _ = stage.host.add(SimDomain::new("only a cd").with(cd));
    let below = domains_below(&stage.host.connect(), stage.directory.path()).unwrap();
    assert_eq!(below.active, [mixed, stage.domain.clone()]);
    assert_eq!(below.off, [off]);
    domains_below(&stage.host.connect(), &deeper.join("nothing")).unwrap_err();
}
