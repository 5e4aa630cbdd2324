//! Compressed clusters (specification, section "Compressed Clusters Descriptor").

use std::fmt;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use zune_inflate::{DeflateDecoder, DeflateOptions};

use super::limits::MAX_ZSTD_WINDOW;
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
pub(crate) struct Decompressor {
    compression: Compression,
    /// Decoders not in use: making one takes longer than a small cluster.
    zstd: Mutex<Vec<FrameDecoder>>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("compression", &self.compression).finish_non_exhaustive()
    }
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
        let mut decoder = pooled.unwrap_or_else(|| {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(MAX_ZSTD_WINDOW);
            decoder
        });
        let done = unzstd(&mut decoder, input, output);
        pool().push(decoder);
        done
    }
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

fn unzstd(decoder: &mut FrameDecoder, mut input: &[u8], output: &mut [u8]) -> Result<(), String> {
    let wanted = output.len();
    let mut filled = 0;
    decoder.init(&mut input).map_err(|error| error.to_string())?;
    while filled < wanted {
        let step = BlockDecodingStrategy::UptoBytes(wanted - filled);
        let finished = decoder.decode_blocks(&mut input, step).map_err(|error| error.to_string())?;
        let rest = output.get_mut(filled..).unwrap_or_default();
        let read = decoder.read(rest).map_err(|error| error.to_string())?;
        filled += read;
        if finished && read == 0 {
            return Err(too_short(filled, wanted));
        }
    }
    Ok(())
}

fn too_short(found: usize, wanted: usize) -> String {
    format!("it ends after {found} of {wanted} bytes")
}
