//! Knowing that nobody writes to a disk's file while a block of it is written back.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
use stillpoint_georep::{NotStill, Stillness};
use stillpoint_virt::domain::{Disk, Domain};
use stillpoint_virt::{DomainId, DomainState, Hypervisor, Which};

use crate::RunId;

/// A file is still since one domain's disk has it below an overlay of ours, or since the domain is off and the file
/// locked.
///
/// The caller holds the session's [`Lock`](crate::Lock), so that no run of ours begins to commit meanwhile. The lock on
/// the file is on all of it, exclusive, as QEMU's image locks are on some bytes: QEMU then refuses to open the file, here
/// and, through the volume, on other hosts, and it can't be had while any QEMU has the file open. It lasts as long as
/// the file is open.
#[derive(Debug)]
pub struct DomainStill<'a> {
    hypervisor: &'a dyn Hypervisor,
    domain: DomainId,
}

impl<'a> DomainStill<'a> {
    /// By the disks of `domain`.
    #[must_use]
    pub fn new(hypervisor: &'a dyn Hypervisor, domain: DomainId) -> Self {
        Self { hypervisor, domain }
    }

    fn off(&self, path: &Path, file: &File) -> Result<String, NotStill> {
        let name = &self.domain.name;
        // Taken again each time, which costs nothing where it is held already.
        fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            NotStill(format!(
                "domain '{name}' is off, and {} can't be locked ({error}): some QEMU has it open",
                path.display()
            ))
        })?;
        let xml = self.xml(Which::Inactive)?;
        if !xml.disks.iter().any(|disk| disk.is_data() && is(disk.source.file(), path)) {
            let file = path.display();
            return Err(NotStill(format!("{file} is no disk of domain '{name}'")));
        }
        // It may have been started before the lock was there; a start after it finds the lock.
        match self.state()? {
            DomainState::Off => Ok(format!("domain '{name}' is off, and the file is locked")),
            _ => Err(NotStill(format!("domain '{name}' was started just now"))),
        }
    }

    fn overlaid(&self, path: &Path) -> Result<String, NotStill> {
        let name = &self.domain.name;
        let xml = self.xml(Which::Live)?;
        if let Some(disk) = xml.disks.iter().find(|disk| writes(disk, path)) {
            return Err(NotStill(format!("disk {} of domain '{name}' writes to it", disk.target)));
        }
        let below = |disk: &&Disk| disk.backing.iter().any(|layer| is(layer.source.file(), path));
        let Some(disk) = xml.disks.iter().find(below) else {
            return Err(NotStill(format!(
                "domain '{name}' runs, and none of its disks has it below an overlay"
            )));
        };
        if disk.mirror.is_some() {
            return Err(NotStill(format!("a block job runs on disk {} of domain '{name}'", disk.target)));
        }
        match disk.source.file() {
            Some(overlay) if is_ours(overlay) => {
                Ok(format!("disk {} of domain '{name}' writes to {}", disk.target, overlay.display()))
            }
            _ => Err(NotStill(format!(
                "disk {} of domain '{name}' writes to {}, which is no overlay of ours",
                disk.target, disk.source
            ))),
        }
    }

    fn xml(&self, which: Which) -> Result<Domain, NotStill> {
        let xml = self.hypervisor.xml(&self.domain, which).map_err(|error| NotStill(error.to_string()))?;
        Domain::parse(&xml).map_err(|error| NotStill(error.to_string()))
    }

    fn state(&self) -> Result<DomainState, NotStill> {
        self.hypervisor.state(&self.domain).map_err(|error| NotStill(error.to_string()))
    }
}

impl Stillness for DomainStill<'_> {
    fn prove(&self, path: &Path, file: &File) -> Result<String, NotStill> {
        match self.state()? {
            DomainState::Off => self.off(path, file),
            _ => self.overlaid(path),
        }
    }
}

/// Whether a disk's guest, or a job on it, writes to the file.
fn writes(disk: &Disk, path: &Path) -> bool {
    is(disk.source.file(), path)
        || disk.mirror.as_ref().is_some_and(|mirror| is(mirror.source.as_deref(), path))
}

/// Whether two paths lead to the same file, by whatever links.
fn is(one: Option<&Path>, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    one.is_some_and(|one| real(one) == real(other))
}

/// Whether a file's name is that of an overlay of one of our runs: `DISK.TAG.qcow2`.
fn is_ours(overlay: &Path) -> bool {
    let name =
        overlay.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".qcow2"));
    let tag = name.and_then(|name| name.rsplit_once('.')).map(|(_, tag)| tag);
    tag.and_then(|tag| tag.strip_prefix("stillpoint-")).is_some_and(|run| run.parse::<RunId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_overlays_of_our_runs_are_ours() {
        for (name, ours) in [
            ("/mnt/vm1-vda.stillpoint-20261123T051234Z-4f1c.qcow2", true),
            ("/mnt/vm1-vda.stillpoint-20261123T051234Z-4f1c", false),
            ("/mnt/vm1-vda.stillpoint-yesterday.qcow2", false),
            ("/mnt/vm1-vda.snap1.qcow2", false),
            ("/mnt/stillpoint-20261123T051234Z-4f1c.qcow2", false),
        ] {
            assert_eq!(is_ours(Path::new(name)), ours, "{name}");
        }
    }
}
