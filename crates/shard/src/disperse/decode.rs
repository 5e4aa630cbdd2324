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

/// The planes of the most chunks that there can be. Numbers of planes fit into a byte, and below this power of two
/// no index has to be checked.
const PLANES: usize = MOST_DATA * BITS;

/// Decodes the fragments of one choice of bricks.
///
/// Decoding is a list of exclusive ors of planes, made once: which planes of the fragments make up each plane of
/// the stripe. There is no look-up for a byte, and nothing but the plan is branched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoder {
    /// Fragments needed.
    data: usize,
    /// For each plane of a stripe, one after the other: the planes of the fragments that it is the sum of.
    terms: Vec<u8>,
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
                    let from = (0..BITS).filter(|from| product(factor, 1 << from) >> bit & 1 == 1);
                    terms.extend(from.filter_map(|from| u8::try_from(fragment * BITS + from).ok()));
                }
                ends.push(terms.len());
            }
        }
        Self { data: matrix.len(), terms, ends }
    }

    /// How many exclusive ors of planes a stripe takes: what decoding costs.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.terms.len()
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
        let mut planes = [[0; WORDS * AT_ONCE]; PLANES];
        let batches = stripes.chunks_mut(AT_ONCE * self.data * CHUNK);
        for (number, batch) in batches.enumerate() {
            for (fragment, planes) in fragments.iter().zip(planes.as_chunks_mut::<BITS>().0) {
                let rest = &fragment[number * AT_ONCE * CHUNK..];
                load(&rest[..rest.len().min(AT_ONCE * CHUNK)], planes);
            }
            self.sum(&planes, batch);
        }
    }

    /// Makes the planes of a batch of stripes.
    fn sum(&self, planes: &[Plane; PLANES], batch: &mut [u8]) {
        let mut start = 0;
        for (plane, &end) in self.ends.iter().enumerate() {
            let mut sum = [0; WORDS * AT_ONCE];
            for &term in &self.terms[start..end] {
                let term = &planes[usize::from(term) % PLANES];
                for (sum, word) in sum.iter_mut().zip(term) {
                    *sum ^= word;
                }
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

/// Puts the planes of a fragment's chunks, at most as many as are decoded at a time, side by side.
fn load(chunks: &[u8], planes: &mut [Plane; BITS]) {
    for (at, chunk) in chunks.chunks_exact(CHUNK).enumerate() {
        for (plane, bytes) in planes.iter_mut().zip(chunk.chunks_exact(WORDS * 8)) {
            let words = &mut plane[at * WORDS..][..WORDS];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
    }
}
