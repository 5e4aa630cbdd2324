//! One layer of a disk: its tables, and where its clusters are.

use std::sync::Arc;

use stillpoint_storage::Storage;

use super::Image;
use super::chain::Layer;
use super::decrypt::{SECTOR, SectorCipher};
use super::disk::DiskOptions;
use super::policy::Resolver;
use super::reference::{Reference, ReferenceKind};
use crate::Error;
use crate::tables::{
    Allocation, Decompressor, Encryption, GuestOffset, HostOffset, Mapping, MappingError, Run, Snapshot,
    TablePlace,
};

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

/// The L1 table of the active disk or of a snapshot's, and the size of that disk in bytes.
pub(super) fn table_of(image: &Image<Arc<dyn Storage>>, snapshot: Option<&Snapshot>) -> (TablePlace, u64) {
    match snapshot {
        None => (image.header().l1_table(), image.virtual_size()),
        Some(snapshot) => {
            let size = snapshot.disk_size.map_or_else(|| image.virtual_size(), |size| size & !511);
            (snapshot.l1_table, size)
        }
    }
}

impl DiskLayer {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Raw(storage) => super::whole_sectors(storage.len()),
            Self::Qcow2(layer) => layer.mapping.size(),
        }
    }
}

impl Qcow2Layer {
    /// Opens the layer as the table at `place` has it, with `size` bytes, and its data file through `resolver`.
    pub(super) fn open(
        image: &Image<Arc<dyn Storage>>,
        layer: &Layer,
        (place, size): (TablePlace, u64),
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Self, Error> {
        let data = open_data(image, layer, resolver)?;
        Self::with_data(image, layer, (place, size), data, options)
    }

    /// As [`open`](Self::open), with what holds its clusters.
    pub(super) fn with_data(
        image: &Image<Arc<dyn Storage>>,
        layer: &Layer,
        (place, size): (TablePlace, u64),
        data: Arc<dyn Storage>,
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
    pub(super) fn read(&self, run: Run, buf: &mut [u8]) -> Result<(), Error> {
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

/// What holds the clusters of an image: itself, or the data file that it names.
pub(super) fn open_data(
    image: &Image<Arc<dyn Storage>>,
    layer: &Layer,
    resolver: &dyn Resolver,
) -> Result<Arc<dyn Storage>, Error> {
    if !image.has_data_file() {
        return Ok(Arc::clone(image.storage()));
    }
    let stored = image.extensions().data_file().filter(|name| !name.is_empty());
    let stored = stored.ok_or(Error::NoDataFile)?;
    let reference = Reference::parse(ReferenceKind::DataFile, &layer.source().name, stored)?;
    Ok(resolver.resolve(&reference)?.storage)
}

/// Fills `buf` from `offset` on, with zeros past the end.
pub(super) fn read_padded(storage: &Arc<dyn Storage>, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
    let there = usize::try_from(storage.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
    let (bytes, zeros) = buf.split_at_mut(there);
    zeros.fill(0);
    storage.read_exact_at(offset, bytes).map_err(|source| Error::Io { what: "guest data", offset, source })
}
