//! The guest's disk.

use std::fmt;
use std::io;
use std::sync::Arc;

use stillpoint_storage::{Extent, ExtentKind, Storage};

use super::Image;
use super::chain::{Chain, Content, Layer};
use super::decrypt::{SECTOR, SectorCipher, Unlock};
use super::policy::Resolver;
use super::reference::{Reference, ReferenceKind};
use crate::Error;
use crate::tables::{
    Allocation, Decompressor, Encryption, GuestOffset, HostOffset, Mapping, MappingError, Run, Snapshot,
    TablePlace,
};

/// What the guest sees: the bytes of its disk, read through all layers of a chain, as a [`Storage`].
///
/// Its length is the virtual size. An extent is a hole where the image says that it reads as zeros or nothing is
/// allocated in any layer; that is QEMU's notion, not the file system's.
///
/// Only what can be read rightly is returned: encrypted data, damaged tables, and clusters past the end of the
/// file are errors.
pub struct Disk {
    pub(super) layers: Vec<DiskLayer>,
    pub(super) size: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("size", &self.size).field("layers", &self.layers.len()).finish()
    }
}

/// How a disk is opened.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct DiskOptions<'a> {
    /// Who opens encrypted layers. Without it they are refused.
    pub keys: Option<&'a dyn Unlock>,
}

impl fmt::Debug for DiskOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskOptions").field("keys", &self.keys.is_some()).finish_non_exhaustive()
    }
}

impl<'a> DiskOptions<'a> {
    /// Sets who opens encrypted layers.
    #[must_use]
    pub const fn keys(mut self, keys: &'a dyn Unlock) -> Self {
        self.keys = Some(keys);
        self
    }
}

pub(super) enum DiskLayer {
    Raw(Arc<dyn Storage>),
    Qcow2(Box<Qcow2Layer>),
}

pub(super) struct Qcow2Layer {
    /// Where the tables and compressed clusters are.
    pub(super) tables: Arc<dyn Storage>,
    /// Where the other clusters are: the same, or an external data file.
    pub(super) data: Arc<dyn Storage>,
    pub(super) mapping: Mapping,
    pub(super) decompressor: Decompressor,
    /// What decrypts clusters that are not compressed. Compressed ones are never encrypted.
    pub(super) cipher: Option<Arc<dyn SectorCipher>>,
    pub(super) cluster_size: u64,
}

impl Disk {
    /// The active disk of a chain. An external data file is opened through `resolver`.
    ///
    /// # Errors
    /// When a layer is encrypted, its L1 table breaks a rule, or its data file may not or can't be opened.
    pub fn open(chain: &Chain, resolver: &dyn Resolver) -> Result<Self, Error> {
        Self::open_with(chain, None, resolver, &DiskOptions::default())
    }

    /// The disk as it was when `snapshot` of the chain's first image was taken. Its size is that of the snapshot,
    /// and what the snapshot doesn't have is read from the backing files as they are now.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_snapshot(chain: &Chain, snapshot: &Snapshot, resolver: &dyn Resolver) -> Result<Self, Error> {
        Self::open_with(chain, Some(snapshot), resolver, &DiskOptions::default())
    }

    /// The active disk of a chain, or the one of a snapshot of its first image, opened as `options` say.
    ///
    /// # Errors
    /// As [`open`](Self::open), but encrypted layers are errors only where there is no key for them. Layers of
    /// QEMU's legacy AES method always are.
    pub fn open_with(
        chain: &Chain,
        snapshot: Option<&Snapshot>,
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Self, Error> {
        let mut layers = Vec::with_capacity(chain.layers().len());
        for (depth, layer) in chain.layers().iter().enumerate() {
            let snapshot = snapshot.filter(|_| depth == 0);
            layers.push(match layer.content() {
                Content::Raw => DiskLayer::Raw(Arc::clone(&layer.source().storage)),
                Content::Qcow2(image) => {
                    let table = table_of(image, snapshot);
                    DiskLayer::Qcow2(Box::new(Qcow2Layer::open(image, layer, table, resolver, options)?))
                }
            });
        }
        let size = layers.first().map_or(0, DiskLayer::size);
        Ok(Self { layers, size })
    }

    /// The first layer of a chain alone, as the table at `place` has it, with `size` bytes.
    pub(super) fn open_layer(
        layer: &Layer,
        image: &Image<Arc<dyn Storage>>,
        (place, size): (TablePlace, u64),
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Self, Error> {
        let layer = Qcow2Layer::open(image, layer, (place, size), resolver, options)?;
        Ok(Self { layers: vec![DiskLayer::Qcow2(Box::new(layer))], size })
    }

    /// What holds the clusters of the layer `depth` that are not compressed, if they are stored as they are.
    pub(super) fn plain_data(&self, depth: usize) -> Option<&Arc<dyn Storage>> {
        match self.layers.get(depth)? {
            DiskLayer::Raw(storage) => Some(storage),
            DiskLayer::Qcow2(layer) => layer.cipher.is_none().then_some(&layer.data),
        }
    }

    /// What holds the clusters of the layer `depth` that are not compressed, in whatever form.
    pub(super) fn data(&self, depth: usize) -> Option<&Arc<dyn Storage>> {
        match self.layers.get(depth)? {
            DiskLayer::Raw(storage) => Some(storage),
            DiskLayer::Qcow2(layer) => Some(&layer.data),
        }
    }

    /// What the layer `depth` is at `at`, for at most `max` bytes. `None` where it is raw or not there.
    pub(super) fn run_of(&self, depth: usize, at: u64, max: u64) -> Option<Result<Run, Error>> {
        match self.layers.get(depth)? {
            DiskLayer::Raw(_) => None,
            DiskLayer::Qcow2(layer) => Some(layer.mapping.run_at(&layer.tables, GuestOffset(at), max)),
        }
    }

    /// The size of the disk that the layer `depth` has, in bytes.
    pub(crate) fn layer_size(&self, depth: usize) -> Option<u64> {
        self.layers.get(depth).map(DiskLayer::size)
    }

    /// Where ends what QEMU tells about `at` at once in the layer `depth`; `None` where it tells all at once.
    pub(crate) fn status_ends(&self, depth: usize, at: u64) -> Option<u64> {
        match self.layers.get(depth)? {
            DiskLayer::Raw(_) => None,
            DiskLayer::Qcow2(layer) => Some(layer.mapping.status_ends(at)),
        }
    }

    /// The layer that has the bytes from `at` on, if one has, with what they are there, and how many they are,
    /// at most `max`.
    fn find(&self, at: u64, max: u64) -> Result<Found<'_>, Error> {
        let mut len = max;
        for layer in &self.layers {
            let Some(left) = layer.size().checked_sub(at).filter(|&left| left > 0) else {
                // A shorter layer is zeros from its end on, and what is below it is not looked at.
                break;
            };
            len = len.min(left);
            match layer {
                DiskLayer::Raw(storage) => return Ok(Found { len, place: Place::Raw(storage) }),
                DiskLayer::Qcow2(layer) => {
                    let run = layer.mapping.run_at(&layer.tables, GuestOffset(at), len)?;
                    len = run.len;
                    match run.allocation {
                        Allocation::Unallocated { .. } => {}
                        Allocation::Zero { .. } => return Ok(Found { len, place: Place::Zeros }),
                        _ => return Ok(Found { len, place: Place::Stored(layer, run) }),
                    }
                }
            }
        }
        Ok(Found { len, place: Place::Zeros })
    }

    fn read_some(&self, at: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let found = self.find(at, buf.len() as u64)?;
        let n = usize::try_from(found.len).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..n).unwrap_or_default();
        match found.place {
            Place::Zeros => buf.fill(0),
            Place::Raw(storage) => read_padded(storage, at, buf)?,
            Place::Stored(layer, run) => layer.read(run, buf)?,
        }
        Ok(n)
    }
}

/// Where bytes of the disk are.
struct Found<'a> {
    len: u64,
    place: Place<'a>,
}

enum Place<'a> {
    Zeros,
    Raw(&'a Arc<dyn Storage>),
    Stored(&'a Qcow2Layer, Run),
}

/// The L1 table of the active disk or of a snapshot's, and the size of that disk in bytes.
fn table_of(image: &Image<Arc<dyn Storage>>, snapshot: Option<&Snapshot>) -> (TablePlace, u64) {
    match snapshot {
        None => (image.header().l1_table(), image.virtual_size()),
        Some(snapshot) => {
            let size = snapshot.disk_size.map_or_else(|| image.virtual_size(), |size| size & !511);
            (snapshot.l1_table, size)
        }
    }
}

impl DiskLayer {
    fn size(&self) -> u64 {
        match self {
            Self::Raw(storage) => super::whole_sectors(storage.len()),
            Self::Qcow2(layer) => layer.mapping.size(),
        }
    }
}

impl Qcow2Layer {
    fn open(
        image: &Image<Arc<dyn Storage>>,
        layer: &Layer,
        (place, size): (TablePlace, u64),
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Self, Error> {
        let header = image.header();
        let name = &layer.source().name;
        let cipher = match (header.encryption(), options.keys) {
            (Encryption::None, _) => None,
            (Encryption::Luks, Some(keys)) => Some(keys.unlock(image, name)?),
            (encryption, _) => return Err(Error::Encrypted(encryption)),
        };
        let tables = Arc::clone(image.storage());
        let data = if image.has_data_file() {
            let stored = image.extensions().data_file().filter(|name| !name.is_empty());
            let stored = stored.ok_or(Error::NoDataFile)?;
            resolver.resolve(&Reference::parse(ReferenceKind::DataFile, name, stored)?)?.storage
        } else {
            Arc::clone(&tables)
        };
        Ok(Self {
            mapping: Mapping::read(&tables, header, place, size)?,
            tables,
            data,
            decompressor: Decompressor::new(header.compression()),
            cipher,
            cluster_size: header.cluster_size().bytes(),
        })
    }

    /// Fills `buf` from the beginning of `run`, which is at least as long.
    fn read(&self, run: Run, buf: &mut [u8]) -> Result<(), Error> {
        match run.allocation {
            Allocation::Unallocated { .. } | Allocation::Zero { .. } => buf.fill(0),
            Allocation::Data { host } if self.cipher.is_some() => {
                self.read_encrypted(run.guest, host, buf)?
            }
            Allocation::Data { host } => {
                // The last cluster of a file may end with the file, and reads on as zeros.
                let end = self.data.len().checked_next_multiple_of(self.cluster_size).unwrap_or(u64::MAX);
                if host.0.checked_add(buf.len() as u64).is_none_or(|last| last > end) {
                    return Err(MappingError::PastTheEnd { guest: run.guest, offset: host }.into());
                }
                read_padded(&self.data, host.0, buf)?;
            }
            Allocation::Compressed { host, len } => self.read_compressed(run.guest, host, len, buf)?,
        }
        Ok(())
    }

    /// Fills `buf` with what is encrypted from `host` on. A sector that isn't wholly in the file can't be
    /// decrypted: unlike plain data it doesn't read on as zeros.
    fn read_encrypted(&self, guest: GuestOffset, host: HostOffset, buf: &mut [u8]) -> Result<(), Error> {
        let past = || Error::from(MappingError::PastTheEnd { guest, offset: host });
        let end = host.0.checked_add(buf.len() as u64).and_then(|end| end.checked_next_multiple_of(SECTOR));
        end.filter(|&end| end <= self.data.len()).ok_or_else(past)?;
        let (mut at, mut rest) = (host.0, buf);
        while !rest.is_empty() {
            let into = at % SECTOR;
            let whole = rest.len() & !(SECTOR as usize - 1);
            let n = if into == 0 && whole > 0 {
                let sectors = rest.get_mut(..whole).unwrap_or_default();
                self.decrypted(at, sectors)?;
                whole
            } else {
                let mut sector = [0; SECTOR as usize];
                self.decrypted(at - into, &mut sector)?;
                // Below 512: it fits.
                let there = sector.get(into as usize..).unwrap_or_default();
                let n = there.len().min(rest.len());
                rest.iter_mut().zip(there).for_each(|(to, from)| *to = *from);
                n
            };
            at += n as u64;
            rest = rest.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads whole sectors from `offset` of the file on, and decrypts them.
    fn decrypted(&self, offset: u64, sectors: &mut [u8]) -> Result<(), Error> {
        read_padded(&self.data, offset, sectors)?;
        if let Some(cipher) = &self.cipher {
            cipher.decrypt(HostOffset(offset), sectors);
        }
        Ok(())
    }

    fn read_compressed(
        &self,
        at: GuestOffset,
        host: HostOffset,
        len: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let guest = GuestOffset(at.0 / self.cluster_size * self.cluster_size);
        let there = self.tables.len().saturating_sub(host.0);
        if there == 0 {
            return Err(MappingError::PastTheEnd { guest, offset: host }.into());
        }
        // A descriptor tells at most two clusters; the last one's sector may end with the file.
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut input = vec![0; size(len.min(there))];
        read_padded(&self.tables, host.0, &mut input)?;
        if buf.len() as u64 == self.cluster_size {
            return Ok(self.decompressor.decompress(guest, &input, buf)?);
        }
        let mut cluster = vec![0; size(self.cluster_size)];
        self.decompressor.decompress(guest, &input, &mut cluster)?;
        let start = size(at.0 - guest.0);
        if let Some(part) = cluster.get(start..start + buf.len()) {
            buf.copy_from_slice(part);
        }
        Ok(())
    }
}

/// Fills `buf` from `offset` on, with zeros past the end.
pub(super) fn read_padded(storage: &Arc<dyn Storage>, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
    let there = usize::try_from(storage.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
    let (bytes, zeros) = buf.split_at_mut(there);
    zeros.fill(0);
    storage.read_exact_at(offset, bytes).map_err(|source| Error::Io { what: "guest data", offset, source })
}

/// An error of ours as one of the standard library's, its kind kept where it came from a storage.
fn to_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

impl Storage for Disk {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buf.len());
        let mut done = 0;
        while done < wanted {
            let rest = buf.get_mut(done..wanted).unwrap_or_default();
            done += self.read_some(offset + done as u64, rest).map_err(to_io)?;
        }
        Ok(done)
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let left = self.size.checked_sub(offset).filter(|&left| left > 0).ok_or_else(|| {
            let text = format!("no extent begins at offset {offset}: the disk ends at {}", self.size);
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let found = self.find(offset, left).map_err(to_io)?;
        let extent = |kind| Extent { offset, len: found.len, kind };
        Ok(match found.place {
            Place::Zeros => extent(ExtentKind::Hole),
            Place::Stored(..) => extent(ExtentKind::Data),
            Place::Raw(storage) if offset < storage.len() => {
                let raw = storage.next_extent(offset)?;
                Extent { len: raw.len.min(found.len), ..raw }
            }
            Place::Raw(_) => extent(ExtentKind::Hole),
        })
    }
}
