//! The steps in which qemu-img compares.

use super::pairs::{Pair, Pairs};
use super::{CompareError, Side};
use crate::GuestView;
use crate::map::MapExtent;

/// Most bytes that qemu-img reads at a time.
const IO: u64 = 2 << 20;

/// A step: what it is about, and whether strict mode finds the same on both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompareStep {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) same_status: bool,
}

/// Goes through both disks as qemu-img does. Where one thing ends that QEMU tells at once, a step ends: it looks at no
/// more than one L2 table, or 64 KiB of it, at a time.
pub(super) struct Steps<'a> {
    sides: (&'a GuestView, &'a GuestView),
    pairs: Pairs<'a>,
    pair: Option<Pair>,
    at: u64,
}

impl<'a> Steps<'a> {
    pub(super) fn new(first: &'a GuestView, second: &'a GuestView) -> Self {
        Self { sides: (first, second), pairs: Pairs::new(first, second), pair: None, at: 0 }
    }

    fn step(&mut self) -> Result<Option<CompareStep>, CompareError> {
        if self.pair.is_none_or(|pair| self.at >= pair.start + pair.length) {
            self.pair = self.pairs.next().transpose()?;
        }
        let Some(pair) = self.pair else { return Ok(None) };
        let start = self.at;
        let end = |side, extent: Option<MapExtent>| {
            let view = if side == Side::First { self.sides.0 } else { self.sides.1 };
            let end = self.pairs.end_of(side, start)?;
            // The layers that were asked: down to the one that has it.
            let layers = 0..=extent?.depth;
            layers.filter_map(|depth| view.disk().status_ends(depth, start)).chain([end]).min()
        };
        let (first, second) = (end(Side::First, pair.first), end(Side::Second, pair.second));
        let both = [first, second].into_iter().flatten().min().unwrap_or(pair.start + pair.length);
        let zeros = |extent: Option<MapExtent>| extent.is_none_or(|extent| extent.zero || !extent.present);
        let skipped = zeros(pair.first) && zeros(pair.second);
        let end = if skipped { both } else { both.min(start + IO) };
        self.at = end;
        let (first, second) =
            (status(self.sides.0, pair.first, first), status(self.sides.1, pair.second, second));
        let same_status = first == second;
        Ok(Some(CompareStep { start, end, same_status }))
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<CompareStep, CompareError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// What strict mode holds against each other. The layer is not of it, nor is the place; but whether what QEMU tells at
/// once goes to the end of the disk is.
fn status(view: &GuestView, extent: Option<MapExtent>, end: Option<u64>) -> Option<[bool; 6]> {
    let extent = extent?;
    // What a layer below is too short for counts as its own, zeros that are there.
    let below = view.disk().layer_size(extent.depth + 1);
    let present = extent.present || below.is_some_and(|size| extent.start >= size);
    let last = end.is_some_and(|end| end >= view.size());
    Some([present, extent.zero, extent.data, extent.compressed, extent.offset.is_some(), last])
}
