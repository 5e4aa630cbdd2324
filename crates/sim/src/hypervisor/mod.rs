//! A simulated hypervisor over real files.
//!
//! A [`SimHost`] is the machine: domains, whose disks are real files, with overlays that are real (empty) qcow2 images.
//! A [`SimHypervisor`] is one process's connection to it and can be killed, after which none of its calls has any effect,
//! while the host goes on. [`SimGuards`] stand in for guard processes.
//!
//! A guest's writes go to bytes of the active file if that is the base, and are kept beside an overlay until its commit
//! puts them into the base. What a guest has written can so be compared with what is in the file.

mod calls;
mod domain;
mod drive;
mod faults;
mod guards;
mod offline;
mod overlay;
mod process;
mod snapshot;
mod xml;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stillpoint_virt::{DomainId, DomainState, PauseReason, Release, Version, Versions};
use uuid::Uuid;

pub use domain::{SimAgent, SimDisk, SimDomain};
pub use faults::{Behaviour, Call, Failure};
pub use guards::SimGuards;
pub use offline::SimOffline;
pub use process::{Crash, SimCrash, SimHypervisor};

use domain::Guest;
use faults::Injection;

/// The simulated machine. Clones are the same machine.
#[derive(Debug, Clone, Default)]
pub struct SimHost {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    guests: Vec<Guest>,
    next_instance: u32,
    behaviour: Behaviour,
    injections: Vec<Injection>,
    versions: Versions,
    security_model: Option<String>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            guests: Vec::new(),
            next_instance: 1,
            behaviour: Behaviour::default(),
            injections: Vec::new(),
            versions: Versions {
                libvirt: Some(Version::new(12, 1, 0)),
                hypervisor: Some(Version::new(10, 0, 0)),
            },
            security_model: None,
        }
    }
}

impl SimHost {
    /// A machine without domains.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a domain and gives its id; its UUID is made of its name.
    #[must_use]
    pub fn add(&self, domain: SimDomain) -> DomainId {
        let mut world = self.world();
        let id = DomainId { uuid: uuid_of(&domain.name), name: domain.name.clone() };
        let mut guest = Guest::new(id.clone(), domain);
        if guest.starts {
            world.start(&mut guest);
        }
        world.guests.push(guest);
        id
    }

    /// A connection of a process of its own.
    #[must_use]
    pub fn connect(&self) -> SimHypervisor {
        SimHypervisor::new(self.clone())
    }

    /// Changes how the machine behaves from here on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.world().behaviour);
    }

    /// Lets the next `times` calls of this kind fail, by any process.
    pub fn fail(&self, call: Call, times: u32, failure: Failure) {
        self.world().injections.push(Injection { call, left: times, failure });
    }

    /// Sets the versions that the machine tells.
    pub fn set_versions(&self, versions: Versions) {
        self.world().versions = versions;
    }

    /// Labels all domains as confined by this security model, such as `apparmor`.
    pub fn confine(&self, model: &str) {
        self.world().security_model = Some(model.to_owned());
    }

    /// Lets the guest write these bytes at this offset of its disk's file. `false`, and nothing is written, while it is
    /// off, suspended, or its file systems are frozen.
    ///
    /// # Panics
    /// When there is no such domain or disk, or its file can't be written: a test's own fault.
    pub fn guest_write(&self, domain: &DomainId, target: &str, offset: u64, bytes: &[u8]) -> bool {
        let mut world = self.world();
        let guest = world.guest(domain).expect("the test names a domain that it added");
        guest.runs() && guest.frozen == 0 && {
            guest.disk(target).expect("the test names a disk that it added").write(offset, bytes);
            true
        }
    }

    /// Whether any file system of the guest is frozen.
    #[must_use]
    pub fn is_frozen(&self, domain: &DomainId) -> bool {
        self.world().guest(domain).is_some_and(|guest| guest.frozen > 0)
    }

    /// Whether the guest's CPUs are stopped.
    #[must_use]
    pub fn is_suspended(&self, domain: &DomainId) -> bool {
        self.world().guest(domain).is_some_and(|guest| matches!(guest.state, DomainState::Paused(_)))
    }

    /// The files of a disk as the running guest sees them, active first; as defined, when it is off.
    #[must_use]
    pub fn chain(&self, domain: &DomainId, target: &str) -> Vec<PathBuf> {
        let mut world = self.world();
        let Some(guest) = world.guest(domain) else { return Vec::new() };
        let off = !guest.state.is_active();
        let layers =
            guest.disk(target).map(|disk| if off { disk.defined_chain() } else { disk.layers.clone() });
        layers.unwrap_or_default().into_iter().map(|layer| layer.path).collect()
    }

    /// Whether a block job is on any disk of the domain.
    #[must_use]
    pub fn has_job(&self, domain: &DomainId) -> bool {
        self.world().guest(domain).is_some_and(|guest| guest.disks.iter().any(|disk| disk.job.is_some()))
    }

    /// Ends the domain's QEMU hard: jobs die with it, and the definition is what is left.
    pub fn power_off(&self, domain: &DomainId) {
        if let Some(guest) = self.world().guest(domain) {
            guest.power_off();
        }
    }

    /// Starts a domain that is off, from its definition.
    pub fn start(&self, domain: &DomainId) {
        let mut world = self.world();
        let number = world.next_instance;
        if let Some(guest) = world.guest(domain)
            && !guest.state.is_active()
        {
            guest.start(number);
            world.next_instance += 1;
        }
    }

    /// Ends the domain's QEMU with its memory saved ('managed save'), from which the next start goes on.
    pub fn save(&self, domain: &DomainId) {
        if let Some(guest) = self.world().guest(domain) {
            guest.power_off();
            guest.saved = true;
        }
    }

    /// Pauses the guest by an I/O error of a disk, such as no space left for its overlay.
    pub fn io_error(&self, domain: &DomainId) {
        if let Some(guest) = self.world().guest(domain) {
            guest.state = DomainState::Paused(PauseReason::IoError);
        }
    }

    /// Changes what the guest's agent does from here on.
    pub fn set_agent(&self, domain: &DomainId, agent: SimAgent) {
        if let Some(guest) = self.world().guest(domain) {
            guest.agent = agent;
        }
    }

    /// Begins a job of the whole domain, such as a backup, or ends it.
    pub fn task(&self, domain: &DomainId, under_way: bool) {
        if let Some(guest) = self.world().guest(domain) {
            guest.task = under_way;
        }
    }

    /// Pauses the domain as its operator would.
    pub fn pause(&self, domain: &DomainId) {
        if let Some(guest) = self.world().guest(domain) {
            guest.state = DomainState::Paused(PauseReason::User);
        }
    }

    /// Points the domain's definition at another file, as `virsh edit` would.
    pub fn redefine(&self, domain: &DomainId, target: &str, path: &Path) {
        if let Some(disk) = self.world().guest(domain).and_then(|guest| guest.disk(target)) {
            disk.defined.path = path.to_owned();
        }
    }

    /// What a guard does.
    fn release(&self, domain: &DomainId, release: Release) {
        let mut world = self.world();
        let Some(guest) = world.guest(domain) else { return };
        match release {
            Release::Thaw => guest.frozen = 0,
            Release::Resume if guest.state == DomainState::Paused(PauseReason::User) => {
                guest.state = DomainState::Running;
            }
            Release::Resume => {}
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A crash test's panic leaves a world that is whole: every change is made in one go.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn guest(&mut self, domain: &DomainId) -> Option<&mut Guest> {
        self.guests.iter_mut().find(|guest| guest.id.uuid == domain.uuid)
    }

    fn start(&mut self, guest: &mut Guest) {
        guest.start(self.next_instance);
        self.next_instance += 1;
    }
}

/// FNV-1a, 128 bits: any function that tells names apart would do.
fn uuid_of(name: &str) -> Uuid {
    let hash = name.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    uuid::Builder::from_u128(hash).with_version(uuid::Version::Custom).into_uuid()
}
