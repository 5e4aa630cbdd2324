//! A disk together with its map.

use std::fs::File;

use super::{Chain, Disk, DiskOptions, FileId, Resolver, Source};
use crate::Error;
use crate::map::{GuestMap, MapExtent, MapOptions};
use crate::tables::Snapshot;

/// A guest's disk, and where its data is: what is compared and extracted.
#[derive(Debug)]
pub struct GuestView {
    disk: Disk,
    map: GuestMap,
    /// For each layer the file with its tables, and the one with its data.
    files: Vec<[Option<FileId>; 2]>,
}

impl GuestView {
    /// The active disk of a chain, or the one of a snapshot of its first image.
    ///
    /// # Errors
    /// As [`Disk::open_with`] and [`GuestMap::open`].
    pub fn open(
        chain: &Chain,
        snapshot: Option<&Snapshot>,
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<Self, Error> {
        let map_options = MapOptions::default();
        let map = match snapshot {
            None => GuestMap::open(chain, resolver, &map_options)?,
            Some(snapshot) => GuestMap::open_snapshot(chain, snapshot, resolver, &map_options)?,
        };
        let disk = Disk::open_with(chain, snapshot, resolver, options)?;
        let files = chain.layers().iter().enumerate().map(|(depth, layer)| {
            // Another resolver may give the same id to another file, unless it is the kernel's.
            let local = |id: &FileId| matches!(id, FileId::Inode { .. });
            let tables = layer.source().id.clone().filter(local);
            let elsewhere = layer.image().is_some_and(|image| image.has_data_file());
            let data = if elsewhere {
                disk.data(depth).and_then(|data| data.as_file()).and_then(|file| Source::file_id(file).ok())
            } else {
                tables.clone()
            };
            [tables, data]
        });
        let files = files.collect();
        Ok(Self { disk, map, files })
    }

    /// The disk's bytes.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Where they are.
    #[must_use]
    pub const fn map(&self) -> &GuestMap {
        &self.map
    }

    /// The size of the disk in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.map.size()
    }

    /// The file that has the bytes of `extent` as they are, and where, if they are in a file of this system and
    /// wholly in it.
    pub(crate) fn in_file(&self, extent: &MapExtent) -> Option<(&File, u64)> {
        let offset = extent.offset?;
        if extent.compressed || !extent.data {
            return None;
        }
        let storage = self.disk.plain_data(extent.depth)?;
        let file = storage.as_file()?;
        let end = offset.checked_add(extent.length)?;
        (end <= storage.len()).then_some((file, offset))
    }

    /// Whether `extent` of this disk and `other_extent` of another, which begin and end at the same places, are the
    /// same bytes of the same file. `false` where that isn't known.
    pub(crate) fn is_same_place(&self, extent: &MapExtent, other: &Self, other_extent: &MapExtent) -> bool {
        let (Some([tables, data]), Some([other_tables, other_data])) =
            (self.files.get(extent.depth), other.files.get(other_extent.depth))
        else {
            return false;
        };
        if !extent.data || !other_extent.data || data.is_none() || data != other_data {
            return false;
        }
        match (extent.offset, other_extent.offset) {
            (Some(a), Some(b)) => a == b,
            // Compressed or encrypted.
            (None, None) => {
                tables.is_some()
                    && tables == other_tables
                    && self.is_stored_the_same(extent, other, other_extent.depth)
            }
            _ => false,
        }
    }

    /// The same of what the map tells no place of: one image in two states.
    fn is_stored_the_same(&self, extent: &MapExtent, other: &Self, other_depth: usize) -> bool {
        let mut at = extent.start;
        while at < extent.end() {
            let run = self.disk.run_of(extent.depth, at, extent.end() - at);
            let other_run = other.disk.run_of(other_depth, at, extent.end() - at);
            match (run, other_run) {
                // `Run` has place and length.
                (Some(Ok(a)), Some(Ok(b))) if a == b && a.len > 0 => at += a.len,
                _ => return false,
            }
        }
        true
    }
}
