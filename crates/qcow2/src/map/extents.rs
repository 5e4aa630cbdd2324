//! From layers to extents.

use std::iter::FusedIterator;

use super::extent::MapExtent;
use super::layer::{LayerCursor, MapLayer};
use crate::Error;
use crate::views::in_layer;

/// The extents of a disk in order, neighbours that are one thing merged.
///
/// Ends after the first error. Memory: one L2 table (2 MiB at most) for each layer.
#[derive(Debug)]
pub struct MapExtents<'a> {
    layers: Vec<LayerCursor<'a>>,
    of: &'a [MapLayer],
    cut: bool,
    at: u64,
    end: u64,
    pending: Option<MapExtent>,
    failed: Option<Error>,
}

impl<'a> MapExtents<'a> {
    pub(super) fn new(layers: &'a [MapLayer], cut: bool, start: u64, end: u64) -> Self {
        let cursors = layers.iter().map(MapLayer::cursor).collect();
        Self { layers: cursors, of: layers, cut, at: start, end, pending: None, failed: None }
    }

    /// What begins at the place that was reached: not yet merged with what follows.
    fn piece(&mut self) -> Result<MapExtent, Error> {
        let mut len = self.end - self.at;
        let last = self.layers.len().saturating_sub(1);
        for depth in 0..self.layers.len() {
            let next_size = self.layers.get(depth + 1).map(LayerCursor::size);
            let Some(layer) = self.layers.get_mut(depth) else { break };
            let found = layer.piece(self.at, len).map_err(|error| match self.of.get(depth) {
                Some(layer) => in_layer(layer.name(), depth, error),
                None => error,
            })?;
            // Every extent of a layer has at least one byte.
            len = found.length;
            if found.present {
                return Ok(MapExtent { depth, ..found });
            }
            // A layer below that ends before this is not looked at: it is zeros from its end on.
            let below = next_size.is_some_and(|size| self.at < size);
            if !below {
                let zero = !(self.cut && depth == last);
                return Ok(MapExtent { depth, zero, ..found });
            }
        }
        Ok(MapExtent { zero: true, ..MapExtent::nothing(self.at, len, 0) })
    }
}

impl Iterator for MapExtents<'_> {
    type Item = Result<MapExtent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.failed.is_none() && self.at < self.end {
            match self.piece() {
                Ok(piece) => {
                    self.at = piece.end();
                    if self.pending.as_mut().is_some_and(|pending| pending.merge(&piece)) {
                        continue;
                    }
                    if let Some(done) = self.pending.replace(piece) {
                        return Some(Ok(done));
                    }
                }
                Err(error) => {
                    self.failed = Some(error);
                    self.at = self.end;
                }
            }
        }
        self.pending.take().map(Ok).or_else(|| self.failed.take().map(Err))
    }
}

impl FusedIterator for MapExtents<'_> {}
