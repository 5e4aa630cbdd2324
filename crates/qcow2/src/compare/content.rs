//! Where bytes differ.

use std::collections::VecDeque;
use std::iter::FusedIterator;

use stillpoint_storage::Storage;

use super::pairs::{Pair, Pairs};
use super::{CompareError, CompareOptions, Difference, Side};
use crate::GuestView;
use crate::map::MapExtent;
use crate::parallel::in_parallel;
use crate::windows::{Window, Windows};

/// Bytes between two differences that make them two.
const SECTOR: usize = 512;

/// All ranges in which two disks differ, in order.
///
/// The shorter disk is compared as if it went on as zeros. Memory: 8 MiB for each thread, and the differences of
/// 64 MiB.
#[must_use]
pub fn differences<'a>(
    first: &'a GuestView,
    second: &'a GuestView,
    options: &CompareOptions,
) -> Differences<'a> {
    differences_until(first, second, options, u64::MAX)
}

/// The same of what is before `limit`.
pub(super) fn differences_until<'a>(
    first: &'a GuestView,
    second: &'a GuestView,
    options: &CompareOptions,
    limit: u64,
) -> Differences<'a> {
    Differences {
        sides: (first, second),
        pairs: Pairs::new(first, second),
        threads: options.threads,
        limit,
        rest: (0, 0),
        windows: Windows::default(),
        found: VecDeque::new(),
        reached: 0,
        ended: false,
        failed: None,
    }
}

/// Iterator of [`differences`]. Ends after the first error.
#[derive(Debug)]
pub struct Differences<'a> {
    sides: (&'a GuestView, &'a GuestView),
    pairs: Pairs<'a>,
    threads: usize,
    /// Nothing from here on is looked at.
    limit: u64,
    /// What is left of a range that must be read, from where to where.
    rest: (u64, u64),
    windows: Windows,
    found: VecDeque<Difference>,
    reached: u64,
    ended: bool,
    failed: Option<CompareError>,
}

impl Differences<'_> {
    /// How far it is: all before this is decided, in bytes.
    #[must_use]
    pub const fn reached(&self) -> u64 {
        self.reached
    }

    /// The first byte that differs, of those that are decided.
    pub(crate) fn first(&self) -> Option<u64> {
        self.found.front().map(|difference| difference.start)
    }

    /// Goes on by a batch; `false` at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, CompareError> {
        match self.failed.take() {
            Some(error) => Err(error),
            None if self.ended => Ok(false),
            None => self.batch().map(|()| true),
        }
    }

    /// Gathers what must be read, and compares it.
    fn batch(&mut self) -> Result<(), CompareError> {
        while !self.windows.is_full() && !self.ended {
            let (at, end) = self.rest;
            if at < end {
                self.rest.0 += self.windows.add(at, end - at);
                self.reached = self.rest.0;
                continue;
            }
            match self.pairs.next() {
                Some(Ok(pair)) if pair.start < self.limit => {
                    let end = (pair.start + pair.length).min(self.limit);
                    if self.is_known_same(&pair) {
                        self.reached = end;
                    } else {
                        self.rest = (pair.start, end);
                    }
                }
                Some(Err(error)) if self.reached < self.limit => {
                    // What comes before the fault is compared first.
                    self.ended = true;
                    self.failed = Some(error);
                }
                _ => self.ended = true,
            }
        }
        let windows = self.windows.take(self.ended);
        let sides = self.sides;
        let found = in_parallel(&windows, self.threads, |window| compare_window(sides, window));
        let found = found.inspect_err(|_| self.ended = true)?;
        for difference in found.into_iter().flatten() {
            match self.found.back_mut() {
                // As within a window: no whole sector in between.
                Some(last) if sector_of(difference.start) <= last.end().next_multiple_of(SECTOR as u64) => {
                    last.length = difference.end() - last.start;
                }
                _ => self.found.push_back(difference),
            }
        }
        Ok(())
    }

    /// Whether a range is the same on both sides without its bytes being read.
    fn is_known_same(&self, pair: &Pair) -> bool {
        let zeros = |side: &Option<MapExtent>| side.is_none_or(|extent| extent.zero);
        let same_place = || match (&pair.first, &pair.second) {
            (Some(first), Some(second)) => self.sides.0.is_same_place(first, self.sides.1, second),
            _ => false,
        };
        (zeros(&pair.first) && zeros(&pair.second)) || same_place()
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Difference, CompareError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // The last one may go on in the next batch.
            if self.found.len() > 1 || (self.ended && !self.found.is_empty()) {
                return self.found.pop_front().map(Ok);
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for Differences<'_> {}

/// Where the sector begins that `at` is in.
const fn sector_of(at: u64) -> u64 {
    at - at % SECTOR as u64
}

/// What differs in the ranges of a window.
fn compare_window(
    (first, second): (&GuestView, &GuestView),
    window: &Window,
) -> Result<Vec<Difference>, CompareError> {
    let mut found: Vec<Difference> = Vec::new();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for &(start, len) in window {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        read(first, Side::First, start, len, &mut a)?;
        read(second, Side::Second, start, len, &mut b)?;
        if a == b {
            continue;
        }
        let sectors = a.chunks(SECTOR).zip(b.chunks(SECTOR));
        for (at, (a, b)) in (start..).step_by(SECTOR).zip(sectors).filter(|(_, (a, b))| a != b) {
            let differs = |(a, b): (&u8, &u8)| a != b;
            let head = a.iter().zip(b).position(differs).unwrap_or(0) as u64;
            let tail = a.iter().zip(b).rposition(differs).unwrap_or(0) as u64 + 1;
            match found.last_mut() {
                // No whole sector in between.
                Some(last) if at == last.end().next_multiple_of(SECTOR as u64) => {
                    last.length = at + tail - last.start;
                }
                _ => found.push(Difference { start: at + head, length: tail - head }),
            }
        }
    }
    Ok(found)
}

/// Fills `bytes` with `len` bytes from `offset` on, zeros past the end.
fn read(
    view: &GuestView,
    side: Side,
    offset: u64,
    len: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), CompareError> {
    bytes.clear();
    bytes.resize(len, 0);
    let there = usize::try_from(view.size().saturating_sub(offset)).unwrap_or(usize::MAX).min(len);
    let bytes = bytes.get_mut(..there).unwrap_or_default();
    view.disk().read_exact_at(offset, bytes).map_err(|source| CompareError::Read { side, offset, source })
}
