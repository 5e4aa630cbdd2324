//! A simulated host with one domain of two disks, and a journal that can be made to crash.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Mutex, Once};
use std::time::Duration;

use stillpoint_sim::hypervisor::{SimCrash, SimDomain, SimGuards, SimHost, SimHypervisor, SimOffline};
use stillpoint_virt::{
    DomainId, Error, Hypervisor, Intent, Journal, JournalError, PlanOptions, Quiesce, RecoverOptions,
    Recovery, Step, StepKind, StillPoint, Tag, TakeOptions, UndoOptions, Undone, plan, recover, take, undo,
};
use tempfile::TempDir;

pub(crate) const BASE: &[u8] = b"the base as it was before anything was taken of it.";

pub(crate) struct Stage {
    pub(crate) directory: TempDir,
    pub(crate) host: SimHost,
    pub(crate) domain: DomainId,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|domain| domain)
    }

    pub(crate) fn with(change: impl FnOnce(SimDomain) -> SimDomain) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = SimHost::new();
        let mut domain = SimDomain::new("guest");
        for name in ["system.qcow2", "data.qcow2"] {
            let path = directory.path().join(name);
            fs::write(&path, BASE).unwrap();
            domain = domain.disk(path);
        }
        let domain = host.add(change(domain));
        Self { directory, host, domain }
    }

    pub(crate) fn base(&self, target: &str) -> PathBuf {
        self.directory.path().join(if target == "vda" { "system.qcow2" } else { "data.qcow2" })
    }

    pub(crate) fn options(&self) -> PlanOptions {
        PlanOptions::new(Tag::new("stillpoint-20261123T051234Z-4f1c").unwrap())
    }

    pub(crate) fn take(
        &self,
        hypervisor: &dyn Hypervisor,
        journal: &dyn Journal,
    ) -> Result<StillPoint, Error> {
        let options = TakeOptions { quiesce: Quiesce::Require, ..TakeOptions::default() };
        let plan = plan(hypervisor, &self.domain, &self.options())?;
        take(hypervisor, &plan, &options, journal, &SimGuards::new(&self.host))
    }

    pub(crate) fn undo(
        &self,
        hypervisor: &dyn Hypervisor,
        point: &StillPoint,
        journal: &dyn Journal,
    ) -> Result<Undone, Error> {
        undo(hypervisor, point, &quick(), journal, &SimGuards::new(&self.host), &mut |_| {})
    }

    /// The whole way, with the guest writing in between.
    pub(crate) fn cycle(
        &self,
        hypervisor: &SimHypervisor,
        journal: &dyn Journal,
        guards: &SimGuards,
        suspend: bool,
    ) -> Result<(), Error> {
        let options = TakeOptions { quiesce: Quiesce::Require, ..TakeOptions::default() };
        let plan = plan(hypervisor, &self.domain, &self.options())?;
        let point = take(hypervisor, &plan, &options, journal, guards)?;
        for target in ["vda", "vdb"] {
            self.host.guest_write(&self.domain, target, 4, b"WRITTEN SINCE");
        }
        let options = UndoOptions { suspend_for_pivot: suspend, ..quick() };
        undo(hypervisor, &point, &options, journal, guards, &mut |_| {})?;
        Ok(())
    }

    pub(crate) fn recover(&self, journal: &Log) -> Result<Recovery, Error> {
        self.recover_with(journal, &RecoverOptions { undo: quick(), comparison: None, offline: None })
    }

    pub(crate) fn recover_with(
        &self,
        journal: &Log,
        options: &RecoverOptions<'_>,
    ) -> Result<Recovery, Error> {
        let guards = SimGuards::new(&self.host);
        recover(&self.host.connect(), &self.intent(journal), options, journal, &guards, &mut |_| {})
    }

    /// Recovery that may commit the files of a domain that is off.
    pub(crate) fn recover_files(&self, journal: &Log) -> Result<Recovery, Error> {
        let offline = SimOffline::new(&self.host);
        let options = RecoverOptions { undo: quick(), comparison: None, offline: Some(&offline) };
        self.recover_with(journal, &options)
    }

    pub(crate) fn recover_by(
        &self,
        process: &SimHypervisor,
        journal: &Log,
        guards: &SimGuards,
    ) -> Result<Recovery, Error> {
        let offline = SimOffline::of(&self.host, process);
        let options = RecoverOptions { undo: quick(), comparison: None, offline: Some(&offline) };
        recover(process, &self.intent(journal), &options, journal, guards, &mut |_| {})
    }

    pub(crate) fn intent(&self, journal: &Log) -> Intent {
        let intents = Intent::from_steps(&journal.steps());
        intents.first().cloned().unwrap_or_else(|| Intent::begun(self.domain.clone(), self.options().tag))
    }

    /// Every disk is its base in both XMLs, no job, no overlay's file, the guest runs and isn't frozen.
    pub(crate) fn assert_clean(&self, when: &str) {
        for target in ["vda", "vdb"] {
            assert_eq!(
                self.host.chain(&self.domain, target),
                [self.base(target)],
                "{when}: chain of {target}"
            );
        }
        assert!(!self.host.has_job(&self.domain), "{when}: a job is left");
        assert!(!self.host.is_frozen(&self.domain), "{when}: the guest is frozen");
        assert!(!self.host.is_suspended(&self.domain), "{when}: the guest is suspended");
        let mut files: Vec<_> =
            fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["data.qcow2", "system.qcow2"], "{when}: files");
        let live = self.host.connect().xml(&self.domain, stillpoint_virt::Which::Inactive).unwrap();
        assert!(!live.contains("stillpoint-"), "{when}: the definition names an overlay: {live}");
    }
}

/// Undoing without long waits.
pub(crate) fn quick() -> UndoOptions {
    UndoOptions {
        poll: Duration::from_millis(1),
        deadline: Duration::from_secs(20),
        pivot_deadline: Duration::from_secs(20),
        ..UndoOptions::default()
    }
}

/// A journal in memory. Can kill a process at its nth record, before or after writing it.
#[derive(Default)]
pub(crate) struct Log {
    steps: Mutex<Vec<Step>>,
    kill: Option<(SimHypervisor, usize, At)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// The effect of the step before is made; this one is not written.
    BeforeWriting,
    /// The step is written; its effect isn't made.
    AfterWriting,
}

impl Log {
    pub(crate) fn killing(process: &SimHypervisor, number: usize, at: At) -> Self {
        Self { steps: Mutex::default(), kill: Some((process.clone(), number, at)) }
    }

    /// A later process's journal, on top of what is in another, that kills it at its nth own record.
    pub(crate) fn killing_after(earlier: &Self, process: &SimHypervisor, number: usize, at: At) -> Self {
        let steps = earlier.steps();
        let kill = Some((process.clone(), steps.len() + number, at));
        Self { steps: Mutex::new(steps), kill }
    }

    /// What a later process finds.
    pub(crate) fn with(steps: Vec<Step>) -> Self {
        Self { steps: Mutex::new(steps), kill: None }
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.steps().iter().map(Step::name).collect()
    }

    pub(crate) fn has(&self, test: impl Fn(&StepKind) -> bool) -> bool {
        self.steps().iter().any(|step| test(&step.kind))
    }
}

impl Journal for Log {
    fn record(&self, step: &Step) -> Result<(), JournalError> {
        let number = self.steps.lock().unwrap().len();
        let kill = self.kill.as_ref().filter(|(_, at, _)| *at == number);
        let dies = |when| kill.filter(|(.., at)| *at == when);
        if let Some((process, ..)) = dies(At::BeforeWriting) {
            process.kill();
            panic::panic_any(SimCrash);
        }
        // Steps must survive being written and read.
        let text = serde_json::to_string(step).unwrap();
        assert_eq!(&serde_json::from_str::<Step>(&text).unwrap(), step);
        self.steps.lock().unwrap().push(step.clone());
        if let Some((process, ..)) = dies(At::AfterWriting) {
            process.kill();
            panic::panic_any(SimCrash);
        }
        Ok(())
    }
}

/// Runs what may die by [`SimCrash`]. `true` when it did.
pub(crate) fn crashes(run: impl FnOnce() -> Result<(), Error>) -> bool {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<SimCrash>() {
                hook(info);
            }
        }));
    });
    let ended = panic::catch_unwind(AssertUnwindSafe(run));
    match ended {
        Ok(Ok(())) => false,
        Ok(Err(error)) => panic!("it failed instead of crashing: {error}"),
        Err(payload) if payload.is::<SimCrash>() => true,
        Err(payload) => panic::resume_unwind(payload),
    }
}
