//! Compressing clusters.

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::ExtractError;
use crate::tables::{Compression, Decompressor, GuestOffset};

/// How hard deflate tries: what zlib has by default.
const DEFLATE_LEVEL: u8 = 6;

/// Compresses clusters, and sees to it that they decompress to what they were.
#[derive(Debug)]
pub(super) struct Compressor {
    compression: Compression,
    decompressor: Decompressor,
}

impl Compressor {
    pub(super) const fn new(compression: Compression) -> Self {
        Self { compression, decompressor: Decompressor::new(compression) }
    }

    /// The stream for the cluster at `guest`, or `None` where that wouldn't be shorter.
    pub(super) fn compress(&self, guest: u64, cluster: &[u8]) -> Result<Option<Vec<u8>>, ExtractError> {
        let stream = match self.compression {
            Compression::Zlib => miniz_oxide::deflate::compress_to_vec(cluster, DEFLATE_LEVEL),
            Compression::Zstd => compress_to_vec(cluster, CompressionLevel::Fastest),
        };
        if stream.len() >= cluster.len() {
            return Ok(None);
        }
        let mut again = vec![0; cluster.len()];
        let done = self.decompressor.decompress(GuestOffset(guest), &stream, &mut again);
        if done.is_err() || again != cluster {
            return Err(ExtractError::Compression { offset: guest });
        }
        Ok(Some(stream))
    }
}
