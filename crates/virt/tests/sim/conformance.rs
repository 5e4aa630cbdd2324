//! The suite that all backends share, against the simulation.

use std::fs;
use std::path::PathBuf;

use stillpoint_sim::hypervisor::{
    SimAgent, SimDisk, SimDomain, SimGuards, SimHost, SimHypervisor, SimOffline,
};
use stillpoint_virt::{DomainId, GuardSpawner, Hypervisor, OfflineCommit};
use tempfile::TempDir;

use crate::suite::{SUITE, Stage};

struct Simulated {
    directory: TempDir,
    host: SimHost,
    process: SimHypervisor,
    guards: SimGuards,
    offline: SimOffline,
    domain: DomainId,
}

impl Stage for Simulated {
    fn hypervisor(&self) -> &dyn Hypervisor {
        &self.process
    }

    fn domain(&self) -> &DomainId {
        &self.domain
    }

    fn guards(&self) -> &dyn GuardSpawner {
        &self.guards
    }

    fn base(&self, target: &str) -> PathBuf {
        self.directory.path().join(format!("{target}.qcow2"))
    }

    fn write(&self, target: &str, offset: u64, byte: u8) {
        assert!(self.host.guest_write(&self.domain, target, offset, &[byte; 65536]));
    }

    fn holds(&self, target: &str, offset: u64, byte: u8) -> bool {
        let data = fs::read(self.base(target)).unwrap();
        let offset = usize::try_from(offset).unwrap();
        data[offset..offset + 65536].iter().all(|&found| found == byte)
    }

    fn power_off(&self) {
        self.host.power_off(&self.domain);
    }

    fn save(&self) {
        self.host.save(&self.domain);
    }

    fn start(&self) {
        self.host.start(&self.domain);
    }

    fn in_files(&self, _: &str) -> Option<(usize, usize)> {
        None
    }

    fn snapshot_holds(&self, name: &str, _: &str, _: u64, _: u8) -> bool {
        // What it holds is not simulated, that it is there is.
        self.process.snapshots(&self.domain).unwrap().iter().any(|listed| listed == name)
    }

    fn offline(&self) -> &dyn OfflineCommit {
        &self.offline
    }
}

#[test]
fn the_simulation_passes_the_suite() {
    for (name, test) in SUITE {
        println!("{name}");
        let directory = tempfile::tempdir().unwrap();
        let mut domain = SimDomain::new("suite").agent(SimAgent::Disconnected);
        for target in ["vda", "vdb"] {
            let path = directory.path().join(format!("{target}.qcow2"));
            fs::write(&path, vec![0; 16 << 20]).unwrap();
            domain = domain.disk(path);
        }
        let host = SimHost::new();
        let domain = host.add(domain.with(SimDisk::new("sda", "/cd.iso").device("cdrom").flag("readonly")));
        let (process, guards, offline) = (host.connect(), SimGuards::new(&host), SimOffline::new(&host));
        test(&Simulated { directory, host, process, guards, offline, domain });
    }
}
