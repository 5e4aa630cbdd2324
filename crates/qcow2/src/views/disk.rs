//! The guest's disk.

use std::fmt;
use std::io;
use std::sync::Arc;

use stillpoint_storage::{Extent, ExtentKind, Storage};

use super::Image;
use super::chain::{Chain, ChainError, Content, Layer};
use super::decrypt::Unlock;
use super::layer::{DiskLayer, Qcow2Layer, read_padded, table_of};
use super::policy::Resolver;
use super::reference::ReferenceError;
use crate::tables::{Allocation, GuestOffset, Run, Snapshot, TablePlace};
use crate::{Error, Name};

/// What the guest sees: the bytes of its disk, read through all layers of a chain, as a [`Storage`].
///
/// Its length is the virtual size. An extent is a hole where the image says that it reads as zeros or nothing is
/// allocated in any layer; that is QEMU's notion, not the file system's.
///
/// Only what can be read rightly is returned: encrypted data, damaged tables, and clusters past the end of the
/// file are errors.
pub struct Disk {
    pub(super) layers: Vec<DiskLayer>,
    /// What each layer's file is called.
    pub(super) names: Vec<Name>,
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
                    let opened = Qcow2Layer::open(image, layer, table, resolver, options);
                    let opened = opened.map_err(|error| in_layer(&layer.source().name, depth, error))?;
                    DiskLayer::Qcow2(Box::new(opened))
                }
            });
        }
        Ok(Self::of_layers(chain, layers))
    }

    /// The disk of a chain's layers, which were opened in the chain's order.
    pub(super) fn of_layers(chain: &Chain, layers: Vec<DiskLayer>) -> Self {
        let size = layers.first().map_or(0, DiskLayer::size);
        let names = chain.layers().iter().map(|layer| layer.source().name.clone()).collect();
        Self { layers, names, size }
    }

    /// The first layer of a chain alone, as the table at `place` has it, with `size` bytes.
    pub(super) fn open_layer(
        layer: &Layer,
        image: &Image<Arc<dyn Storage>>,
        (place, size): (TablePlace, u64),
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Self, Error> {
        let names = vec![layer.source().name.clone()];
        let layer = Qcow2Layer::open(image, layer, (place, size), resolver, options)?;
        Ok(Self { layers: vec![DiskLayer::Qcow2(Box::new(layer))], names, size })
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
        for (depth, layer) in self.layers.iter().enumerate() {
            let Some(left) = layer.size().checked_sub(at).filter(|&left| left > 0) else {
                // A shorter layer is zeros from its end on, and what is below it is not looked at.
                break;
            };
            len = len.min(left);
            match layer {
                DiskLayer::Raw(storage) => return Ok(Found { len, depth, place: Place::Raw(storage) }),
                DiskLayer::Qcow2(layer) => {
                    let run = layer.mapping.run_at(&layer.tables, GuestOffset(at), len);
                    let run = run.map_err(|error| self.in_layer(depth, error))?;
                    len = run.len;
                    match run.allocation {
                        Allocation::Unallocated { .. } => {}
                        Allocation::Zero { .. } => return Ok(Found { len, depth, place: Place::Zeros }),
                        _ => return Ok(Found { len, depth, place: Place::Stored(layer, run) }),
                    }
                }
            }
        }
        Ok(Found { len, depth: 0, place: Place::Zeros })
    }

    /// How much of the disk from `at` on, at most `max` bytes, is stored where nothing can be read: in a file that is
    /// missing, or in a part of one. `None` where something else is.
    pub(super) fn unknown_at(&self, at: u64, max: u64) -> Option<u64> {
        let found = self.find(at, max).ok()?;
        let extent = match found.place {
            Place::Zeros => return None,
            Place::Raw(storage) if at < storage.len() => storage.next_extent(at),
            Place::Raw(_) => return None,
            Place::Stored(layer, run) => match run.allocation {
                Allocation::Data { host } if host.0 < layer.data.len() => layer.data.next_extent(host.0),
                _ => return None,
            },
        };
        let extent = extent.ok().filter(|extent| extent.kind == ExtentKind::Unknown)?;
        Some(extent.len.min(found.len)).filter(|&len| len > 0)
    }

    /// An error of the layer `depth`, with its name unless it is the image itself.
    pub(super) fn in_layer(&self, depth: usize, error: Error) -> Error {
        match self.names.get(depth) {
            Some(name) => in_layer(name, depth, error),
            None => error,
        }
    }

    fn read_some(&self, at: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let found = self.find(at, buf.len() as u64)?;
        let n = usize::try_from(found.len).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..n).unwrap_or_default();
        let read = match found.place {
            Place::Zeros => {
                buf.fill(0);
                Ok(())
            }
            Place::Raw(storage) => read_padded(storage, at, buf),
            Place::Stored(layer, run) => layer.read(run, buf),
        };
        read.map_err(|error| self.in_layer(found.depth, error))?;
        Ok(n)
    }
}

/// Where bytes of the disk are.
struct Found<'a> {
    len: u64,
    /// The layer that has them.
    depth: usize,
    place: Place<'a>,
}

enum Place<'a> {
    Zeros,
    Raw(&'a Arc<dyn Storage>),
    Stored(&'a Qcow2Layer, Run),
}

/// An error of the layer `depth`, which has that name: what is wrong in a file below the first is told with its name.
pub(crate) fn in_layer(name: &Name, depth: usize, error: Error) -> Error {
    let damage = matches!(
        error,
        Error::Io { .. }
            | Error::Mapping(_)
            | Error::Decompress(_)
            | Error::Reference(ReferenceError::Open { .. })
    );
    if depth == 0 || name.is_empty() || !damage {
        return error;
    }
    ChainError::Layer { name: name.clone(), depth, source: Box::new(error) }.into()
}

/// An error of ours as one of the standard library's, its kind kept where it came from a storage.
fn to_io(error: Error) -> io::Error {
    let kind = match error.innermost() {
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
