//! Domains, and what their guests do.

use std::path::PathBuf;

use stillpoint_virt::{DomainId, DomainState};

use super::drive::Drive;

/// A domain to be added to a [`SimHost`](super::SimHost).
#[derive(Debug, Clone)]
pub struct SimDomain {
    pub(super) name: String,
    disks: Vec<SimDisk>,
    agent: SimAgent,
    persistent: bool,
    running: bool,
    snapshots: u32,
    checkpoints: u32,
    extra: Extra,
}

/// XML of a domain that means nothing to the simulation.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    pub(super) os: String,
    pub(super) devices: String,
}

/// A disk of a domain to be added.
#[derive(Debug, Clone)]
pub struct SimDisk {
    pub(super) target: String,
    pub(super) path: PathBuf,
    pub(super) format: String,
    pub(super) below: Vec<PathBuf>,
    pub(super) device: String,
    /// Elements without content, such as `readonly`.
    pub(super) flags: Vec<String>,
}

/// What a guest's agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimAgent {
    /// The domain has no channel for one.
    Absent,
    /// There is a channel, and no agent behind it.
    Disconnected,
    /// It answers, and the guest has this many file systems.
    Answers {
        /// How many it freezes and thaws.
        file_systems: u32,
    },
    /// It is connected and never answers: calls fail after the time-out that was set, and a call without one would
    /// have hung for ever (which fails the test).
    Hangs,
}

impl SimDomain {
    /// A running, persistent domain without disks, whose agent freezes two file systems.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            disks: Vec::new(),
            agent: SimAgent::Answers { file_systems: 2 },
            persistent: true,
            running: true,
            snapshots: 0,
            checkpoints: 0,
            extra: Extra::default(),
        }
    }

    /// Adds XML to its `<os>`, such as a loader.
    #[must_use]
    pub fn os(mut self, xml: &str) -> Self {
        self.extra.os.push_str(xml);
        self
    }

    /// Adds XML to its `<devices>`, such as a device of the host.
    #[must_use]
    pub fn device(mut self, xml: &str) -> Self {
        self.extra.devices.push_str(xml);
        self
    }

    /// Adds a qcow2 disk over an existing file, with the targets `vda`, `vdb`, …
    #[must_use]
    pub fn disk(self, path: impl Into<PathBuf>) -> Self {
        let letter = char::from(b'a' + u8::try_from(self.disks.len() % 26).unwrap_or(0));
        self.with(SimDisk::new(&format!("vd{letter}"), path))
    }

    /// Adds a disk.
    #[must_use]
    pub fn with(mut self, disk: SimDisk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Sets what the agent does.
    #[must_use]
    pub fn agent(mut self, agent: SimAgent) -> Self {
        self.agent = agent;
        self
    }

    /// Makes it transient.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.persistent = false;
        self
    }

    /// Leaves it off.
    #[must_use]
    pub fn off(mut self) -> Self {
        self.running = false;
        self
    }

    /// Gives it snapshots and checkpoints that libvirt keeps records of.
    #[must_use]
    pub fn moments(mut self, snapshots: u32, checkpoints: u32) -> Self {
        (self.snapshots, self.checkpoints) = (snapshots, checkpoints);
        self
    }
}

impl SimDisk {
    /// A writable qcow2 disk over an existing file.
    #[must_use]
    pub fn new(target: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            target: target.to_owned(),
            path: path.into(),
            format: "qcow2".into(),
            below: Vec::new(),
            device: "disk".into(),
            flags: Vec::new(),
        }
    }

    /// Sets the format.
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.to_owned();
        self
    }

    /// Puts layers below it, from the top down.
    #[must_use]
    pub fn below(mut self, layers: impl IntoIterator<Item = PathBuf>) -> Self {
        self.below = layers.into_iter().collect();
        self
    }

    /// Makes it another device than `disk`.
    #[must_use]
    pub fn device(mut self, device: &str) -> Self {
        self.device = device.to_owned();
        self
    }

    /// Adds an element without content, such as `readonly`, `shareable` or `transient`.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.flags.push(name.to_owned());
        self
    }
}

#[derive(Debug)]
pub(super) struct Guest {
    pub(super) id: DomainId,
    pub(super) instance: Option<u32>,
    pub(super) state: DomainState,
    pub(super) agent: SimAgent,
    pub(super) agent_timeout: bool,
    pub(super) frozen: u32,
    pub(super) disks: Vec<Drive>,
    pub(super) persistent: bool,
    pub(super) snapshots: u32,
    pub(super) checkpoints: u32,
    pub(super) extra: Extra,
    /// Its internal snapshots, by name.
    pub(super) internal: Vec<String>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) starts: bool,
    /// Whether it goes on from saved memory when it is started.
    pub(super) saved: bool,
    /// Whether a job of the whole domain is under way.
    pub(super) task: bool,
}

impl Guest {
    pub(super) fn new(id: DomainId, domain: SimDomain) -> Self {
        Self {
            id,
            instance: None,
            state: DomainState::Off,
            agent: domain.agent,
            agent_timeout: false,
            frozen: 0,
            disks: domain.disks.into_iter().map(Drive::new).collect(),
            persistent: domain.persistent,
            snapshots: domain.snapshots,
            checkpoints: domain.checkpoints,
            extra: domain.extra,
            internal: Vec::new(),
            metadata: Vec::new(),
            starts: domain.running,
            saved: false,
            task: false,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.state == DomainState::Running
    }

    pub(super) fn disk(&mut self, target: &str) -> Option<&mut Drive> {
        self.disks.iter_mut().find(|disk| disk.target == target)
    }

    pub(super) fn start(&mut self, instance: u32) {
        self.instance = Some(instance);
        self.state = DomainState::Running;
        self.saved = false;
        for disk in &mut self.disks {
            disk.layers = disk.defined_chain();
        }
    }

    pub(super) fn power_off(&mut self) {
        self.instance = None;
        self.state = DomainState::Off;
        self.frozen = 0;
        self.agent_timeout = false;
        for disk in &mut self.disks {
            disk.job = None;
            disk.remember();
            disk.layers = disk.defined_chain();
        }
    }
}
