//! Digesting part of what a storage holds.

use std::io;

use stillpoint_storage::{ExtentKind, Storage};

use super::{Digest, FileManifest, TrimmedHasher};

/// How many bytes are read at a time.
pub(super) const CHUNK: usize = 1 << 20;

/// What bytes come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    /// BLAKE3 over them, trailing zeros cut.
    pub(super) digest: Digest,
    /// How many bytes that is over.
    pub(super) length: u64,
    /// How many bytes were read; holes are not.
    pub(super) read: u64,
}

/// Why there is no digest.
#[derive(Debug)]
pub(super) enum Interrupted<E> {
    /// The bytes can't be read.
    Reading(io::Error),
    /// Who is told of the progress has enough.
    Told(E),
}

/// Digests the bytes from `start` to `end`, and skips holes. `tell` is called with how many bytes were done since its
/// last call. `buffer` is not empty.
pub(super) fn digest<E>(
    storage: &dyn Storage,
    start: u64,
    end: u64,
    buffer: &mut [u8],
    tell: &mut dyn FnMut(u64) -> Result<(), E>,
) -> Result<Content, Interrupted<E>> {
    let mut hasher = TrimmedHasher::new();
    let mut read = 0;
    let mut at = start;
    while at < end {
        let extent = storage.next_extent(at).map_err(Interrupted::Reading)?;
        let stop = extent.end().min(end);
        if extent.kind == ExtentKind::Hole {
            hasher.skip_zeros(stop - at);
            tell(stop - at).map_err(Interrupted::Told)?;
            at = stop;
        }
        // Reading what is unknown says why it is.
        while at < stop {
            let len = usize::try_from(stop - at).unwrap_or(usize::MAX).min(buffer.len());
            let bytes = &mut buffer[..len];
            storage.read_exact_at(at, bytes).map_err(Interrupted::Reading)?;
            hasher.update(bytes);
            read += len as u64;
            tell(len as u64).map_err(Interrupted::Told)?;
            at += len as u64;
        }
    }
    let (digest, length) = hasher.finish();
    Ok(Content { digest, length, read })
}

impl FileManifest {
    /// Which shards of what `storage` holds, such as a copy of the file, are not what this says. `tell` is called with
    /// how many bytes were done since its last call, and ends it with an error.
    ///
    /// # Errors
    /// When the storage is of another size, can't be read, or `tell` ends it.
    pub fn differing_shards(
        &self,
        storage: &dyn Storage,
        tell: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<Vec<u64>> {
        if storage.len() != self.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it has {} bytes, not {}", storage.len(), self.size),
            ));
        }
        let mut buffer = vec![0; CHUNK];
        let mut differing = Vec::new();
        let mut start = 0_u64;
        for (index, shard) in (0..).zip(&self.shards) {
            let end = start.saturating_add(self.shard_size).min(self.size);
            let found = digest(storage, start, end, &mut buffer, tell).map_err(|why| match why {
                Interrupted::Reading(error) | Interrupted::Told(error) => error,
            })?;
            if found.digest != shard.digest {
                differing.push(index);
            }
            start = end;
        }
        Ok(differing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, ShardDigest};
    use super::*;

    #[test]
    fn a_copy_is_the_same_or_the_shards_that_differ_are_told() {
        let mut bytes = vec![7_u8; 2500];
        bytes[1000..2000].fill(0);
        let shards = bytes.chunks(1000).map(|shard| {
            let mut hasher = TrimmedHasher::new();
            hasher.update(shard);
            let (digest, length) = hasher.finish();
            ShardDigest { digest, length, stored: None }
        });
        let mut manifest = FileManifest {
            path: "disk".to_owned(),
            kind: Kind::WholeFile,
            gfid: uuid::Uuid::from_u128(1),
            size: 2500,
            shard_size: 1000,
            shards: shards.collect(),
            digest: Digest::of_nothing(),
            bytes_read: 0,
            choices: Vec::new(),
        };
        manifest.digest = manifest.computed_digest();
        let mut told = 0;
        let mut differing = |bytes: &Vec<u8>| {
            manifest.differing_shards(bytes, &mut |done| {
                told += done;
                Ok(())
            })
        };
        assert!(differing(&bytes).unwrap().is_empty());
        bytes[1999] = 1;
        bytes[2499] = 8;
        assert_eq!(differing(&bytes).unwrap(), [1, 2]);
        bytes.push(0);
        assert!(differing(&bytes).is_err(), "it is longer");
        assert_eq!(told, 5000);
    }
}
