//! An entry of the snapshot table (specification, section "Snapshots").

use nom::Parser;
use nom::number::complete::{be_u16, be_u32, be_u64};

use super::Parsed;

/// Length of an entry before its extra data, in bytes.
pub const SNAPSHOT_HEADER_LEN: usize = 40;

/// The fixed part of an entry. Extra data, id and name follow it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSnapshotHeader {
    /// Bytes 0 to 7: where the snapshot's L1 table begins, in bytes.
    pub l1_table_offset: u64,
    /// Bytes 8 to 11: its entries.
    pub l1_size: u32,
    /// Bytes 12 and 13: length of the id in bytes.
    pub id_len: u16,
    /// Bytes 14 and 15: length of the name in bytes.
    pub name_len: u16,
    /// Bytes 16 to 19: when it was taken, seconds since 1970-01-01 UTC.
    pub date_sec: u32,
    /// Bytes 20 to 23: the nanoseconds of that time.
    pub date_nsec: u32,
    /// Bytes 24 to 31: how long the guest had run, in nanoseconds.
    pub vm_clock_nsec: u64,
    /// Bytes 32 to 35: size of the VM state in bytes, unless the extra data has it in 64 bits.
    pub vm_state_size: u32,
    /// Bytes 36 to 39: length of the extra data in bytes.
    pub extra_len: u32,
}

impl RawSnapshotHeader {
    /// Parses the 40 bytes.
    ///
    /// # Errors
    /// When the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (l1_table_offset, l1_size, id_len, name_len)) =
            (be_u64, be_u32, be_u16, be_u16).parse(input)?;
        let (rest, (date_sec, date_nsec, vm_clock_nsec)) = (be_u32, be_u32, be_u64).parse(rest)?;
        let (rest, (vm_state_size, extra_len)) = (be_u32, be_u32).parse(rest)?;
        let header = Self {
            l1_table_offset,
            l1_size,
            id_len,
            name_len,
            date_sec,
            date_nsec,
            vm_clock_nsec,
            vm_state_size,
            extra_len,
        };
        Ok((rest, header))
    }

    /// Length of all that follows the 40 bytes, without the padding, in bytes.
    #[must_use]
    pub fn tail_len(&self) -> u64 {
        u64::from(self.extra_len) + u64::from(self.id_len) + u64::from(self.name_len)
    }
}

/// The extra data: each field is there if the data is long enough for all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawSnapshotExtra {
    /// Bytes 0 to 7: size of the VM state in bytes; it replaces the header's 32 bits.
    pub vm_state_size: Option<u64>,
    /// Bytes 8 to 15: virtual size of the disk in the snapshot, in bytes.
    pub disk_size: Option<u64>,
    /// Bytes 16 to 23: instructions that the guest had run; all bits set where it wasn't counted.
    pub icount: Option<u64>,
    /// What follows, of a later format.
    pub unknown: Vec<u8>,
}

impl RawSnapshotExtra {
    /// Takes the extra data apart. Bytes that are too few for a field belong to [`unknown`](Self::unknown).
    #[must_use]
    pub fn parse(input: &[u8]) -> Self {
        let mut extra = Self::default();
        let mut rest = input;
        for field in [&mut extra.vm_state_size, &mut extra.disk_size, &mut extra.icount] {
            let Ok((after, value)) = be_u64::<_, nom::error::Error<&[u8]>>(rest) else { break };
            *field = Some(value);
            rest = after;
        }
        extra.unknown = rest.to_vec();
        extra
    }
}
