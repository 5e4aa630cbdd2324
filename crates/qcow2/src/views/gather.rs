//! What of a disk is stored, and where: found in the guest's order.

use std::sync::Arc;

use stillpoint_storage::{ExtentKind, Storage};

use super::disk::Disk;
use super::layer::{DiskLayer, Qcow2Layer};
use crate::Error;
use crate::tables::{Allocation, Cursor, GuestOffset, HostOffset, MappingError};

/// Most bytes that are read at once, and given at once: they stay in a processor's own cache.
pub(super) const CHUNK: u64 = 256 << 10;
/// Pieces that are gathered before they are put in the file's order.
const BATCH: usize = 1 << 17;

/// A part of the disk that is stored in one place. 32 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) guest: u64,
    pub(super) host: u64,
    /// Bytes of the disk; at most 2 MiB, the largest cluster.
    pub(super) len: u32,
    /// Bytes in the file if they are compressed, else 0.
    pub(super) compressed: u32,
    pub(super) layer: usize,
}

impl Piece {
    /// Bytes in the file.
    pub(super) fn stored(&self) -> u64 {
        u64::from(if self.compressed == 0 { self.len } else { self.compressed })
    }

    /// What is stored, and where.
    pub(super) fn key(&self) -> (usize, u64, u32) {
        (self.layer, self.host, self.compressed)
    }

    pub(super) fn end(&self) -> u64 {
        self.host + self.stored()
    }
}

/// A part of the disk that lies in one piece in a file as it is.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    /// Where on the disk, in bytes.
    pub(crate) guest: u64,
    /// How long, in bytes.
    pub(crate) len: u64,
    /// What it lies in. All of it is there.
    pub(crate) storage: &'a Arc<dyn Storage>,
    /// Where in that, in bytes.
    pub(crate) host: u64,
}

/// Goes through a disk in the guest's order.
pub(super) struct Gathering<'a> {
    disk: &'a Disk,
    layers: Vec<GatheredLayer<'a>>,
    pub(super) at: u64,
    /// Most bytes with something in them that are gathered at a time, and 2 MiB.
    most: u64,
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
    pub(super) fn new(disk: &'a Disk, most: u64) -> Self {
        let layers = disk.layers.iter().map(|layer| match layer {
            DiskLayer::Raw(storage) => GatheredLayer::Raw(storage),
            DiskLayer::Qcow2(layer) => {
                GatheredLayer::Qcow2(layer, Cursor::new(&layer.mapping, &*layer.tables))
            }
        });
        Self { disk, layers: layers.collect(), at: 0, most }
    }

    /// The next pieces that `take` doesn't take; `None` at the end.
    pub(super) fn gather<E: From<Error>>(
        &mut self,
        take: &mut dyn FnMut(Plain<'a>) -> Result<bool, E>,
    ) -> Result<Option<Vec<Piece>>, E> {
        if self.at >= self.disk.size {
            return Ok(None);
        }
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        // What is offered next, and the pieces that it is of: the last ones.
        let mut offered: Option<(Plain<'a>, usize)> = None;
        while self.at < self.disk.size && pieces.len() < BATCH && bytes < self.most {
            let Some(piece) = self.step()? else { continue };
            bytes += u64::from(piece.len);
            match (&mut offered, self.plain(&piece)) {
                (Some((run, _)), Some(next)) if run.goes_on_with(&next) => run.len += next.len,
                (_, next) => {
                    offer(offered.take(), &mut pieces, take)?;
                    offered = next.map(|next| (next, pieces.len()));
                }
            }
            pieces.push(piece);
        }
        offer(offered, &mut pieces, take)?;
        Ok(Some(pieces))
    }

    /// The piece as what lies somewhere as it is, if it does.
    fn plain(&self, piece: &Piece) -> Option<Plain<'a>> {
        let storage = self.disk.plain_data(piece.layer).filter(|_| piece.compressed == 0)?;
        let plain = Plain { guest: piece.guest, len: u64::from(piece.len), storage, host: piece.host };
        (piece.end() <= storage.len()).then_some(plain)
    }

    /// Finds what is at the place that was reached, in the first layer that has it, and goes past it.
    fn step(&mut self) -> Result<Option<Piece>, Error> {
        let (disk, at) = (self.disk, self.at);
        let mut len = disk.size - at;
        let mut piece = None;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            // A shorter layer is zeros from its end on, and what is below it is not looked at.
            let Some(left) = layer.size().checked_sub(at).filter(|&left| left > 0) else { break };
            len = len.min(left);
            let found = match layer {
                GatheredLayer::Raw(storage) => {
                    let host = (at < storage.len()).then(|| storage.next_extent(at)).transpose();
                    let what = "the holes of the file";
                    let failed = |source| disk.in_layer(index, Error::Io { what, offset: at, source });
                    let extent = host.map_err(failed)?;
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
                    let run = cursor.run_at(GuestOffset(at), len);
                    let run = run.map_err(|error| disk.in_layer(index, error))?;
                    len = run.len;
                    match run.allocation {
                        Allocation::Unallocated { .. } => continue,
                        Allocation::Zero { .. } => None,
                        Allocation::Data { host } => {
                            // One piece at a time, so that an error tells its place.
                            len = len.min(CHUNK.max(qcow2.cluster_size));
                            let placed = qcow2.check_place(at, host.0, len);
                            placed.map_err(|error| disk.in_layer(index, error))?;
                            Some((host.0, 0))
                        }
                        Allocation::Compressed { host, len: stored } => {
                            let there = qcow2.tables.len().saturating_sub(host.0);
                            if there == 0 {
                                let guest = GuestOffset(at);
                                let error = MappingError::PastTheEnd { guest, offset: host };
                                return Err(disk.in_layer(index, error.into()));
                            }
                            Some((host.0, stored.min(there)))
                        }
                    }
                }
            };
            if let Some((host, compressed)) = found {
                len = if compressed == 0 { len.min(CHUNK) } else { len };
                piece = Some(Piece {
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
        Ok(piece)
    }
}

impl Plain<'_> {
    /// Whether `next` lies right behind it, on the disk and in the same file.
    fn goes_on_with(&self, next: &Self) -> bool {
        Arc::ptr_eq(self.storage, next.storage)
            && (self.guest + self.len, self.host + self.len) == (next.guest, next.host)
    }
}

/// Offers what begins with the piece of that number, and forgets the pieces if it is taken.
fn offer<'a, E>(
    offered: Option<(Plain<'a>, usize)>,
    pieces: &mut Vec<Piece>,
    take: &mut dyn FnMut(Plain<'a>) -> Result<bool, E>,
) -> Result<(), E> {
    if let Some((plain, first)) = offered
        && take(plain)?
    {
        pieces.truncate(first);
    }
    Ok(())
}

impl Qcow2Layer {
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
