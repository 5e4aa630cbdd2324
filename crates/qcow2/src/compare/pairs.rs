//! Two maps side by side.

use super::{CompareError, Side};
use crate::GuestView;
use crate::map::{MapExtent, MapExtents};

/// A range that is one thing on either side; `None` where that disk has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) first: Option<MapExtent>,
    pub(super) second: Option<MapExtent>,
}

/// Walks both maps together.
#[derive(Debug)]
pub(super) struct Pairs<'a> {
    at: u64,
    first: OneSide<'a>,
    second: OneSide<'a>,
    failed: bool,
}

#[derive(Debug)]
struct OneSide<'a> {
    side: Side,
    size: u64,
    extents: MapExtents<'a>,
    current: Option<MapExtent>,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(first: &'a GuestView, second: &'a GuestView) -> Self {
        let one = |side, view: &'a GuestView| OneSide {
            side,
            size: view.size(),
            extents: view.map().extents(),
            current: None,
        };
        Self { at: 0, first: one(Side::First, first), second: one(Side::Second, second), failed: false }
    }

    /// Where what a side is at `at`, in the range that was given last, ends on that side.
    pub(super) fn end_of(&self, side: Side, at: u64) -> Option<u64> {
        let side = if side == Side::First { &self.first } else { &self.second };
        side.current.map(|extent| extent.end()).filter(|&end| end > at)
    }

    fn pair(&mut self) -> Result<Option<Pair>, CompareError> {
        let first = self.first.at(self.at)?;
        let second = self.second.at(self.at)?;
        let ends = [first, second].into_iter().flatten().map(|extent| extent.end());
        let Some(end) = ends.min() else { return Ok(None) };
        Ok(Some(Pair { start: self.at, length: end - self.at, first, second }))
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<Pair, CompareError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.pair() {
            Ok(pair) => {
                let pair = pair?;
                self.at += pair.length;
                Some(Ok(pair))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

impl OneSide<'_> {
    /// The extent from `at` on; what is before it is cut off.
    fn at(&mut self, at: u64) -> Result<Option<MapExtent>, CompareError> {
        while at < self.size {
            match self.current {
                Some(extent) if extent.end() > at => {
                    let before = at - extent.start;
                    let offset = extent.offset.map(|offset| offset + before);
                    let rest = MapExtent { start: at, length: extent.length - before, offset, ..extent };
                    return Ok(Some(rest));
                }
                _ => {}
            }
            match self.extents.next() {
                Some(Ok(extent)) => self.current = Some(extent),
                Some(Err(source)) => return Err(CompareError::Map { side: self.side, offset: at, source }),
                None => break,
            }
        }
        Ok(None)
    }
}
