//! Open shards, the least recently used closed first.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use stillpoint_storage::{Extent, FileStorage, Storage};

use crate::disperse::{Fragments, Trouble};
use crate::file::Compared;
use crate::topology::BrickName;

/// Which shard of which file.
pub(crate) type Key = (u64, u64);

/// A shard that is open.
#[derive(Debug)]
pub(crate) enum OpenShard {
    /// A brick's copy of it.
    Copy {
        /// Kept open as long as somebody copies from it.
        storage: Arc<FileStorage>,
        brick: BrickName,
    },
    /// All good copies of it, which are compared.
    Compared(Compared),
    /// The fragments that it is decoded from.
    Fragments(Fragments),
}

impl OpenShard {
    /// Bytes of the shard.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Copy { storage, .. } => storage.len(),
            Self::Compared(copies) => copies.len(),
            Self::Fragments(fragments) => fragments.len(),
        }
    }

    /// Reads some bytes, at least one where there are any.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Trouble> {
        match self {
            Self::Copy { storage, brick } => {
                let read = match storage.read_at(offset, buf) {
                    // It was longer when it was opened.
                    Ok(0) if !buf.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                    other => other,
                };
                read.map_err(|error| Trouble::Read(brick.clone(), error))
            }
            Self::Compared(copies) => copies.read_at(offset, buf),
            Self::Fragments(fragments) => fragments.read_at(offset, buf),
        }
    }

    pub(crate) fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        match self {
            Self::Copy { storage, .. } => storage.next_extent(offset),
            Self::Compared(copies) => copies.next_extent(offset),
            Self::Fragments(fragments) => fragments.next_extent(offset),
        }
    }
}

const STRIPES: usize = 16;

#[derive(Debug, Default)]
struct Stripe {
    now: u64,
    open: HashMap<Key, (u64, Arc<OpenShard>)>,
}

/// A bounded number of open shards. Locks are held for the look-up only, and there are several, so that threads
/// seldom meet.
#[derive(Debug)]
pub(crate) struct Cache {
    stripes: [Mutex<Stripe>; STRIPES],
    /// Most shards in one stripe.
    room: usize,
}

impl Cache {
    /// A cache of about `room` shards, at least one for each stripe.
    pub(crate) fn new(room: usize) -> Self {
        Self { stripes: Default::default(), room: (room / STRIPES).max(1) }
    }

    fn stripe(&self, key: Key) -> &Mutex<Stripe> {
        // Neighbouring shards fall into different stripes.
        let at = key.0.wrapping_mul(7).wrapping_add(key.1) % STRIPES as u64;
        &self.stripes[at as usize]
    }

    pub(crate) fn get(&self, key: Key) -> Option<Arc<OpenShard>> {
        let mut stripe = self.stripe(key).lock().unwrap_or_else(PoisonError::into_inner);
        stripe.now += 1;
        let now = stripe.now;
        let (used, shard) = stripe.open.get_mut(&key)?;
        *used = now;
        Some(Arc::clone(shard))
    }

    pub(crate) fn put(&self, key: Key, shard: Arc<OpenShard>) {
        let mut stripe = self.stripe(key).lock().unwrap_or_else(PoisonError::into_inner);
        stripe.now += 1;
        let now = stripe.now;
        if stripe.open.len() >= self.room && !stripe.open.contains_key(&key) {
            let oldest = stripe.open.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                stripe.open.remove(&oldest);
            }
        }
        stripe.open.insert(key, (now, shard));
    }

    /// Closes all shards of a file.
    pub(crate) fn forget(&self, file: u64) {
        for stripe in &self.stripes {
            stripe.lock().unwrap_or_else(PoisonError::into_inner).open.retain(|key, _| key.0 != file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_shards_stay_open_than_there_is_room_for() {
        let cache = Cache::new(32);
        let len = |key| cache.get(key).map(|shard| shard.len());
        for index in 0..1000 {
            let file = tempfile::tempfile().unwrap();
            file.set_len(index).unwrap();
            let storage = Arc::new(FileStorage::from_file(file).unwrap());
            cache.put((1, index), Arc::new(OpenShard::Copy { storage, brick: BrickName::local("/b") }));
            // The first one stays, since it is used all the time.
            assert_eq!(len((1, 0)), Some(0));
        }
        let open: usize = cache.stripes.iter().map(|stripe| stripe.lock().unwrap().open.len()).sum();
        assert_eq!(open, 32);
        assert_eq!((len((1, 1)), len((2, 999)), len((1, 999))), (None, None, Some(999)));
        cache.forget(1);
        assert_eq!(len((1, 999)), None);
    }
}
