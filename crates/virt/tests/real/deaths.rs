//! Others die while a commit copies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stillpoint_virt::{
    CommitPhase, CommitProgress, DiskCondition, Error, NullJournal, StillPoint, UndoOptions, observe, undo,
};

use crate::daemon::Daemon;
use crate::stage::{Real, Way};
use crate::suite::{Stage, assert_home, intent_of, recovered, taken, undoing};

/// A still point with 4 MiB written since, and options that make its commit take some seconds.
fn slow(stage: &Real<'_>) -> (StillPoint, UndoOptions) {
    let point = taken(stage, "slow");
    for number in 0..64u64 {
        stage.write("vda", number * 65536, 0x5a);
    }
    (point, UndoOptions { bandwidth: Some(1 << 20), ..undoing() })
}

/// Undoes the point, and does something once the first disk's commit was seen to copy.
fn undone_while(
    stage: &Real<'_>,
    point: &StillPoint,
    options: &UndoOptions,
    then: impl FnOnce() + Send,
) -> Result<(), Error> {
    let copying = AtomicBool::new(false);
    let ended = AtomicBool::new(false);
    let mut progress = |seen: CommitProgress| {
        if seen.phase == CommitPhase::Copying && seen.current > 0 {
            copying.store(true, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !copying.load(Ordering::SeqCst) {
                assert!(!ended.load(Ordering::SeqCst), "the commit was over before it was seen to copy");
                thread::sleep(Duration::from_millis(10));
            }
            then();
        });
        let result = undo(stage.hypervisor(), point, options, &NullJournal, stage.guards(), &mut progress);
        ended.store(true, Ordering::SeqCst);
        result.map(drop)
    })
}

fn assert_holds(stage: &Real<'_>) {
    stage.power_off();
    for number in [0, 31, 63] {
        assert!(stage.holds("vda", number * 65536, 0x5a));
    }
    stage.start();
}

/// QEMU goes on, and so does the undoing once libvirtd is back.
pub(crate) fn libvirtd_in_a_commit(daemon: &Daemon, way: Way) {
    let stage = Real::new(daemon, way);
    let (point, options) = slow(&stage);
    undone_while(&stage, &point, &options, || daemon.crash_and_restart()).unwrap();
    assert_home(&stage);
    assert_holds(&stage);
}

/// The job dies with QEMU, the overlay holds everything, and the next start is committed.
pub(crate) fn qemu_in_a_commit(daemon: &Daemon, way: Way) {
    let stage = Real::new(daemon, way);
    let (point, options) = slow(&stage);
    let error = undone_while(&stage, &point, &options, || daemon.kill_qemu(&stage.domain.name)).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }) && error.needs_recovery(), "{error}");
    let intent = intent_of(&point);
    let seen = observe(stage.hypervisor(), &intent).unwrap();
    assert!(
        seen.disks.iter().all(|disk| disk.condition == DiskCondition::OfflineOverlay),
        "{:?}",
        seen.disks
    );
    stage.start();
    recovered(&stage, &intent);
    assert_home(&stage);
    assert_holds(&stage);
}
