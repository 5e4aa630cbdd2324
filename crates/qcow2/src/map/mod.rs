//! Where a disk's data is: what `qemu-img map` tells, for the active disk or a snapshot, one layer or a chain.
//!
//! [`GuestMap`] opens what is needed, and [`GuestMap::extents`] goes through the disk lazily: nothing is kept but
//! the L1 table and one L2 table of each layer, however large the disk is. Extents are merged as QEMU merges
//! them: [`json::write`] prints byte for byte what `qemu-img map --output=json` does, [`text::write`] what it prints
//! without that.
//!
//! ```
//! use stillpoint_qcow2::map::{GuestMap, MapOptions};
//! use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Source};
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("disk.qcow2");
//! # let image = ImageBuilder::v3().size(1 << 20).cluster(1, ClusterSpec::Data(vec![7; 65536]));
//! # std::fs::write(&path, image.build())?;
//!
//! let chain = Chain::open(Source::open(&path)?, None, &DenyAll, &ChainOptions::default())?;
//! let map = GuestMap::open(&chain, &DenyAll, &MapOptions::default())?;
//! let data = map.extents().filter(|extent| extent.as_ref().is_ok_and(|extent| extent.data));
//! let data = data.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!((data[0].start, data[0].length), (65536, 65536));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What the host's file says
//!
//! Where an image was preallocated, its tables tell data everywhere, and QEMU asks the file system which of it is
//! holes ([`MapOptions::host_holes`]). It takes an image for preallocated when many more clusters have a refcount
//! than the file has allocated, so that the same image may map differently after it was copied.

mod extent;
mod extents;
mod host;
pub mod json;
mod layer;
mod preallocation;
pub mod text;

pub use extent::MapExtent;
pub use extents::MapExtents;

use layer::MapLayer;

use crate::tables::Snapshot;
use crate::views::in_layer;
use crate::{Chain, Error, Name, Resolver};

/// What is mapped, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MapOptions {
    /// Only the first layer. What it doesn't have and a backing file may have is neither data nor zeros then.
    pub one_layer: bool,
    /// Whether the data clusters of a preallocated image are looked for holes in the host's file, as QEMU does.
    /// Raw layers are always.
    pub host_holes: bool,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { one_layer: false, host_holes: true }
    }
}

impl MapOptions {
    /// Sets whether only the first layer is mapped.
    #[must_use]
    pub const fn one_layer(mut self, one_layer: bool) -> Self {
        self.one_layer = one_layer;
        self
    }

    /// Sets whether holes in the host's file are looked for.
    #[must_use]
    pub const fn host_holes(mut self, host_holes: bool) -> Self {
        self.host_holes = host_holes;
        self
    }
}

/// The map of a disk.
///
/// No key is needed: where encrypted data is, the tables tell. Memory: an L1 table for each layer, 32 MiB at most
/// and never more than the file.
#[derive(Debug)]
pub struct GuestMap {
    layers: Vec<MapLayer>,
    size: u64,
    /// Whether there is a layer below that is not looked at.
    cut: bool,
}

impl GuestMap {
    /// The map of a chain's active disk. An external data file is opened through `resolver`, and only if it must be
    /// looked for holes.
    ///
    /// # Errors
    /// When a layer's L1 table breaks a rule, or its data file may not or can't be opened.
    pub fn open(chain: &Chain, resolver: &dyn Resolver, options: &MapOptions) -> Result<Self, Error> {
        Self::open_at(chain, None, resolver, options)
    }

    /// The map of the disk as it was when `snapshot` of the chain's first image was taken.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_snapshot(
        chain: &Chain,
        snapshot: &Snapshot,
        resolver: &dyn Resolver,
        options: &MapOptions,
    ) -> Result<Self, Error> {
        Self::open_at(chain, Some(snapshot), resolver, options)
    }

    fn open_at(
        chain: &Chain,
        snapshot: Option<&Snapshot>,
        resolver: &dyn Resolver,
        options: &MapOptions,
    ) -> Result<Self, Error> {
        let all = chain.layers();
        let count = if options.one_layer { 1 } else { all.len() };
        let layers = all.iter().take(count).enumerate();
        let layers = layers.map(|(depth, layer)| {
            let opened = MapLayer::open(layer, snapshot.filter(|_| depth == 0), resolver, options.host_holes);
            opened.map_err(|error| in_layer(&layer.source().name, depth, error))
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let size = layers.first().map_or(0, MapLayer::size);
        let below = match all.first() {
            Some(first) => all.len() > 1 || first.backing()?.is_some(),
            None => false,
        };
        Ok(Self { layers, size, cut: options.one_layer && below })
    }

    /// The size of the disk, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The name of the file that holds the data of the layer `depth`: the image, or its external data file.
    #[must_use]
    pub fn file_name(&self, depth: usize) -> Option<&Name> {
        self.layers.get(depth).map(MapLayer::file_name)
    }

    /// All extents of the disk, in order.
    #[must_use]
    pub fn extents(&self) -> MapExtents<'_> {
        self.extents_in(0, u64::MAX)
    }

    /// The extents of `length` bytes from `start` on, clipped to that range and to the disk.
    #[must_use]
    pub fn extents_in(&self, start: u64, length: u64) -> MapExtents<'_> {
        MapExtents::new(&self.layers, self.cut, start, start.saturating_add(length).min(self.size))
    }
}
