//! Going through an L2 table.

use super::{Allocation, MappingError, Run};
use crate::raw::{RawL2Entry, RawSubclusters};
use crate::tables::{ClusterSize, GuestOffset, HostOffset};

/// Subclusters of a cluster, where L2 entries are extended.
const SUBCLUSTERS: u64 = 32;

/// By what rules the entries of an image are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) cluster_size: ClusterSize,
    /// Whether entries have 128 bits.
    pub(super) extended: bool,
    /// Whether there are zero clusters.
    pub(super) zero_clusters: bool,
    /// Whether clusters are in another file.
    pub(super) data_file: bool,
}

impl Rules {
    /// Bytes of the disk that one L2 table is for: at most 2^39.
    pub(super) const fn covered(&self) -> u64 {
        let cluster = self.cluster_size.bytes();
        cluster * (cluster / self.entry_len())
    }

    const fn entry_len(&self) -> u64 {
        if self.extended { 16 } else { 8 }
    }

    /// The run that begins at `at`, within the table for `first` and on.
    pub(super) fn walk(
        &self,
        table: &[u8],
        first: GuestOffset,
        at: GuestOffset,
        max: u64,
    ) -> Result<Run, MappingError> {
        let cluster = self.cluster_size.bytes();
        let unit = if self.extended { cluster / SUBCLUSTERS } else { cluster };
        let wanted_end = (at.0 + max).min(first.0 + self.covered());
        let allocation = self.classify(table, first, at)?;
        let mut end = (at.0 / unit + 1) * unit;
        if let Allocation::Compressed { .. } = allocation {
            end = (at.0 / cluster + 1) * cluster;
        } else {
            while end < wanted_end {
                if allocation == (Allocation::Unallocated { host: None }) && self.cluster_size.is_aligned(end)
                {
                    end += self.empty_entries(table, (end - first.0) / cluster) * cluster;
                    if end >= wanted_end {
                        break;
                    }
                }
                // A fault further on is told when that place itself is asked for.
                match self.classify(table, first, GuestOffset(end)) {
                    Ok(next) if follows(allocation, end - at.0, next) => end += unit,
                    _ => break,
                }
            }
        }
        Ok(Run { guest: at, len: end.min(wanted_end) - at.0, allocation })
    }

    /// How many entries from `index` on are all zeros. Most of a sparse disk's tables is that.
    fn empty_entries(&self, table: &[u8], index: u64) -> u64 {
        let start = usize::try_from(index * self.entry_len()).unwrap_or(usize::MAX);
        let rest = table.get(start..).unwrap_or_default();
        let (blocks, tail) = rest.as_chunks::<128>();
        let blocks = blocks.iter().take_while(|block| is_zero(block)).count();
        let after = rest.get(blocks * 128..).unwrap_or(tail);
        let words = after.as_chunks::<8>().0.iter().take_while(|word| **word == [0; 8]).count();
        (blocks as u64 * 128 + words as u64 * 8) / self.entry_len()
    }

    /// What the disk is at `at`.
    fn classify(
        &self,
        table: &[u8],
        first: GuestOffset,
        at: GuestOffset,
    ) -> Result<Allocation, MappingError> {
        let cluster = self.cluster_size.bytes();
        let guest = GuestOffset(at.0 & !(cluster - 1));
        let inside = at.0 - guest.0;
        let index = (at.0 - first.0) >> self.cluster_size.bits();
        let word = |index: u64| {
            let start = usize::try_from(index * 8).unwrap_or(usize::MAX);
            let bytes = table.get(start..).and_then(<[u8]>::first_chunk::<8>);
            bytes.map(|bytes| u64::from_be_bytes(*bytes)).ok_or(MappingError::NoSuchPlace(at))
        };
        let entry = RawL2Entry(word(if self.extended { index * 2 } else { index })?);
        if entry.is_compressed() {
            if self.data_file {
                return Err(MappingError::CompressedInDataFile(guest));
            }
            let place = entry.compressed(self.cluster_size.bits());
            return Ok(Allocation::Compressed { host: HostOffset(place.offset), len: place.len });
        }
        let offset = entry.offset();
        if !self.cluster_size.is_aligned(offset) {
            return Err(MappingError::ClusterOffset { guest, offset: HostOffset(offset) });
        }
        // In an external data file, 0 is a place like any other.
        let host =
            (offset != 0 || (self.data_file && entry.is_copied())).then(|| HostOffset(offset + inside));
        if let Some(offset) = host
            && self.data_file
            && offset.0 != at.0
        {
            return Err(MappingError::NotAtItsPlace { guest, offset });
        }
        if self.extended {
            let bits = RawSubclusters(word(index * 2 + 1)?);
            return subcluster(bits, inside / (cluster / SUBCLUSTERS), host)
                .ok_or(MappingError::Subclusters { guest, bits: bits.0 });
        }
        match (entry.is_zero(), host) {
            (true, _) if !self.zero_clusters => Err(MappingError::ZeroInV2(guest)),
            // Of zeros, QEMU takes 0 for no place even in a data file.
            (true, host) => Ok(Allocation::Zero { host: host.filter(|_| offset != 0) }),
            (false, Some(host)) => Ok(Allocation::Data { host }),
            (false, None) => Ok(Allocation::Unallocated { host: None }),
        }
    }
}

/// Whether all bytes are zero; without a branch in the middle.
fn is_zero(block: &[u8; 128]) -> bool {
    let (words, _) = block.as_chunks::<8>();
    words.iter().fold(0, |all, word| all | u64::from_be_bytes(*word)) == 0
}

/// What subcluster `index` is; `None` when its bits contradict each other.
fn subcluster(bits: RawSubclusters, index: u64, host: Option<HostOffset>) -> Option<Allocation> {
    let index = u32::try_from(index).ok()?;
    match (bits.is_allocated(index), bits.is_zero(index), host) {
        (true, true, _) | (true, false, None) => None,
        (false, true, host) => Some(Allocation::Zero { host }),
        (true, false, Some(host)) => Some(Allocation::Data { host }),
        (false, false, host) => Some(Allocation::Unallocated { host }),
    }
}

/// Whether `next` goes on what begins as `first` and is `len` bytes long so far.
fn follows(first: Allocation, len: u64, next: Allocation) -> bool {
    match (first, next) {
        (Allocation::Unallocated { host: None }, Allocation::Unallocated { host: None })
        | (Allocation::Zero { host: None }, Allocation::Zero { host: None }) => true,
        (Allocation::Unallocated { host: Some(a) }, Allocation::Unallocated { host: Some(b) })
        | (Allocation::Zero { host: Some(a) }, Allocation::Zero { host: Some(b) })
        | (Allocation::Data { host: a }, Allocation::Data { host: b }) => a.0 + len == b.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        cluster_size: match ClusterSize::from_bits(9) {
            Some(size) => size,
            None => unreachable!(),
        },
        extended: false,
        zero_clusters: true,
        data_file: false,
    };

    #[test]
    fn empty_entries_are_counted_up_to_the_first_that_says_something() {
        for said in 0..64 {
            let mut table = vec![0; 512];
            table[said * 8 + 7] = 1;
            for from in 0..=said {
                let expected = (said - from) as u64;
                assert_eq!(RULES.empty_entries(&table, from as u64), expected, "{from} {said}");
                let extended = Rules { extended: true, ..RULES };
                assert_eq!(extended.empty_entries(&table, from as u64 / 2), (said / 2 - from / 2) as u64);
            }
        }
        assert_eq!(RULES.empty_entries(&[0; 512], 60), 4);
        assert_eq!(RULES.empty_entries(&[0; 512], 64), 0);
        assert_eq!(RULES.empty_entries(&[0; 512], 65), 0);
    }

    #[test]
    fn clusters_that_lie_one_after_another_are_one_run_and_others_are_not() {
        let mut table = vec![0; 512];
        for (index, offset) in [0x1000_u64, 0x1200, 0x1400, 0x1800].into_iter().enumerate() {
            table[index * 8..index * 8 + 8].copy_from_slice(&offset.to_be_bytes());
        }
        let run =
            |at| RULES.walk(&table, GuestOffset(0), GuestOffset(at), u64::MAX >> 1).expect("it is sound");
        assert_eq!(
            (run(0x100).len, run(0x100).allocation),
            (0x500, Allocation::Data { host: HostOffset(0x1100) })
        );
        assert_eq!(
            (run(0x600).len, run(0x600).allocation),
            (0x200, Allocation::Data { host: HostOffset(0x1800) })
        );
        assert_eq!(
            (run(0x800).len, run(0x800).allocation),
            (60 * 512, Allocation::Unallocated { host: None })
        );
    }

    #[test]
    fn a_cluster_of_a_data_file_is_where_the_guest_has_it_or_refused() {
        let rules = Rules { data_file: true, ..RULES };
        let mut table = vec![0; 512];
        // The first is at 0, which only its bit for a refcount of one tells; the third is not at its place.
        for (index, entry) in [1_u64 << 63, 0x200, 0x600].into_iter().enumerate() {
            table[index * 8..index * 8 + 8].copy_from_slice(&entry.to_be_bytes());
        }
        let walk = |at| rules.walk(&table, GuestOffset(0), GuestOffset(at), 4096);
        let run = walk(0).expect("it is sound");
        assert_eq!((run.len, run.allocation), (1024, Allocation::Data { host: HostOffset(0) }));
        let refused = MappingError::NotAtItsPlace { guest: GuestOffset(0x400), offset: HostOffset(0x600) };
        assert_eq!(walk(0x400), Err(refused));
        // Zeros at 0 have no place.
        table[..8].copy_from_slice(&(1_u64 << 63 | 1).to_be_bytes());
        let run = rules.walk(&table, GuestOffset(0), GuestOffset(0), 4096).expect("it is sound");
        assert_eq!((run.len, run.allocation), (512, Allocation::Zero { host: None }));
    }
}
