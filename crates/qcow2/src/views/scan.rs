//! Reading all of a disk, in whatever order is fastest.

use std::sync::Arc;

use stillpoint_storage::{ExtentKind, Storage};

use super::disk::{Disk, DiskLayer, Qcow2Layer, read_padded};
use crate::Error;
use crate::parallel::{default_threads, in_parallel};
use crate::tables::{Allocation, Cursor, GuestOffset, HostOffset, MappingError};

/// Most bytes that are read at once, and given at once: they stay in a processor's own cache.
const CHUNK: u64 = 256 << 10;
/// What lies between two pieces in the file is read along when it is no longer than this: one read costs more.
const GAP: u64 = 8 << 10;
/// Pieces that are gathered before they are put in the file's order.
const BATCH: usize = 1 << 17;
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

/// A part of the disk that is stored in one place. 32 bytes.
#[derive(Debug, Clone, Copy)]
struct Piece {
    guest: u64,
    host: u64,
    /// Bytes of the disk; at most 2 MiB, the largest cluster.
    len: u32,
    /// Bytes in the file if they are compressed, else 0.
    compressed: u32,
    layer: usize,
}

impl Piece {
    /// Bytes in the file.
    fn stored(&self) -> u64 {
        u64::from(if self.compressed == 0 { self.len } else { self.compressed })
    }

    /// What is stored, and where.
    fn key(&self) -> (usize, u64, u32) {
        (self.layer, self.host, self.compressed)
    }

    fn end(&self) -> u64 {
        self.host + self.stored()
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
        let mut gathering = Gathering::new(self);
        loop {
            let mut pieces = gathering.gather()?;
            if pieces.is_empty() {
                return Ok(());
            }
            pieces.sort_unstable_by_key(|piece| (piece.layer, piece.host));
            let shares: Vec<_> = pieces.chunks(SHARE).collect();
            in_parallel(&shares, options.threads, |share| self.read_pieces(share, &visit))?;
        }
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
            layer.read_together(together, end, &mut buffer, &mut scratch, visit)?;
        }
        Ok(())
    }
}

impl DiskLayer {
    /// Reads the file from the first piece to `end`, and gives each piece.
    fn read_together<E: From<Error>>(
        &self,
        pieces: &[Piece],
        end: u64,
        buffer: &mut Vec<u8>,
        scratch: &mut Scratch,
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
        read_padded(storage, first.host, bytes)?;
        for piece in pieces {
            let start = usize::try_from(piece.host - first.host).unwrap_or(usize::MAX);
            let stored = usize::try_from(piece.stored()).unwrap_or(usize::MAX);
            let bytes = bytes.get(start..start.saturating_add(stored)).unwrap_or_default();
            match self {
                Self::Raw(_) => visit(piece.guest, bytes)?,
                Self::Qcow2(layer) => layer.finish(piece, bytes, scratch, visit)?,
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
            self.decompressor.decompress(guest, stored, &mut scratch.bytes).map_err(Error::from)?;
            scratch.of = Some(piece.key());
        }
        // A layer above may have its beginning or end.
        let start = usize::try_from(inside).unwrap_or(usize::MAX);
        visit(piece.guest, scratch.bytes.get(start..start + piece.len as usize).unwrap_or_default())
    }

    /// Whether what is stored at `host` is in the file; the last cluster may end with it.
    fn check_place(&self, guest: u64, host: u64, len: u64) -> Result<(), Error> {
        let file = self.data.len();
        // A part of a sector can't be decrypted.
        let end =
            if self.cipher.is_some() { Some(file) } else { file.checked_next_multiple_of(self.cluster_size) };
        let end = end.unwrap_or(u64::MAX);
        match host.checked_add(len).filter(|&last| last <= end) {
            Some(_) => Ok(()),
            None => {
                let (guest, offset) = (GuestOffset(guest), HostOffset(host));
                Err(MappingError::PastTheEnd { guest, offset }.into())
            }
        }
    }
}

/// A cluster that was made of what is stored.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    /// The compressed cluster that `bytes` are, if they are one.
    of: Option<(usize, u64, u32)>,
}

/// Goes through a disk in the guest's order.
struct Gathering<'a> {
    layers: Vec<GatheredLayer<'a>>,
    size: u64,
    at: u64,
}

enum GatheredLayer<'a> {
    Raw(&'a Arc<dyn Storage>),
    Qcow2(&'a Qcow2Layer, Cursor<'a, dyn Storage>),
}

impl GatheredLayer<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Raw(storage) => super::whole_sectors(storage.len()),
            Self::Qcow2(layer, _) => layer.mapping.size(),
        }
    }
}

impl<'a> Gathering<'a> {
    fn new(disk: &'a Disk) -> Self {
        let layers = disk.layers.iter().map(|layer| match layer {
            DiskLayer::Raw(storage) => GatheredLayer::Raw(storage),
            DiskLayer::Qcow2(layer) => {
                GatheredLayer::Qcow2(layer, Cursor::new(&layer.mapping, &*layer.tables))
            }
        });
        Self { layers: layers.collect(), size: disk.size, at: 0 }
    }

    /// The next pieces; none at the end.
    fn gather(&mut self) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        while self.at < self.size && pieces.len() < BATCH {
            self.step(&mut pieces)?;
        }
        Ok(pieces)
    }

    /// Finds what is at the place that was reached, in the first layer that has it, and goes past it.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Error> {
        let at = self.at;
        let mut len = self.size - at;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            // A shorter layer is zeros from its end on, and what is below it is not looked at.
            let Some(left) = layer.size().checked_sub(at).filter(|&left| left > 0) else { break };
            len = len.min(left);
            let found = match layer {
                GatheredLayer::Raw(storage) => {
                    let host = (at < storage.len()).then(|| storage.next_extent(at)).transpose();
                    let what = "the holes of the file";
                    let extent = host.map_err(|source| Error::Io { what, offset: at, source })?;
                    match extent {
                        Some(extent) if extent.kind != ExtentKind::Hole => {
                            len = len.min(extent.len.max(1));
                            Some((at, 0))
                        }
                        Some(extent) => {
                            len = len.min(extent.len.max(1));
                            None
                        }
                        None => None,
                    }
                }
                GatheredLayer::Qcow2(qcow2, cursor) => {
                    let run = cursor.run_at(GuestOffset(at), len)?;
                    len = run.len;
                    match run.allocation {
                        Allocation::Unallocated { .. } => continue,
                        Allocation::Zero { .. } => None,
                        Allocation::Data { host } => {
                            // One piece at a time, so that an error tells its place.
                            len = len.min(CHUNK.max(qcow2.cluster_size));
                            qcow2.check_place(at, host.0, len)?;
                            Some((host.0, 0))
                        }
                        Allocation::Compressed { host, len: stored } => {
                            let there = qcow2.tables.len().saturating_sub(host.0);
                            if there == 0 {
                                let guest = GuestOffset(at);
                                return Err(MappingError::PastTheEnd { guest, offset: host }.into());
                            }
                            Some((host.0, stored.min(there)))
                        }
                    }
                }
            };
            if let Some((host, compressed)) = found {
                len = if compressed == 0 { len.min(CHUNK) } else { len };
                pieces.push(Piece {
                    guest: at,
                    host,
                    len: u32::try_from(len).unwrap_or(u32::MAX),
                    compressed: u32::try_from(compressed).unwrap_or(u32::MAX),
                    layer: index,
                });
            }
            break;
        }
        self.at += len;
        Ok(())
    }
}
