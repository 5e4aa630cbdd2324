//! Going through the orders.

use super::algebra::{Space, combine, constant_term, cross_ratio, prediction};
use super::sample::Sample;
use crate::disperse::field::{inverse, product};
use crate::disperse::{CHUNK, Code};

/// So many steps are taken at most, a brick put to a place each.
const STEPS: usize = 400_000;
/// So many complete orders are decoded at most.
const DECODED: usize = 5000;
/// So many samples are asked at each step: those with the fewest chunks used.
const ASKED: usize = 6;
/// What a qcow2 image begins with, its version left out.
const MAGIC: [u8; 4] = *b"QFI\xfb";

/// What came of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The place in its set of each brick, counted from 0, in the order in which the bricks were given.
    One(Vec<usize>),
    /// Several orders contradict nothing: two of them.
    Several([Vec<usize>; 2]),
    /// None does: the files are not whole, or not of one set.
    None,
    /// There are too many to go through.
    TooMany,
}

/// The order of bricks of a set with this code by stripes of its files; in each, one chunk for each brick.
pub(crate) fn search(code: Code, bricks: usize, samples: &[Sample]) -> Found {
    if bricks < code.data() || bricks > code.bricks() {
        return Found::None;
    }
    if samples.is_empty() {
        return Found::TooMany;
    }
    let mut asked: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.used_chunks() < bricks || !sample.used.is_multiple_of(CHUNK))
        .collect();
    asked.sort_by_key(|sample| sample.used);
    let full = asked.iter().position(|sample| sample.used_chunks() == code.data());
    let (few, rest) = asked.split_at(full.unwrap_or(asked.len()));
    let asked: Vec<&Sample> = few.iter().take(ASKED).chain(rest.iter().take(ASKED)).copied().collect();
    let mut search = Search {
        code,
        bricks,
        samples,
        asked,
        spare: Spare::of(code, bricks, samples),
        points: Vec::with_capacity(bricks),
        found: Vec::new(),
        steps: 0,
        decoded: 0,
    };
    if !search.go() {
        return Found::TooMany;
    }
    let mut found = search.found;
    if found.len() > 1 {
        let shown = found.iter().map(|order| shows_image(code, order, samples)).collect::<Vec<_>>();
        let best = shown.iter().max().copied().unwrap_or_default();
        let mut shown = shown.into_iter();
        found.retain(|_| shown.next() == Some(best));
    }
    match (found.pop(), found.pop()) {
        (None, _) => Found::None,
        (Some(only), None) => Found::One(only),
        (Some(first), Some(second)) => Found::Several([first, second]),
    }
}

/// What fragments to spare tell without a guess.
#[derive(Debug, Default)]
struct Spare {
    /// Of each brick from the fourth on: the cross ratio of the first three's places and its own.
    ratios: Vec<Option<u8>>,
    /// Of each brick: how it weighs in what all fragments add up to nothing by, where all are here and one is to spare.
    weights: Vec<u8>,
}

impl Spare {
    fn of(code: Code, bricks: usize, samples: &[Sample]) -> Self {
        let mut space = Space::default();
        for sample in samples {
            sample.few.iter().for_each(|e| space.add(&sample.column(*e)));
        }
        // With fewer it is not known what the code allows; with more it is no code's.
        if space.rank() != code.data() {
            return Self::default();
        }
        match bricks - code.data() {
            1 if bricks == code.bricks() => {
                Self { weights: weights(&space, bricks).unwrap_or_default(), ..Self::default() }
            }
            0 | 1 => Self::default(),
            _ => Self { ratios: (3..bricks).map(|d| ratio(&space, bricks, d)).collect(), ..Self::default() },
        }
    }

    /// Whether the brick that was put to the last of `points` can be there.
    fn allows(&self, points: &[u8], all: usize) -> bool {
        let [first, others @ ..] = points else { return true };
        let Some((last, between)) = others.split_last() else { return true };
        if let (Some(&of_first), Some(&of_last)) = (self.weights.first(), self.weights.get(points.len() - 1))
        {
            let due = |point: u8| {
                (1..=all)
                    .filter_map(|x| u8::try_from(x).ok())
                    .filter(|x| *x != point)
                    .fold(1, |of, x| product(of, x ^ point))
            };
            // A weight is the inverse of what is due, all times one factor.
            if product(of_first, due(*first)) != product(of_last, due(*last)) {
                return false;
            }
        }
        let ratio = points.len().checked_sub(4).and_then(|at| self.ratios.get(at)).copied().flatten();
        match (ratio, between) {
            (Some(ratio), [second, third, ..]) => cross_ratio(*first, *second, *third, *last) == Some(ratio),
            _ => true,
        }
    }
}

/// The cross ratio of the places of the bricks 0, 1, 2 and `d`: by two words of the code that are zero on as many other
/// bricks as can be, and on one of the first two each.
fn ratio(space: &Space, bricks: usize, d: usize) -> Option<u8> {
    let order: Vec<usize> = [0, 1].into_iter().chain((3..bricks).filter(|i| *i != d)).chain([2, d]).collect();
    let rows = space.reduced(&order)?;
    let value = |row: usize, column: usize| rows.get(row)?.get(column).copied().filter(|value| *value != 0);
    // At c the first is (c - b) times what the second has as (c - a), and a factor that is the same at d.
    let at = |column: usize| Some(product(value(0, column)?, inverse(value(1, column)?)));
    Some(product(at(2)?, inverse(at(d)?)))
}

/// How each brick weighs, where one fragment is to spare.
fn weights(space: &Space, bricks: usize) -> Option<Vec<u8>> {
    let order: Vec<usize> = (0..bricks).collect();
    let rows = space.reduced(&order)?;
    let last = rows.iter().map(|row| row.last().copied().filter(|value| *value != 0));
    last.chain([Some(1)]).collect()
}

struct Search<'a> {
    code: Code,
    bricks: usize,
    samples: &'a [Sample],
    asked: Vec<&'a Sample>,
    spare: Spare,
    /// The `x` of each brick that has a place.
    points: Vec<u8>,
    found: Vec<Vec<usize>>,
    steps: usize,
    decoded: usize,
}

impl Search<'_> {
    /// Puts the next brick to each place that is free; `false` where there were too many steps.
    fn go(&mut self) -> bool {
        if self.points.len() == self.bricks {
            self.decoded += 1;
            let order: Vec<usize> = self.points.iter().map(|x| usize::from(*x) - 1).collect();
            if decodes(self.code, &order, self.samples) {
                self.found.push(order);
            }
            return self.decoded <= DECODED;
        }
        for x in (1..=self.code.bricks()).filter_map(|x| u8::try_from(x).ok()) {
            if self.points.contains(&x) {
                continue;
            }
            self.steps += 1;
            if self.steps > STEPS {
                return false;
            }
            self.points.push(x);
            let fits = self.spare.allows(&self.points, self.code.bricks())
                && self.asked.iter().all(|sample| self.fits(sample));
            let went_on = !fits || self.go();
            self.points.pop();
            if !went_on {
                return false;
            }
        }
        true
    }

    /// Whether the last brick's chunk is what the others' make it, as far as they do.
    fn fits(&self, sample: &Sample) -> bool {
        let (used, placed) = (sample.used_chunks(), self.points.len());
        let shift = self.code.data() - used;
        let value = |brick: usize, e: usize| {
            sample.elements.get(brick).and_then(|chunk| chunk.get(e)).copied().unwrap_or(0)
        };
        let values = |e: usize| (0..used).map(move |brick| value(brick, e));
        if placed == used && !sample.used.is_multiple_of(CHUNK) {
            let Some(factors) = constant_term(&self.points, shift) else { return false };
            return sample.few.iter().all(|&e| combine(&factors, values(e)) & !sample.allowed_bits(e) == 0);
        }
        let (Some(points), Some(&x)) = (self.points.get(..used), self.points.last()) else { return true };
        if placed <= used {
            return true;
        }
        let Some(factors) = prediction(points, shift, x) else { return false };
        sample.few.iter().all(|&e| combine(&factors, values(e)) == value(placed - 1, e))
    }
}

/// Whether all samples decode in this order to what is zeros past the end, the same by the first and by the last fragments.
fn decodes(code: Code, order: &[usize], samples: &[Sample]) -> bool {
    let needed = code.data();
    let last = order.len() - needed;
    let (Some(head), Some(tail)) = (
        order.get(..needed).and_then(|order| code.decoder(order)),
        order.get(last..).and_then(|order| code.decoder(order)),
    ) else {
        return false;
    };
    let (mut stripe, mut again) = (vec![0; code.stripe()], vec![0; code.stripe()]);
    samples.iter().all(|sample| {
        let chunks: Vec<&[u8]> = sample.chunks.iter().map(Vec::as_slice).collect();
        let (Some(first), Some(others)) = (chunks.get(..needed), chunks.get(last..)) else { return false };
        head.decode(first, &mut stripe);
        let padded = stripe.get(sample.used..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        if last > 0 {
            tail.decode(others, &mut again);
        }
        padded && (last == 0 || stripe == again)
    })
}

/// What a file shows in one order of a qcow2 image, the more the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Image {
    #[default]
    No,
    /// It begins with the magic and a version. That is in the first chunk only, which is the same in orders whose places
    /// are all off by one and the same exclusive or.
    Magic,
    /// The last chunk of its first stripe is zeros, too, as what follows a header is in its cluster.
    Header,
}

/// How much of an image any file shows in this order.
fn shows_image(code: Code, order: &[usize], samples: &[Sample]) -> Image {
    let Some(decoder) = order.get(..code.data()).and_then(|order| code.decoder(order)) else {
        return Image::No;
    };
    let mut stripe = vec![0; code.stripe()];
    let heads = samples.iter().filter(|sample| sample.head).map(|sample| {
        let chunks: Vec<&[u8]> = sample.chunks.iter().take(code.data()).map(Vec::as_slice).collect();
        decoder.decode(&chunks, &mut stripe);
        if !stripe.starts_with(&MAGIC) || !matches!(stripe.get(4..8), Some([0, 0, 0, 2 | 3])) {
            return Image::No;
        }
        let last = stripe.get(code.stripe() - CHUNK..).unwrap_or_default();
        if last.iter().all(|byte| *byte == 0) { Image::Header } else { Image::Magic }
    });
    heads.max().unwrap_or_default()
}
