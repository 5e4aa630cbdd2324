//! The processes that are killed, and those that outlive them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use stillpoint_virt::{
    Intent, Journal, JournalError, PlanOptions, QemuImg, Quiesce, RecoverOptions, Step, Tag, TakeOptions,
    guard, plan, take, undo,
};

use crate::stage::{Way, guards};
use crate::suite::undoing;

/// The still point's name in these processes.
pub(crate) const TAG: &str = "stillpoint-killed";

/// `WAY HOW DOMAIN JOURNAL STEP`: the whole way, killed by SIGKILL as soon as that step is written.
pub(crate) fn cycle(arguments: &[String]) -> ExitCode {
    let [way, how, domain, journal, step] = arguments else { return ExitCode::from(2) };
    let hypervisor = Way::named(way).connect(how);
    let domain = hypervisor.find(domain).unwrap();
    let journal = Lines::open(Path::new(journal), step.parse().unwrap());
    let guard = guards(vec![way.clone(), how.clone()]);
    let plan = plan(&*hypervisor, &domain, &PlanOptions::new(Tag::new(TAG).unwrap())).unwrap();
    // Only the lab's guest has an agent.
    let here = matches!(Way::named(way), Way::VirshHere | Way::LibvirtHere);
    let quiesce = if here { Quiesce::Require } else { Quiesce::Never };
    let options = TakeOptions { quiesce, ..TakeOptions::default() };
    let point = take(&*hypervisor, &plan, &options, &journal, &guard).unwrap();
    let undone = undo(&*hypervisor, &point, &undoing(), &journal, &guard, &mut |_| {}).unwrap();
    for disk in undone.disks {
        println!(
            "  measured: {} {}: frozen {:.0?}, snapshot {:.0?}, commit {:.0?}, pivot {:.0?}, suspended {:.0?}, {} KiB",
            hypervisor.backend(),
            disk.target,
            point.frozen,
            point.snapshot,
            disk.commit,
            disk.pivot,
            disk.suspended.unwrap_or_default(),
            disk.overlay_bytes / 1024
        );
    }
    ExitCode::SUCCESS
}

/// `WAY HOW DOMAIN JOURNAL`: what `stillpoint recover` does for one domain.
pub(crate) fn recover(arguments: &[String]) -> ExitCode {
    let [way, how, _, journal] = arguments else { return ExitCode::from(2) };
    let hypervisor = Way::named(way).connect(how);
    let guard = guards(vec![way.clone(), how.clone()]);
    let intents = Intent::from_steps(&Lines::read(Path::new(journal)));
    let lines = Lines::open(Path::new(journal), usize::MAX);
    let offline = QemuImg::new();
    let options = RecoverOptions { undo: undoing(), comparison: None, offline: Some(&offline) };
    let recovery =
        stillpoint_virt::recover(&*hypervisor, &intents[0], &options, &lines, &guard, &mut |_| {}).unwrap();
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
    ExitCode::SUCCESS
}

/// `WAY HOW DOMAIN RELEASE MILLISECONDS`: a guard.
pub(crate) fn guard(arguments: &[String]) -> ExitCode {
    let [way, how, domain, release, deadline] = arguments else { return ExitCode::from(2) };
    let hypervisor = Way::named(way).connect(how);
    let domain = hypervisor.find(domain).unwrap();
    let deadline = Duration::from_millis(deadline.parse().unwrap());
    match guard::run(&*hypervisor, &domain, release.parse().unwrap(), deadline) {
        Ok(guard::Outcome::Disarmed) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// A journal of JSON lines that kills its own process.
pub(crate) struct Lines {
    state: Mutex<(File, usize)>,
    kill_at: usize,
}

impl Lines {
    pub(crate) fn open(path: &Path, kill_at: usize) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { state: Mutex::new((file, 0)), kill_at }
    }

    pub(crate) fn read(path: &Path) -> Vec<Step> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Journal for Lines {
    fn record(&self, step: &Step) -> Result<(), JournalError> {
        let mut state = self.state.lock().unwrap();
        let line = serde_json::to_string(step).map_err(JournalError::new)?;
        writeln!(state.0, "{line}").and_then(|()| state.0.sync_data()).map_err(JournalError::new)?;
        if state.1 == self.kill_at {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
        state.1 += 1;
        Ok(())
    }
}
