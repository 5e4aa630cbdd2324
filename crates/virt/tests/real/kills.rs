//! SIGKILL, and what comes after.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint_virt::{DomainState, Intent, RecoverOptions, recover};

use crate::daemon::Daemon;
use crate::roles::Lines;
use crate::stage::{Real, Way};
use crate::suite::{Stage, assert_home, undoing};

/// A process takes and undoes a still point, and dies at this step.
fn killed_at(stage: &Real<'_>, way: Way, step: usize) -> (PathBuf, ExitStatus) {
    let journal = stage.directory.join(format!("journal-{step}"));
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("cycle")
        .args(way.arguments(stage.daemon))
        .arg(&stage.domain.name)
        .arg(&journal)
        .arg(step.to_string())
        .status()
        .unwrap();
    (journal, status)
}

/// Killed after each journalled step, recovery ends with no overlay, no job, and every write in the base.
pub(crate) fn at_every_step(daemon: &Daemon, way: Way) {
    let stage = Real::new(daemon, way);
    for step in 0.. {
        let (journal, status) = killed_at(&stage, way, step);
        let steps = Lines::read(&journal);
        if status.success() {
            assert!(step > 15, "the whole way has more steps than {step}");
            assert_home(&stage);
            println!("  killed at each of {step} steps");
            break;
        }
        assert_eq!((status.signal(), steps.len()), (Some(9), step + 1), "it must die where it should");
        // Within five seconds the guard has let the guest run.
        let begun = Instant::now();
        while stage.hypervisor().state(stage.domain()).unwrap() != DomainState::Running {
            assert!(begun.elapsed() < Duration::from_secs(5), "suspended after {}", steps[step].name());
            thread::sleep(Duration::from_millis(50));
        }
        let byte = u8::try_from(step + 1).unwrap();
        stage.write("vda", 65536 * u64::try_from(step).unwrap(), byte);
        let intents = Intent::from_steps(&steps);
        let lines = Lines::open(&journal, usize::MAX);
        let options = RecoverOptions { undo: undoing(), comparison: None, offline: None };
        let recovery =
            recover(stage.hypervisor(), &intents[0], &options, &lines, stage.guards(), &mut |_| {}).unwrap();
        assert!(recovery.is_complete(), "after {}: {:?}", steps[step].name(), recovery.problems);
        assert_home(&stage);
        let closed = Intent::from_steps(&Lines::read(&journal));
        assert!(!closed[0].is_open(), "after {}: {:?}", steps[step].name(), closed[0]);
    }
    stage.power_off();
    for step in 0..15u8 {
        assert!(stage.holds("vda", 65536 * u64::from(step), step + 1), "written after step {step}");
    }
    stage.start();
}

/// A process that dies with the guest suspended: how long until it runs.
pub(crate) fn guard_resumes(daemon: &Daemon) {
    let stage = Real::new(daemon, Way::Virsh);
    let healthy = stage.directory.join("journal-healthy");
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("cycle")
        .args(Way::Virsh.arguments(daemon))
        .arg(&stage.domain.name)
        .args([healthy.to_str().unwrap(), "999"])
        .status()
        .unwrap();
    assert!(status.success());
    let steps = Lines::read(&healthy);
    let at = steps.iter().position(|step| step.name() == "pivot-requested").unwrap();
    let (journal, status) = killed_at(&stage, Way::Virsh, at);
    let begun = Instant::now();
    assert_eq!(status.signal(), Some(9));
    while stage.hypervisor().state(stage.domain()).unwrap() != DomainState::Running {
        assert!(begun.elapsed() < Duration::from_secs(5), "still suspended");
        thread::sleep(Duration::from_millis(10));
    }
    println!("  measured: running again {:.0?} after SIGKILL", begun.elapsed());
    let lines = Lines::open(&journal, usize::MAX);
    let intents = Intent::from_steps(&Lines::read(&journal));
    let options = RecoverOptions { undo: undoing(), comparison: None, offline: None };
    recover(stage.hypervisor(), &intents[0], &options, &lines, stage.guards(), &mut |_| {}).unwrap();
    assert_home(&stage);
}
