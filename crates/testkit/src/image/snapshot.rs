//! Snapshots.

use super::ClusterSpec;
use super::bytes::Out;

/// An entry of the snapshot table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// Id.
    pub id: Vec<u8>,
    /// Name.
    pub name: Vec<u8>,
    /// Seconds since 1970-01-01 UTC.
    pub date_sec: u32,
    /// Nanoseconds of that time.
    pub date_nsec: u32,
    /// Nanoseconds that the guest had run.
    pub vm_clock_nsec: u64,
    /// Size of the VM state in bytes, the field of 32 bits.
    pub vm_state_size: u32,
    /// Extra data.
    pub extra: Vec<u8>,
    /// Clusters of its disk, by number. What it shares with other disks is [`ClusterSpec::Shared`].
    pub clusters: Vec<(u64, ClusterSpec)>,
    /// The VM state's bytes, which lie behind the disk. The sizes that the entry tells are told by themselves.
    pub vm_state: Vec<u8>,
}

impl SnapshotSpec {
    /// A snapshot without extra data, taken at the beginning of time.
    #[must_use]
    pub fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            date_sec: 0,
            date_nsec: 0,
            vm_clock_nsec: 0,
            vm_state_size: 0,
            extra: Vec::new(),
            clusters: Vec::new(),
            vm_state: Vec::new(),
        }
    }

    /// Extra data as QEMU writes it today: size of the VM state, size of the disk, instructions.
    #[must_use]
    pub fn extra(mut self, vm_state_size: u64, disk_size: u64, icount: u64) -> Self {
        let mut out = Out::default();
        out.u64(vm_state_size).u64(disk_size).u64(icount);
        self.extra = out.0;
        self
    }

    /// The size of the disk that the extra data tells, in bytes.
    pub(super) fn disk_size(&self) -> Option<u64> {
        let bytes = self.extra.get(8..16)?;
        Some(u64::from_be_bytes(bytes.try_into().expect("there are eight")))
    }

    /// The entry's bytes with padding, its L1 table being at `l1_offset` with `l1_size` entries.
    pub(super) fn bytes(&self, l1_offset: u64, l1_size: u32) -> Vec<u8> {
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).expect("the format has 16 bits for this length");
        let mut out = Out::default();
        out.u64(l1_offset).u32(l1_size).u16(len(&self.id)).u16(len(&self.name));
        out.u32(self.date_sec).u32(self.date_nsec).u64(self.vm_clock_nsec).u32(self.vm_state_size);
        out.u32(u32::try_from(self.extra.len()).expect("the format has 32 bits for this length"));
        out.bytes(&self.extra).bytes(&self.id).bytes(&self.name).pad8();
        out.0
    }
}
