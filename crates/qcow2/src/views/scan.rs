//! Reading all of a disk, in whatever order is fastest.

use super::disk::Disk;
use super::gather::{CHUNK, Gathering, Piece, Plain};
use super::layer::{DiskLayer, Qcow2Layer, read_padded};
use crate::Error;
use crate::parallel::{default_threads, in_parallel};
use crate::tables::{GuestOffset, HostOffset};

/// What lies between two pieces in the file is read along when it is no longer than this: one read costs more.
const GAP: u64 = 8 << 10;
/// Bytes of the disk with something in them that are gathered at a time where somebody is told how far it is.
const STEP: u64 = 256 << 20;
/// Pieces that are read before other threads get a turn; more where they lie side by side.
const SHARE: usize = 64;

/// How a disk is read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScanOptions {
    /// On how many threads; as many as there are processors, 8 at most, unless said otherwise.
    pub threads: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { threads: default_threads() }
    }
}

impl ScanOptions {
    /// Sets the number of threads; at least 1.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = if threads == 0 { 1 } else { threads };
        self
    }
}

impl Disk {
    /// Reads all of the disk that is stored anywhere and gives it to `visit`, with its place on the disk: each byte
    /// once, and what isn't given reads as zeros. In what order, and from which thread, is not told: pieces are read
    /// in the order in which they lie in the files, and neighbours together.
    ///
    /// Memory: 4 MiB of places, an L2 table for each layer, and about three clusters or 768 KiB for each thread.
    ///
    /// # Errors
    /// The first of `visit`'s or of reading's, by the order in the files; the rest is not read then.
    pub fn scan<E: From<Error> + Send>(
        &self,
        options: &ScanOptions,
        visit: impl Fn(u64, &[u8]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let mut gathering = Gathering::new(self, u64::MAX);
        while let Some(pieces) = gathering.gather(&mut |_| Ok(false))? {
            self.read_all(pieces, options, &visit)?;
        }
        Ok(())
    }

    /// As [`scan`](Self::scan), but what lies somewhere as it is, is offered to `take` first, in the guest's order and
    /// neighbours together; what that takes is not read. `reached` is told now and then how far on the disk it is; its
    /// error ends it.
    pub(crate) fn scan_rest<'a, E: From<Error> + Send>(
        &'a self,
        options: &ScanOptions,
        take: &mut dyn FnMut(Plain<'a>) -> Result<bool, E>,
        reached: &mut dyn FnMut(u64) -> Result<(), E>,
        visit: impl Fn(u64, &[u8]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let mut gathering = Gathering::new(self, STEP);
        while let Some(pieces) = gathering.gather(take)? {
            self.read_all(pieces, options, &visit)?;
            reached(gathering.at)?;
        }
        Ok(())
    }

    /// Reads pieces in the order of their files, on several threads.
    fn read_all<E: From<Error> + Send>(
        &self,
        mut pieces: Vec<Piece>,
        options: &ScanOptions,
        visit: &(impl Fn(u64, &[u8]) -> Result<(), E> + Sync),
    ) -> Result<(), E> {
        pieces.sort_unstable_by_key(|piece| (piece.layer, piece.host));
        let shares: Vec<_> = pieces.chunks(SHARE).collect();
        in_parallel(&shares, options.threads, |share| self.read_pieces(share, visit)).map(drop)
    }

    /// Reads pieces that are in the order of their files.
    fn read_pieces<E: From<Error>>(
        &self,
        mut pieces: &[Piece],
        visit: &(impl Fn(u64, &[u8]) -> Result<(), E> + Sync),
    ) -> Result<(), E> {
        let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
        while let Some((first, rest)) = pieces.split_first() {
            let mut end = first.end();
            let with = rest.iter().take_while(|next| {
                let near = next.layer == first.layer
                    && (next.compressed == 0) == (first.compressed == 0)
                    && next.host <= end.saturating_add(GAP)
                    && next.end().max(end) - first.host <= CHUNK;
                if near {
                    end = end.max(next.end());
                }
                near
            });
            let count = 1 + with.count();
            let (together, others) = pieces.split_at(count.min(pieces.len()));
            pieces = others;
            let Some(layer) = self.layers.get(first.layer) else { continue };
            let told = |error| self.in_layer(first.layer, error);
            layer.read_together(together, end, (&mut buffer, &mut scratch), &told, visit)?;
        }
        Ok(())
    }
}

impl DiskLayer {
    /// Reads the file from the first piece to `end`, and gives each piece. `told` puts the layer's name to an error.
    fn read_together<E: From<Error>>(
        &self,
        pieces: &[Piece],
        end: u64,
        (buffer, scratch): (&mut Vec<u8>, &mut Scratch),
        told: &impl Fn(Error) -> Error,
        visit: &impl Fn(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(first) = pieces.first() else { return Ok(()) };
        let storage = match self {
            Self::Raw(storage) => storage,
            Self::Qcow2(layer) if first.compressed > 0 => &layer.tables,
            Self::Qcow2(layer) => &layer.data,
        };
        // At most a chunk, or one piece: 2 MiB.
        let len = usize::try_from(end - first.host).unwrap_or(usize::MAX);
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = buffer.get_mut(..len).unwrap_or_default();
        read_padded(storage, first.host, bytes).map_err(told)?;
        for piece in pieces {
            let start = usize::try_from(piece.host - first.host).unwrap_or(usize::MAX);
            let stored = usize::try_from(piece.stored()).unwrap_or(usize::MAX);
            let bytes = bytes.get(start..start.saturating_add(stored)).unwrap_or_default();
            match self {
                Self::Raw(_) => visit(piece.guest, bytes)?,
                Self::Qcow2(layer) => layer.finish(piece, bytes, scratch, told, visit)?,
            }
        }
        Ok(())
    }
}

impl Qcow2Layer {
    /// Makes what is stored what the guest sees.
    fn finish<E: From<Error>>(
        &self,
        piece: &Piece,
        stored: &[u8],
        scratch: &mut Scratch,
        told: &impl Fn(Error) -> Error,
        visit: &impl Fn(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if piece.compressed == 0 {
            let Some(cipher) = &self.cipher else { return visit(piece.guest, stored) };
            // Pieces may share what is stored: it stays as it is.
            scratch.of = None;
            scratch.bytes.clear();
            scratch.bytes.extend_from_slice(stored);
            cipher.decrypt(HostOffset(piece.host), &mut scratch.bytes);
            return visit(piece.guest, &scratch.bytes);
        }
        let inside = piece.guest & (self.cluster_size - 1);
        if scratch.of != Some(piece.key()) {
            scratch.of = None;
            scratch.bytes.resize(usize::try_from(self.cluster_size).unwrap_or(usize::MAX), 0);
            let guest = GuestOffset(piece.guest - inside);
            let made = self.decompressor.decompress(guest, stored, &mut scratch.bytes);
            made.map_err(|error| told(error.into()))?;
            scratch.of = Some(piece.key());
        }
        // A layer above may have its beginning or end.
        let start = usize::try_from(inside).unwrap_or(usize::MAX);
        visit(piece.guest, scratch.bytes.get(start..start + piece.len as usize).unwrap_or_default())
    }
}

/// A cluster that was made of what is stored.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    /// The compressed cluster that `bytes` are, if they are one.
    of: Option<(usize, u64, u32)>,
}
