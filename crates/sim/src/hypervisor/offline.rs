//! Commits of domains that are off.

use std::error::Error;
use std::path::Path;

use stillpoint_virt::OfflineCommit;

use super::{SimHost, SimHypervisor};

/// What stands in for `qemu-img commit`: a process on the machine, which goes on when the one that started it dies.
#[derive(Debug, Clone)]
pub struct SimOffline {
    host: SimHost,
    process: Option<SimHypervisor>,
}

impl SimOffline {
    /// Commits on this machine.
    #[must_use]
    pub fn new(host: &SimHost) -> Self {
        Self { host: host.clone(), process: None }
    }

    /// Commits that are asked for by this process: none is once it is dead.
    #[must_use]
    pub fn of(host: &SimHost, process: &SimHypervisor) -> Self {
        Self { host: host.clone(), process: Some(process.clone()) }
    }
}

impl OfflineCommit for SimOffline {
    fn commit(&self, overlay: &Path, base: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.process.as_ref().is_some_and(SimHypervisor::is_dead) {
            return Err("this process was killed".into());
        }
        let mut world = self.host.world();
        let drives = world.guests.iter_mut().flat_map(|guest| {
            let off = !guest.state.is_active();
            guest.disks.iter_mut().map(move |drive| (off, drive))
        });
        for (off, drive) in drives {
            if let Some(done) = drive.commit_files(off, overlay, base) {
                return done.map_err(Into::into);
            }
        }
        Err(format!("could not open '{}'", overlay.display()).into())
    }
}
