//! How often each cluster is referred to, and by what.

use std::collections::{BTreeMap, HashMap};

use stillpoint_storage::Storage;

use super::subject::Subject;

/// An entry of the active layer that says `COPIED` refers to the cluster.
pub(super) const COPIED: u8 = 1;
/// An entry of the active layer that doesn't say it refers to the cluster.
pub(super) const NOT_COPIED: u8 = 2;
/// Metadata is in the cluster.
pub(super) const METADATA: u8 = 4;
/// Guest data is in the cluster.
pub(super) const DATA: u8 = 8;

/// A count that is kept in [`Counts::large`].
const LARGE: u16 = u16::MAX;

/// References of each cluster: 2 bytes and 4 bits a cluster, and 48 bytes more for one that has 65,535 references
/// or more where refcounts are wider than 16 bits.
pub(super) struct Counts {
    small: Vec<u16>,
    large: HashMap<u64, u64>,
    marks: Vec<u8>,
    /// What a refcount can't exceed.
    max: u64,
    /// Clusters up to the last one of the file, or the one after it when something reached it.
    len: u64,
    /// References that found the count at its maximum, by cluster.
    overflows: BTreeMap<u64, u64>,
    overflowed: u64,
    most_overflows: usize,
}

impl Counts {
    pub(super) fn new<S: Storage + ?Sized>(subject: &Subject<'_, S>, most_overflows: usize) -> Self {
        // One cluster more: a region may go past the end by less than that.
        let len = usize::try_from(subject.clusters() + 1).unwrap_or(usize::MAX);
        Self {
            small: vec![0; len],
            large: HashMap::new(),
            marks: vec![0; len.div_ceil(2)],
            max: match subject.header.refcount_bits() {
                64 => u64::MAX,
                bits => (1 << bits) - 1,
            },
            len: subject.clusters(),
            overflows: BTreeMap::new(),
            overflowed: 0,
            most_overflows,
        }
    }

    /// How many clusters there are: those of the file, and one more if it is referred to.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// References that found the count at its maximum.
    pub(super) const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Clusters with such references, the first ones.
    pub(super) fn overflows(&self) -> impl Iterator<Item = (u64, u64)> {
        self.overflows.iter().map(|(cluster, times)| (*cluster, *times))
    }

    /// Counts of the clusters from `first` on, `LARGE` where they are to be asked for one by one.
    pub(super) fn run(&self, first: u64, count: u64) -> &[u16] {
        let start = usize::try_from(first).unwrap_or(usize::MAX);
        let end = usize::try_from(first.saturating_add(count).min(self.len)).unwrap_or(usize::MAX);
        self.small.get(start..end).unwrap_or_default()
    }

    pub(super) fn get(&self, cluster: u64) -> u64 {
        let small = usize::try_from(cluster).ok().and_then(|index| self.small.get(index));
        match small {
            Some(&LARGE) => self.large.get(&cluster).copied().unwrap_or(u64::from(LARGE)),
            Some(&small) => u64::from(small),
            None => 0,
        }
    }

    /// Counts `weight` references to a cluster and marks it; gives its marks before.
    pub(super) fn add(&mut self, cluster: u64, weight: u64, mark: u8) -> u8 {
        let Some(index) = usize::try_from(cluster).ok().filter(|&index| index < self.small.len()) else {
            return 0;
        };
        let Some(small) = self.small.get_mut(index) else { return 0 };
        match u16::try_from(u64::from(*small).saturating_add(weight)) {
            Ok(sum) if sum < LARGE && u64::from(sum) <= self.max => *small = sum,
            _ => self.add_large(cluster, index, weight),
        }
        self.len = self.len.max(cluster + 1);
        self.mark(cluster, mark)
    }

    /// Marks a cluster; gives its marks before.
    pub(super) fn mark(&mut self, cluster: u64, mark: u8) -> u8 {
        let index = usize::try_from(cluster / 2).unwrap_or(usize::MAX);
        let shift = if cluster.is_multiple_of(2) { 0 } else { 4 };
        let Some(marks) = self.marks.get_mut(index) else { return 0 };
        let before = *marks >> shift & 15;
        *marks |= mark << shift;
        before
    }

    pub(super) fn marks(&self, cluster: u64) -> u8 {
        let index = usize::try_from(cluster / 2).unwrap_or(usize::MAX);
        let shift = if cluster.is_multiple_of(2) { 0 } else { 4 };
        self.marks.get(index).map_or(0, |marks| marks >> shift & 15)
    }

    fn add_large(&mut self, cluster: u64, index: usize, weight: u64) {
        let current = self.get(cluster);
        let room = self.max - current;
        let over = weight.saturating_sub(room);
        if over > 0 {
            self.overflowed = self.overflowed.saturating_add(over);
            let known = self.overflows.contains_key(&cluster);
            if known || self.overflows.len() < self.most_overflows {
                let times = self.overflows.entry(cluster).or_default();
                *times = times.saturating_add(over);
            }
        }
        let sum = current.saturating_add(weight.min(room));
        if let Some(small) = self.small.get_mut(index) {
            match u16::try_from(sum) {
                Ok(sum) if sum < LARGE => *small = sum,
                _ => {
                    *small = LARGE;
                    if sum > u64::from(LARGE) {
                        self.large.insert(cluster, sum);
                    }
                }
            }
        }
    }
}
