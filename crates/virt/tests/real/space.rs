//! File systems that are full.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use stillpoint_virt::{
    DiskCondition, Error, NullJournal, PlanOptions, Quiesce, StillPoint, Tag, TakeOptions, observe, plan,
    take, undo,
};

use crate::daemon::Daemon;
use crate::stage::{Real, Way};
use crate::suite::{Stage, assert_home, intent_of, recovered, undoing};

/// Takes all that is left of a file system.
struct Filler(PathBuf);

impl Filler {
    fn of(directory: &Path) -> Self {
        let path = directory.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn taken(stage: &Real<'_>, overlays: &Path) -> StillPoint {
    let mut options = PlanOptions::new(Tag::new("stillpoint-full").unwrap());
    options.overlay_dir = Some(overlays.into());
    let plan = plan(stage.hypervisor(), stage.domain(), &options).unwrap();
    let options = TakeOptions { quiesce: Quiesce::Never, ..TakeOptions::default() };
    take(stage.hypervisor(), &plan, &options, &NullJournal, stage.guards()).unwrap()
}

/// The commit fails, the overlay is still the disk and whole, and once there is room it is committed.
pub(crate) fn of_the_base(daemon: &Daemon, way: Way) {
    let stage = Real::below(daemon, way, daemon.small());
    let overlays = tempfile::tempdir_in(daemon.directory()).unwrap();
    let point = taken(&stage, overlays.path());
    for number in 0..48 {
        stage.write("vda", number * 65536, 0x5b);
    }
    let filler = Filler::of(daemon.small());
    let undone = undo(stage.hypervisor(), &point, &undoing(), &NullJournal, stage.guards(), &mut |_| {});
    let error = undone.unwrap_err();
    assert!(matches!(error, Error::JobVanished { .. }) && error.needs_recovery(), "{error}");
    let intent = intent_of(&point);
    let seen = observe(stage.hypervisor(), &intent).unwrap();
    assert!(seen.disks.iter().all(|disk| disk.condition == DiskCondition::OnOverlay), "{:?}", seen.disks);
    drop(filler);
    recovered(&stage, &intent);
    assert_home(&stage);
    assert_eq!(fs::read_dir(overlays.path()).unwrap().count(), 0);
    stage.power_off();
    assert!([0, 20, 47].iter().all(|number| stage.holds("vda", number * 65536, 0x5b)));
    stage.start();
}

/// What was written before is committed, which takes no room there.
pub(crate) fn of_the_overlay(daemon: &Daemon, way: Way) {
    let stage = Real::new(daemon, way);
    let overlays = tempfile::tempdir_in(daemon.small()).unwrap();
    let point = taken(&stage, overlays.path());
    stage.write("vda", 65536, 0x5c);
    stage.flush("vda");
    let filler = Filler::of(daemon.small());
    // QEMU's monitor says nothing of the failure.
    stage.write("vda", 8 << 20, 0x5d);
    undo(stage.hypervisor(), &point, &undoing(), &NullJournal, stage.guards(), &mut |_| {}).unwrap();
    drop(filler);
    assert_home(&stage);
    assert_eq!(fs::read_dir(overlays.path()).unwrap().count(), 0);
    stage.power_off();
    assert!(stage.holds("vda", 65536, 0x5c));
    assert!(!stage.holds("vda", 8 << 20, 0x5d), "the overlay could not grow");
    stage.start();
}
