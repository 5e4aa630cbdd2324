//! L2 tables that were read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tables::ClusterSize;
use crate::tables::limits::L2_CACHE_BYTES;

/// L2 tables by where they are in the file. When it is full, the one that has been in it longest goes: who reads
/// in order needs no more, and two threads never wait for each other's reads.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    tables: HashMap<u64, Arc<[u8]>>,
    order: VecDeque<u64>,
}

impl Cache {
    pub(super) fn new(cluster_size: ClusterSize) -> Self {
        let most = usize::try_from(L2_CACHE_BYTES / cluster_size.bytes()).unwrap_or(usize::MAX).max(2);
        Self { most, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here panics half way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, offset: u64) -> Option<Arc<[u8]>> {
        self.kept().tables.get(&offset).map(Arc::clone)
    }

    pub(super) fn put(&self, offset: u64, table: Arc<[u8]>) {
        let mut kept = self.kept();
        if kept.tables.insert(offset, table).is_some() {
            // Another thread had read it at the same time.
            return;
        }
        kept.order.push_back(offset);
        if kept.order.len() > self.most
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.tables.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_table_goes_when_there_is_no_room() {
        let cache = Cache::new(ClusterSize::from_bits(21).expect("21 is allowed"));
        assert_eq!(cache.most, 8);
        for offset in 0..9_u8 {
            cache.put(u64::from(offset), Arc::from([offset]));
            cache.put(u64::from(offset), Arc::from([offset]));
        }
        assert!(cache.get(0).is_none());
        assert!((1..9_u8).all(|offset| cache.get(u64::from(offset)).is_some_and(|table| *table == [offset])));
    }
}
