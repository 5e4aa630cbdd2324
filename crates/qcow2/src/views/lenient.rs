//! Going on past damage.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use stillpoint_storage::{Extent, ExtentKind, Storage};

use super::chain::Chain;
use super::disk::Disk;
use crate::Error;
use crate::causes::with_causes;
use crate::tables::GuestOffset;

/// Most places that a [`LenientDisk`] keeps apart; of more it only counts the bytes.
pub const MAX_SKIPPED: usize = 65536;

/// Bytes that are given up together where a file's bytes can't be read.
const PAGE: u64 = 4096;

/// A part of the disk that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it begins.
    pub guest: GuestOffset,
    /// How long it is, in bytes.
    pub len: u64,
    /// Why the first of it can't be read.
    pub reason: String,
}

/// What a [`LenientDisk`] has skipped so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkipReport {
    /// The parts, in the disk's order; none touches another.
    pub parts: Vec<Skipped>,
    /// Bytes that were skipped when there were too many parts to keep, [`MAX_SKIPPED`]; each read counts again.
    pub untold: u64,
}

impl SkipReport {
    /// Whether nothing was skipped.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.untold == 0
    }

    /// Bytes that were skipped, at most.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().fold(self.untold, |sum, part| sum.saturating_add(part.len))
    }
}

/// A disk that reads as zeros where it can't be read, and keeps a list of where that was.
///
/// For what is left of a damaged disk: these zeros are no data, and only [`skipped`](Self::skipped) tells them from
/// the guest's. With [`Chain::open_lenient`] and [`Disk::open_lenient`] that goes for the whole chain: backing files and
/// external data files that are missing, parts of any layer's header that no data needs, and all else that is wrong in a
/// backing file. The rest of the first image's header and its L1 table are needed all the same: without them nothing can
/// be told of a disk. The reason of each part names the file that it is missing from, unless that is the image itself.
///
/// How much is given up at a time: all that lies in a file that is missing; a cluster where a table's entry is damaged; as
/// much as the largest cluster of any layer where one can't be decompressed or a table can't be read; 4 KiB where the
/// bytes themselves can't. A damaged place costs two more reads for each time that its neighbourhood is halved.
pub struct LenientDisk {
    disk: Disk,
    /// The smallest and the largest cluster of all layers, in bytes.
    clusters: (u64, u64),
    skipped: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// By where they begin: how long, and why.
    parts: BTreeMap<u64, (u64, String)>,
    untold: u64,
}

impl fmt::Debug for LenientDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LenientDisk").field("disk", &self.disk).field("skipped", &self.skipped).finish()
    }
}

impl LenientDisk {
    /// A lenient view of `disk`, which was opened of `chain`.
    #[must_use]
    pub fn new(chain: &Chain, disk: Disk) -> Self {
        let images = chain.layers().iter().filter_map(|layer| layer.image());
        let sizes = images.map(|image| image.header().cluster_size().bytes());
        let clusters = sizes.fold((u64::MAX, PAGE), |(min, max), size| (min.min(size), max.max(size)));
        Self { disk, clusters: (clusters.0.min(clusters.1), clusters.1), skipped: Mutex::default() }
    }

    /// What was skipped in all reads so far.
    #[must_use]
    pub fn skipped(&self) -> SkipReport {
        let list = self.list();
        let parts = list.parts.iter().map(|(&guest, (len, reason))| Skipped {
            guest: GuestOffset(guest),
            len: *len,
            reason: reason.clone(),
        });
        SkipReport { parts: parts.collect(), untold: list.untold }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, List> {
        // Nothing in here panics half way.
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is given up at a time because of this error.
    fn unit(&self, error: &io::Error) -> u64 {
        let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match ours.map(Error::innermost) {
            Some(Error::Decompress(_)) => self.clusters.1,
            Some(Error::Io { what, .. }) if *what != "guest data" => self.clusters.1,
            Some(Error::Mapping(_)) => self.clusters.0,
            _ => PAGE,
        }
    }

    /// Fills `buf`; where that fails, halves it until what is left is given up.
    fn fill(&self, offset: u64, buf: &mut [u8]) {
        // Parts of it that are still to be read, the next one last: at most one for each halving.
        let mut left = vec![(0, buf.len())];
        while let Some((start, end)) = left.pop() {
            let Some(part) = buf.get_mut(start..end).filter(|part| !part.is_empty()) else { continue };
            let at = offset + start as u64;
            let Err(error) = self.disk.read_exact_at(at, part) else { continue };
            let unit = self.unit(&error);
            let len = part.len() as u64;
            if let Some(unknown) = self.disk.unknown_at(at, len) {
                // Nothing of it can be read: it is not tried piece by piece.
                let cut = start.saturating_add(usize::try_from(unknown).unwrap_or(usize::MAX));
                part.get_mut(..cut - start).unwrap_or_default().fill(0);
                self.list().add(at, unknown, || describe(&error));
                left.push((cut, end));
                continue;
            }
            // The last multiple of the unit in the first half, or the first in all of it.
            let middle = (at + len / 2) / unit * unit;
            let cut = if middle > at { middle } else { (at / unit + 1) * unit };
            if cut >= at + len {
                part.fill(0);
                self.list().add(at, len, || describe(&error));
                continue;
            }
            let cut = start + usize::try_from(cut - at).unwrap_or(usize::MAX);
            left.push((cut, end));
            left.push((start, cut));
        }
    }
}

impl List {
    fn add(&mut self, at: u64, len: u64, reason: impl FnOnce() -> String) {
        let (mut start, mut end) = (at, at + len);
        // Those that it touches: none of them touches another, so they come one after the other.
        let before = self.parts.range(..=start).next_back();
        let before = before.filter(|(first, (len, _))| *first + len >= start).map(|(&first, _)| first);
        let mut kept = None;
        let touched: Vec<u64> = before
            .into_iter()
            .chain(
                self.parts.range(start..=end).map(|(&first, _)| first).filter(|first| Some(*first) != before),
            )
            .collect();
        for first in touched {
            if let Some((len, reason)) = self.parts.remove(&first) {
                end = end.max(first + len);
                start = start.min(first);
                kept.get_or_insert(reason);
            }
        }
        if kept.is_none() && self.parts.len() >= MAX_SKIPPED {
            self.untold = self.untold.saturating_add(len);
            return;
        }
        self.parts.insert(start, (end - start, kept.unwrap_or_else(reason)));
    }
}

/// An error with its causes.
fn describe(error: &io::Error) -> String {
    error.get_ref().map_or_else(|| error.to_string(), |inner| with_causes(inner))
}

impl Storage for LenientDisk {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = left.min(buf.len());
        self.fill(offset, buf.get_mut(..n).unwrap_or_default());
        Ok(n)
    }

    /// What can't be told, or isn't there, is data: reading it puts it on the list.
    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        match self.disk.next_extent(offset) {
            Ok(extent) if extent.kind == ExtentKind::Unknown => {
                Ok(Extent { kind: ExtentKind::Data, ..extent })
            }
            Err(error) if offset < self.len() => {
                let unit = self.unit(&error);
                let len = (unit - offset % unit).min(self.len() - offset);
                Ok(Extent { offset, len, kind: ExtentKind::Data })
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &List) -> Vec<(u64, u64)> {
        list.parts.iter().map(|(&at, (len, _))| (at, *len)).collect()
    }

    #[test]
    fn parts_that_touch_become_one_whatever_their_order() {
        let mut list = List::default();
        for (at, len) in [(10, 5), (30, 5), (15, 5), (0, 2), (12, 2), (20, 10), (2, 1), (30, 5)] {
            list.add(at, len, || format!("{at}"));
        }
        assert_eq!(parts(&list), [(0, 3), (10, 25)]);
        assert_eq!(list.parts[&10].1, "10");
    }

    #[test]
    fn there_are_only_so_many_parts() {
        let mut list = List::default();
        for i in 0..MAX_SKIPPED as u64 + 10 {
            list.add(i * 10, 2, String::new);
        }
        assert_eq!((list.parts.len(), list.untold), (MAX_SKIPPED, 20));
        // What touches one that is there still goes to it.
        list.add(2, 1, String::new);
        assert_eq!((parts(&list)[0], list.untold), ((0, 3), 20));
    }
}
