//! Someone dies at a stage of an undoing, and recovery makes one disk of what is left.

use std::error::Error as StdError;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use stillpoint_virt::{
    Comparison, DiskCondition, DomainState, Error, Intent, Journal, JournalError, OverlayComparison,
    RecoverOptions, Recovery, Step, StepKind, UndoOptions, recover, undo,
};

use crate::daemon::Daemon;
use crate::stage::{Real, Way};
use crate::suite::{Stage, assert_home, assert_home_and, intent_of, taken, undoing};

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The daemon, and it is started again.
    Libvirtd,
    /// QEMU, as the kernel's out-of-memory killer does it.
    Qemu,
    /// QEMU by itself, as when its guest shuts down.
    Guest,
}

/// The steps of an undoing, after each of which it happens. `pivot-requested` is before the call that pivots.
const STEPS: [&str; 6] = [
    "commit-intended",
    "commit-ready",
    "suspend-intended",
    "pivot-requested",
    "pivot-verified",
    "overlay-removal-intended",
];

/// A journal in memory that lets something happen once a step is written for the first time.
struct Happens<'a> {
    step: &'a str,
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
    kinds: Mutex<Vec<StepKind>>,
}

impl Journal for Happens<'_> {
    fn record(&self, step: &Step) -> Result<(), JournalError> {
        self.kinds.lock().unwrap().push(step.kind.clone());
        if step.name() == self.step
            && let Some(what) = self.what.lock().unwrap().take()
        {
            what();
        }
        Ok(())
    }
}

/// All of it at every step, and over and over in the pivot, where everything is asked for.
pub(crate) fn cases(way: Way) -> Vec<(Who, &'static str, Option<u64>, bool)> {
    if std::env::var_os("STILLPOINT_FULL").is_none() {
        return match way {
            Way::Virsh => vec![(Who::Libvirtd, "pivot-requested", None, true)],
            _ => vec![
                (Who::Qemu, "pivot-requested", Some(10), true),
                (Who::Qemu, "pivot-requested", Some(10), false),
            ],
        };
    }
    let mut cases = Vec::new();
    for who in [Who::Libvirtd, Who::Qemu, Who::Guest] {
        cases.extend(STEPS.map(|step| (who, step, None, true)));
        for suspend in [true, false] {
            let delays = [0, 2, 5, 10, 15, 20, 30, 50];
            cases.extend(delays.map(|delay| (who, "pivot-requested", Some(delay), suspend)));
        }
    }
    cases
}

fn die(daemon: &Daemon, who: Who, domain: &str) {
    match who {
        Who::Libvirtd => daemon.crash_and_restart(),
        Who::Qemu => daemon.kill_qemu(domain),
        Who::Guest => {
            daemon.virsh(&["qemu-monitor-command", domain, "--hmp", "quit"]);
        }
    }
}

pub(crate) fn dies(
    daemon: &Daemon,
    way: Way,
    (who, step, delay, suspend_for_pivot): (Who, &'static str, Option<u64>, bool),
) {
    let stage = Real::new(daemon, way);
    let point = taken(&stage, "dies");
    let written = [("vda", 0, 0x21), ("vda", 5 << 20, 0x22), ("vdb", 1 << 20, 0x23)];
    for (target, offset, byte) in written {
        stage.write(target, offset, byte);
    }
    stage.flush("vda");
    stage.flush("vdb");
    let mut intent = intent_of(&point);
    let name = stage.domain.name.as_str();
    let ended = thread::scope(|scope| {
        let what: Box<dyn FnOnce() + Send> = match delay {
            None => Box::new(move || die(daemon, who, name)),
            Some(delay) => Box::new(move || {
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(delay));
                    die(daemon, who, name);
                });
            }),
        };
        let journal = Happens { step, what: Mutex::new(Some(what)), kinds: Mutex::default() };
        let options = UndoOptions { suspend_for_pivot, pivot_deadline: Duration::from_secs(10), ..undoing() };
        let ended = undo(stage.hypervisor(), &point, &options, &journal, stage.guards(), &mut |_| {});
        for kind in journal.kinds.into_inner().unwrap() {
            intent.apply(&kind);
        }
        ended
    });
    if ended.is_ok() && !intent.is_open() {
        // Too late to matter, or survived.
        assert!(
            who == Who::Libvirtd || delay.is_some() || step == "overlay-removal-intended",
            "{who:?} at {step}"
        );
    }
    if let Some(recovery) = settled(&stage, &mut intent)
        && !recovery.is_complete()
    {
        // Only a pivot with the CPUs running may be left to a person, with both files kept.
        assert!(!suspend_for_pivot, "{:?}", recovery.problems);
        for problem in &recovery.problems {
            let target = problem.target.as_deref().unwrap();
            let found = recovery.found.iter().find(|disk| disk.target == target).unwrap();
            assert_eq!(found.condition, DiskCondition::AmbiguousPivot, "{problem:?}");
            let disk = &point.disks.iter().find(|disk| disk.disk.target == target).unwrap().disk;
            assert!(disk.overlay.exists() && disk.base.exists());
        }
        println!("  left to a person: {} disk(s)", recovery.problems.len());
        return;
    }
    match stage.hypervisor().state(stage.domain()).unwrap() {
        DomainState::Off => assert_home_and(&stage),
        _ => {
            assert_home(&stage);
            stage.power_off();
        }
    }
    for (target, offset, byte) in written {
        assert!(stage.holds(target, offset, byte), "{who:?} at {step}: {target} at {offset}");
    }
    stage.start();
}

/// As QEMU's own tool compares.
struct Compared;

impl OverlayComparison for Compared {
    fn compare(&self, overlay: &Path, base: &Path) -> Result<Comparison, Box<dyn StdError + Send + Sync>> {
        let done = Command::new("qemu-img")
            .args(["compare", "-f", "qcow2", "-F", "qcow2"])
            .args([overlay, base])
            .output()?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let first = said.split_whitespace().find_map(|word| word.trim_end_matches('!').parse().ok());
        match (done.status.code(), first) {
            (Some(0), _) => Ok(Comparison::Equal),
            (Some(1), Some(first)) => Ok(Comparison::Differs { first }),
            _ => Err(String::from_utf8_lossy(&done.stderr).into_owned().into()),
        }
    }
}

/// What recovery says at last, where there is something to recover.
fn settled(stage: &Real<'_>, intent: &mut Intent) -> Option<Recovery> {
    let options =
        RecoverOptions { undo: undoing(), comparison: Some(&Compared), offline: Some(stage.offline()) };
    for _ in 0..20 {
        if !intent.is_open() {
            return None;
        }
        let journal = Happens { step: "", what: Mutex::new(None), kinds: Mutex::default() };
        let done = recover(stage.hypervisor(), intent, &options, &journal, stage.guards(), &mut |_| {});
        for kind in journal.kinds.into_inner().unwrap() {
            intent.apply(&kind);
        }
        match done {
            Ok(recovery) => return Some(recovery),
            Err(error) => {
                // Libvirtd may be away for a moment, and QEMU be dead and not yet known to be.
                assert!(error.is_retryable() || matches!(error, Error::NotRunning { .. }), "{error}");
                thread::sleep(Duration::from_millis(250));
            }
        }
    }
    panic!("it can't be recovered")
}
