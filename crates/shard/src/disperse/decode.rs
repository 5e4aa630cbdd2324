//! Fragments into stripes.

use super::field::product;
use super::{CHUNK, MOST_DATA};

/// Planes of a chunk: bits of an element.
const BITS: usize = 8;
/// Words of a plane.
const WORDS: usize = CHUNK / BITS / 8;
/// Stripes that are decoded at a time, so that a plane of all of them fills half of the smallest set of vector
/// registers (16 of 16 bytes) and the sum stays in them.
const AT_ONCE: usize = 2;

/// One plane of all stripes that are decoded at a time.
type Plane = [u64; WORDS * AT_ONCE];

/// Planes that are summed up in advance: all sums of this many planes of a fragment are made once for a batch of
/// stripes, so that each plane of a stripe takes one exclusive or where it took two on average.
const HALF: usize = BITS / 2;
/// Sums of half a fragment's planes, that of none included.
const SUMS: usize = 1 << HALF;

/// The sums of the most fragments that there can be. Below this power of two no index has to be checked.
const ALL_SUMS: usize = MOST_DATA * 2 * SUMS;

/// Decodes the fragments of one choice of bricks.
///
/// Decoding is a list of exclusive ors of planes, made once: which sums of planes of the fragments make up each plane
/// of the stripe. There is no look-up for a byte, and nothing but the list is branched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoder {
    /// Fragments needed.
    data: usize,
    /// For each plane of a stripe, one after the other: the sums that make it up.
    terms: Vec<u16>,
    /// Where in `terms` each plane's end.
    ends: Vec<usize>,
}

impl Decoder {
    /// Multiplies fragments with `matrix`, which is square and has at most [`MOST_DATA`] rows.
    pub(super) fn new(matrix: &[Vec<u8>]) -> Self {
        let (mut terms, mut ends) = (Vec::new(), Vec::with_capacity(matrix.len() * BITS));
        for row in matrix {
            for bit in 0..BITS {
                for (fragment, &factor) in row.iter().enumerate() {
                    // Bit `from` of an element adds `factor << from` to its product.
                    let adds = |from: &usize| product(factor, 1 << from) >> bit & 1 == 1;
                    for half in 0..2 {
                        let planes = (half * HALF..(half + 1) * HALF).filter(adds);
                        let sum = planes.fold(0, |sum, from| sum | 1 << (from % HALF));
                        let term = u16::try_from((fragment * 2 + half) * SUMS + sum);
                        terms.extend(term.ok().filter(|_| sum > 0));
                    }
                }
                ends.push(terms.len());
            }
        }
        Self { data: matrix.len(), terms, ends }
    }

    /// Decodes whole stripes. `fragments` holds the same part of each fragment, a multiple of [`CHUNK`] bytes, in the
    /// order in which the bricks were given; `stripes` is as long as all of them together.
    ///
    /// # Panics
    /// When there are more or fewer fragments than needed, or a length is another.
    pub fn decode(&self, fragments: &[&[u8]], stripes: &mut [u8]) {
        let len = stripes.len() / self.data;
        assert_eq!(fragments.len(), self.data, "as many fragments as are needed");
        assert!(len.is_multiple_of(CHUNK) && len * self.data == stripes.len(), "whole stripes");
        assert!(fragments.iter().all(|fragment| fragment.len() == len), "fragments of one length");
        let mut sums = [[0; WORDS * AT_ONCE]; ALL_SUMS];
        let batches = stripes.chunks_mut(AT_ONCE * self.data * CHUNK);
        for (number, batch) in batches.enumerate() {
            for (fragment, sums) in fragments.iter().zip(sums.as_chunks_mut::<{ 2 * SUMS }>().0) {
                let rest = &fragment[number * AT_ONCE * CHUNK..];
                prepare(&rest[..rest.len().min(AT_ONCE * CHUNK)], sums);
            }
            self.sum(&sums, batch);
        }
    }

    /// Makes the planes of a batch of stripes.
    fn sum(&self, sums: &[Plane; ALL_SUMS], batch: &mut [u8]) {
        let mut start = 0;
        for (plane, &end) in self.ends.iter().enumerate() {
            let mut sum = [0; WORDS * AT_ONCE];
            for &term in &self.terms[start..end] {
                add(&mut sum, &sums[usize::from(term) % ALL_SUMS]);
            }
            start = end;
            let stripes = batch.chunks_exact_mut(self.data * CHUNK);
            for (stripe, words) in stripes.zip(sum.as_chunks::<WORDS>().0) {
                let to = &mut stripe[plane * WORDS * 8..][..WORDS * 8];
                for (to, word) in to.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                    *to = word.to_le_bytes();
                }
            }
        }
    }
}

#[inline]
fn add(sum: &mut Plane, term: &Plane) {
    for (sum, word) in sum.iter_mut().zip(term) {
        *sum ^= word;
    }
}

/// All sums of either half of the planes of a fragment's chunks. There are at most as many chunks as are decoded at a
/// time; they lie side by side in a plane.
fn prepare(chunks: &[u8], sums: &mut [Plane; 2 * SUMS]) {
    let mut planes = [[0; WORDS * AT_ONCE]; BITS];
    for (at, chunk) in chunks.chunks_exact(CHUNK).enumerate() {
        for (plane, bytes) in planes.iter_mut().zip(chunk.chunks_exact(WORDS * 8)) {
            let words = &mut plane[at * WORDS..][..WORDS];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
    }
    for (planes, sums) in planes.as_chunks::<HALF>().0.iter().zip(sums.as_chunks_mut::<SUMS>().0) {
        for which in 1..SUMS {
            // The sum without its lowest plane, and that plane.
            let mut sum = sums[which & (which - 1)];
            add(&mut sum, &planes[which.trailing_zeros() as usize]);
            sums[which] = sum;
        }
    }
}
