//! One stripe of a file, as the bricks have it.

use crate::disperse::CHUNK;

/// Elements that are looked at before an order is complete.
const FEW: usize = 24;

/// The elements of one chunk.
pub(super) type Elements = Vec<u8>;

/// One stripe of a file, as the bricks have it.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Each brick's chunk as it is, in the order in which the bricks were given.
    pub(super) chunks: Vec<Vec<u8>>,
    /// The same, its elements one byte each.
    pub(super) elements: Vec<Elements>,
    /// Bytes of the stripe that are the file's.
    pub(super) used: usize,
    /// Whether the file begins with it.
    pub(super) head: bool,
    /// Some elements that are not zero on all bricks.
    pub(super) few: Vec<usize>,
}

impl Sample {
    /// A stripe of `data` chunks of which `used` bytes are the file's; `None` where nothing but zeros is stored, which tells
    /// nothing.
    pub(crate) fn new(chunks: Vec<Vec<u8>>, used: usize, head: bool) -> Option<Self> {
        if chunks.iter().any(|chunk| chunk.len() != CHUNK) {
            return None;
        }
        let elements: Vec<Elements> = chunks.iter().map(|chunk| elements_of(chunk)).collect();
        let lively: Vec<usize> = (0..CHUNK)
            .filter(|e| elements.iter().any(|chunk| chunk.get(*e).is_some_and(|value| *value != 0)))
            .collect();
        if lively.is_empty() {
            return None;
        }
        let step = lively.len().div_ceil(FEW);
        let few = lively.into_iter().step_by(step).collect();
        Some(Self { chunks, elements, used, head, few })
    }

    /// How many chunks of the stripe hold bytes of the file.
    pub(super) fn used_chunks(&self) -> usize {
        self.used.div_ceil(CHUNK)
    }

    /// The bits of element `e` of the last chunk used that are the file's: bit `p` is a bit of byte `p * 64 + e / 8`.
    pub(super) fn allowed_bits(&self, e: usize) -> u8 {
        let within = self.used - (self.used_chunks().max(1) - 1) * CHUNK;
        (0..8).filter(|plane| plane * (CHUNK / 8) + e / 8 < within).fold(0, |bits, plane| bits | 1 << plane)
    }

    /// One element of each brick's chunk.
    pub(super) fn column(&self, e: usize) -> Vec<u8> {
        self.elements.iter().map(|chunk| chunk.get(e).copied().unwrap_or(0)).collect()
    }
}

/// Element `e` of a chunk has as its bit `p` the bit `e % 8` of byte `e / 8` of plane `p`, of 64 bytes.
fn elements_of(chunk: &[u8]) -> Elements {
    let bit =
        |plane: usize, e: usize| chunk.get(plane * (CHUNK / 8) + e / 8).map_or(0, |byte| byte >> (e % 8) & 1);
    (0..CHUNK).map(|e| (0..8).fold(0, |value, plane| value | bit(plane, e) << plane)).collect()
}
