//! Compressed clusters (specification, section "Compressed Clusters Descriptor").

use std::sync::{Mutex, PoisonError};

use mzstd::decompressor::{DecodeOperation, DecoderStatus};
use mzstd::{DecodeLimits, DecoderConfig, FrameMode};
use zune_inflate::{DeflateDecoder, DeflateOptions};

use super::limits::MAX_ZSTD_WINDOW_BITS;
use super::{Compression, GuestOffset};

/// A cluster that can't be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("the compressed cluster of {guest} is damaged: {problem}")]
pub struct DecompressError {
    /// The cluster's first byte in the guest's disk.
    pub guest: GuestOffset,
    /// What the decoder says.
    pub problem: String,
}

/// Decompresses clusters of one image. Threads can share it.
#[derive(Debug)]
pub(crate) struct Decompressor {
    compression: Compression,
    /// Decoders not in use, at most as many as threads were at work at once. Each keeps a cluster and some tables.
    zstd: Mutex<Vec<mzstd::Decompressor>>,
}

impl Decompressor {
    pub(crate) const fn new(compression: Compression) -> Self {
        Self { compression, zstd: Mutex::new(Vec::new()) }
    }

    /// Decompresses the cluster at `guest` from the beginning of `input`; what follows the stream in the last
    /// sector is not looked at. All of `output`, one cluster, is filled.
    pub(crate) fn decompress(
        &self,
        guest: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), DecompressError> {
        let done = match self.compression {
            Compression::Zlib => inflate(input, output),
            Compression::Zstd => self.unzstd(input, output),
        };
        done.map_err(|problem| DecompressError { guest, problem })
    }

    fn unzstd(&self, input: &[u8], output: &mut [u8]) -> Result<(), String> {
        let pool = || self.zstd.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = pool().pop();
        let mut decoder = pooled.map_or_else(|| zstd_decoder(output.len()), Ok)?;
        let done = unzstd(&mut decoder, input, output);
        pool().push(decoder);
        done
    }
}

/// A decoder of one frame after the other, of clusters of `cluster_size` bytes.
fn zstd_decoder(cluster_size: usize) -> Result<mzstd::Decompressor, String> {
    let limits = DecodeLimits::default().with_max_output_bytes(Some(cluster_size as u64));
    let limits = limits.with_max_window_log(MAX_ZSTD_WINDOW_BITS).map_err(|error| error.to_string())?;
    Ok(mzstd::Decompressor::new(
        DecoderConfig::default().with_frame_mode(FrameMode::Single).with_limits(limits),
    ))
}

/// A deflate stream without zlib's header, which may go on after `output` is full, as QEMU has it.
fn inflate(input: &[u8], output: &mut [u8]) -> Result<(), String> {
    let options = DeflateOptions::default().set_limit(output.len()).set_size_hint(output.len());
    let bytes = match DeflateDecoder::new_with_options(input, options).decode_deflate() {
        Ok(bytes) => bytes,
        Err(error) if error.data.len() >= output.len() => error.data,
        Err(error) => return Err(format!("{error:?}").trim_end().to_owned()),
    };
    let found = bytes.get(..output.len()).ok_or_else(|| too_short(bytes.len(), output.len()))?;
    output.copy_from_slice(found);
    Ok(())
}

/// Frames that together are the cluster, and end with it, as QEMU has it; what follows them isn't looked at.
fn unzstd(decoder: &mut mzstd::Decompressor, mut input: &[u8], output: &mut [u8]) -> Result<(), String> {
    let wanted = output.len();
    let mut filled = 0;
    while filled < wanted {
        let rest = output.get_mut(filled..).unwrap_or_default();
        let done = decoder.start().process(input, rest, DecodeOperation::Process);
        let done = done.map_err(|failure| failure.error.to_string())?;
        filled += done.produced;
        match done.status {
            DecoderStatus::Finished => input = input.get(done.consumed..).unwrap_or_default(),
            DecoderStatus::NeedsOutput => return Err(format!("it goes on after {wanted} bytes")),
            DecoderStatus::NeedsInput => return Err(too_short(filled, wanted)),
        }
    }
    Ok(())
}

fn too_short(found: usize, wanted: usize) -> String {
    format!("it ends after {found} of {wanted} bytes")
}
