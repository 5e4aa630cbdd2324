//! The state of the virtual machine that a snapshot holds.

use std::fmt;
use std::io;

use stillpoint_storage::{Extent, Storage};

use super::chain::Chain;
use super::disk::{Disk, DiskOptions};
use super::policy::Resolver;
use crate::Error;
use crate::raw::Incompatible;
use crate::tables::{Header, MappingError, Snapshot};

/// The state of the machine, memory and devices, as a snapshot holds it: QEMU's migration stream, byte for byte.
///
/// It is stored like guest data, behind the disk: from the first entry of the snapshot's L1 table on that is for
/// nothing of the disk (specification, section "Snapshots", `vm_state_size`). What isn't allocated in there
/// reads as zeros; backing files have no part in it.
pub struct VmState {
    disk: Disk,
    base: u64,
}

impl fmt::Debug for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmState").field("base", &self.base).field("len", &self.len()).finish()
    }
}

impl VmState {
    /// The state in `snapshot` of the chain's first image, or `None` when it has none, as a snapshot of a machine
    /// that was off.
    ///
    /// # Errors
    /// As [`Disk::open_with`]; and when the snapshot's L1 table is too short for what it tells.
    pub fn open(
        chain: &Chain,
        snapshot: &Snapshot,
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Option<Self>, Error> {
        let Some(layer) = chain.layers().first() else { return Ok(None) };
        let Some(image) = layer.image().filter(|_| snapshot.vm_state_size > 0) else { return Ok(None) };
        let header = image.header();
        let entries = snapshot.l1_table.entries;
        let too_far = MappingError::L1Size { entries, needed: u64::MAX };
        let place = vm_state_offset(header, snapshot)
            .and_then(|base| Some((base, base.checked_add(snapshot.vm_state_size)?)));
        let (base, end) = place.ok_or(too_far)?;
        let disk = Disk::open_layer(layer, image, (snapshot.l1_table, end), resolver, options)?;
        Ok(Some(Self { disk, base }))
    }

    /// Where it would begin in the guest's disk, in bytes: the first place past the disk that an L2 table of its
    /// own is for.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.base
    }
}

/// Where the state in a snapshot begins.
fn vm_state_offset(header: &Header, snapshot: &Snapshot) -> Option<u64> {
    let cluster = header.cluster_size().bytes();
    let entry = if header.incompatible().contains(Incompatible::EXTENDED_L2) { 16 } else { 8 };
    // At most 2^39.
    let covered = cluster * (cluster / entry);
    snapshot.disk_size.unwrap_or_else(|| header.virtual_size()).checked_next_multiple_of(covered)
}

impl Storage for VmState {
    fn len(&self) -> u64 {
        self.disk.len() - self.base
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self.base.checked_add(offset) {
            Some(at) => self.disk.read_at(at, buf),
            None => Ok(0),
        }
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let at = self.base.saturating_add(offset);
        let extent = self.disk.next_extent(at)?;
        Ok(Extent { offset, ..extent })
    }
}
