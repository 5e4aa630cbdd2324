//! How many bricks a set has, and what sizes follow from that.

use super::decode::Decoder;
use super::field;

/// Bytes of a chunk: a stripe's part of a fragment.
pub const CHUNK: usize = 512;

/// The most fragments that Gluster lets a file need.
pub const MOST_DATA: usize = 16;

/// The code of a dispersed subvolume: of `bricks` fragments any `data` suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    bricks: usize,
    data: usize,
}

impl Code {
    /// The code of a set of `bricks` of which `redundancy` may be lost; `None` where Gluster makes no such set.
    ///
    /// It takes at least 1 brick of redundancy, less than half of all (so that two different states of a file can't
    /// both have enough fragments), and at most [`MOST_DATA`] bricks on top of it.
    #[must_use]
    pub const fn new(bricks: usize, redundancy: usize) -> Option<Self> {
        if redundancy == 0 || bricks.div_ceil(2) <= redundancy {
            return None;
        }
        let data = bricks - redundancy;
        if data > MOST_DATA { None } else { Some(Self { bricks, data }) }
    }

    /// How many fragments there are, one a brick.
    #[must_use]
    pub const fn bricks(self) -> usize {
        self.bricks
    }

    /// How many fragments suffice: K.
    #[must_use]
    pub const fn data(self) -> usize {
        self.data
    }

    /// How many fragments may be lost.
    #[must_use]
    pub const fn redundancy(self) -> usize {
        self.bricks - self.data
    }

    /// Bytes in a stripe.
    #[must_use]
    pub const fn stripe(self) -> usize {
        self.data * CHUNK
    }

    /// Bytes in each fragment of a file of `size` bytes. The last stripe is filled up with zeros.
    #[must_use]
    pub const fn fragment_len(self, size: u64) -> u64 {
        // A stripe is longer than a chunk, so that this is at most about half of `size`.
        size.div_ceil(self.stripe() as u64) * CHUNK as u64
    }

    /// What decodes the fragments of the bricks of these numbers, in that order; `None` unless they are `data`
    /// different numbers of bricks.
    #[must_use]
    pub fn decoder(self, bricks: &[usize]) -> Option<Decoder> {
        if bricks.len() != self.data || bricks.iter().any(|&brick| brick >= self.bricks) {
            return None;
        }
        let rows = bricks.iter().map(|&brick| self.row(brick)).collect::<Option<Vec<_>>>()?;
        // Of two equal rows there is no inverse.
        field::inverse_of_matrix(rows).map(|inverse| Decoder::new(&inverse))
    }

    /// The row of the matrix that makes the fragment of a brick.
    fn row(self, brick: usize) -> Option<Vec<u8>> {
        let r = u8::try_from(brick + 1).ok()?;
        Some((0..self.data).rev().map(|power| field::power(r, power)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_more_data_than_redundancy_and_at_most_sixteen_of_it() {
        for (bricks, redundancy, data) in [(3, 1, 2), (6, 2, 4), (11, 3, 8), (17, 1, 16), (31, 15, 16)] {
            assert_eq!(Code::new(bricks, redundancy).unwrap().data(), data);
        }
        for (bricks, redundancy) in
            [(0, 0), (1, 0), (3, 0), (2, 1), (4, 2), (3, 3), (3, 4), (18, 1), (usize::MAX, usize::MAX)]
        {
            assert_eq!(Code::new(bricks, redundancy), None, "{bricks} {redundancy}");
        }
    }

    #[test]
    fn a_fragment_is_a_chunk_for_each_stripe_begun() {
        let code = Code::new(6, 2).unwrap();
        for (size, len) in [(0, 0), (1, 512), (2048, 512), (2049, 1024), (4 << 20, 1 << 20)] {
            assert_eq!(code.fragment_len(size), len, "{size}");
        }
        assert_eq!(Code::new(3, 1).unwrap().fragment_len(u64::MAX), 1 << 63);
    }

    #[test]
    fn only_as_many_different_bricks_as_needed_make_a_decoder() {
        let code = Code::new(3, 1).unwrap();
        assert!(code.decoder(&[2, 0]).is_some());
        for bad in [&[][..], &[0], &[0, 0], &[0, 3], &[0, 1, 2], &[0, usize::MAX]] {
            assert!(code.decoder(bad).is_none(), "{bad:?}");
        }
    }
}
