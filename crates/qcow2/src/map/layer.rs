//! What one layer says of a place.

use std::fmt;
use std::sync::Arc;

use stillpoint_storage::Storage;

use super::extent::MapExtent;
use super::host::HostHoles;
use super::preallocation::is_preallocated;
use crate::tables::{Allocation, Cursor, Encryption, GuestOffset, Mapping, Snapshot};
use crate::views::{full_name, whole_sectors};
use crate::{Error, Layer, Name, Reference, ReferenceKind, Resolver};

/// A layer that is open for mapping.
pub(super) struct MapLayer {
    /// Of the file with the tables.
    name: Name,
    /// Of the one with the data.
    file_name: Name,
    content: Content,
}

enum Content {
    Raw(Arc<dyn Storage>),
    Qcow2 {
        tables: Arc<dyn Storage>,
        mapping: Box<Mapping>,
        encrypted: bool,
        /// Where holes are looked for, if they are.
        holes_in: Option<Arc<dyn Storage>>,
    },
}

impl fmt::Debug for MapLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = matches!(self.content, Content::Raw(_));
        f.debug_struct("MapLayer")
            .field("file_name", &self.file_name)
            .field("raw", &raw)
            .finish_non_exhaustive()
    }
}

impl MapLayer {
    pub(super) fn open(
        layer: &Layer,
        snapshot: Option<&Snapshot>,
        resolver: &dyn Resolver,
        host_holes: bool,
    ) -> Result<Self, Error> {
        let source = layer.source();
        let Some(image) = layer.image() else {
            let content = Content::Raw(Arc::clone(&source.storage));
            return Ok(Self { name: source.name.clone(), file_name: source.name.clone(), content });
        };
        let header = image.header();
        let (place, size) = match snapshot {
            None => (header.l1_table(), image.virtual_size()),
            Some(snapshot) => (snapshot.l1_table, image.snapshot_size(snapshot)),
        };
        let tables = Arc::clone(image.storage());
        let mapping = Box::new(Mapping::read(&tables, header, place, size)?);
        let look = host_holes && is_preallocated(image);
        let (file_name, holes_in) = if image.has_data_file() {
            let stored = image.extensions().data_file().filter(|name| !name.is_empty());
            let stored = stored.ok_or(Error::NoDataFile)?;
            let reference = Reference::parse(ReferenceKind::DataFile, &source.name, stored)?;
            let storage = if look { Some(resolver.resolve(&reference)?.storage) } else { None };
            (full_name(&source.name, stored).unwrap_or_else(|| stored.clone()), storage)
        } else {
            (source.name.clone(), look.then(|| Arc::clone(&tables)))
        };
        let encrypted = header.encryption() != Encryption::None;
        let content = Content::Qcow2 { tables, mapping, encrypted, holes_in };
        Ok(Self { name: source.name.clone(), file_name, content })
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    pub(super) const fn file_name(&self) -> &Name {
        &self.file_name
    }

    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::Raw(storage) => whole_sectors(storage.len()),
            Content::Qcow2 { mapping, .. } => mapping.size(),
        }
    }

    pub(super) fn cursor(&self) -> LayerCursor<'_> {
        match &self.content {
            Content::Raw(storage) => {
                LayerCursor { size: self.size(), kind: Kind::Raw(HostHoles::new(&**storage)) }
            }
            Content::Qcow2 { tables, mapping, encrypted, holes_in } => LayerCursor {
                size: self.size(),
                kind: Kind::Qcow2 {
                    cursor: Cursor::new(mapping, &**tables),
                    encrypted: *encrypted,
                    holes: holes_in.as_deref().map(HostHoles::new),
                },
            },
        }
    }
}

/// A layer that is gone through.
#[derive(Debug)]
pub(super) struct LayerCursor<'a> {
    size: u64,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Raw(HostHoles<'a>),
    Qcow2 { cursor: Cursor<'a, dyn Storage>, encrypted: bool, holes: Option<HostHoles<'a>> },
}

impl fmt::Debug for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Raw(_)) { "Raw" } else { "Qcow2" })
    }
}

impl LayerCursor<'_> {
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// What begins at `at`, below the size, and is at most `max` bytes long. Without `present`, the layer doesn't have
    /// it.
    pub(super) fn piece(&mut self, at: u64, max: u64) -> Result<MapExtent, Error> {
        let max = max.min(self.size.saturating_sub(at));
        match &mut self.kind {
            Kind::Raw(holes) => {
                let (length, zero) = holes.at(at, max)?;
                let found = MapExtent::nothing(at, length, 0);
                Ok(MapExtent { present: true, zero, data: !zero, offset: Some(at), ..found })
            }
            Kind::Qcow2 { cursor, encrypted, holes } => {
                let run = cursor.run_at(GuestOffset(at), max)?;
                let mut found = MapExtent::nothing(at, run.len, 0);
                let host = match run.allocation {
                    Allocation::Unallocated { host } => host,
                    Allocation::Zero { host } => {
                        (found.present, found.zero) = (true, true);
                        host
                    }
                    Allocation::Data { host } => {
                        (found.present, found.data) = (true, true);
                        if !*encrypted && let Some(holes) = holes {
                            (found.length, found.zero) = holes.at(host.0, run.len)?;
                        }
                        Some(host)
                    }
                    Allocation::Compressed { .. } => {
                        (found.present, found.data, found.compressed) = (true, true, true);
                        None
                    }
                };
                found.offset = host.filter(|_| !*encrypted).map(|host| host.0);
                Ok(found)
            }
        }
    }
}
