//! What the search for an order has to compute in the field.

use crate::disperse::field::{inverse, power, product};

/// What predicts the value at `x` of `x^shift` times a polynomial of a degree below the number of `points`, from its values
/// at these: their factors. `None` where two points are one, or a point is 0.
pub(super) fn prediction(points: &[u8], shift: usize, x: u8) -> Option<Vec<u8>> {
    let mut factors = Vec::with_capacity(points.len());
    for (j, &point) in points.iter().enumerate() {
        let mut factor = product(power(x, shift), inverse(power(point, shift)));
        for (l, &other) in points.iter().enumerate().filter(|(l, _)| *l != j) {
            debug_assert!(l != j);
            if other == point {
                return None;
            }
            factor = product(factor, product(x ^ other, inverse(point ^ other)));
        }
        if point == 0 {
            return None;
        }
        factors.push(factor);
    }
    Some(factors)
}

/// What gives the constant term of a polynomial from its values times `x^shift` at `points`, of a degree below their number.
pub(super) fn constant_term(points: &[u8], shift: usize) -> Option<Vec<u8>> {
    // Its value at 0, where the shift is taken off each value first.
    let mut factors = prediction(points, 0, 0)?;
    for (factor, &point) in factors.iter_mut().zip(points) {
        *factor = product(*factor, inverse(power(point, shift)));
    }
    Some(factors)
}

/// The sum of the products.
pub(super) fn combine(factors: &[u8], values: impl IntoIterator<Item = u8>) -> u8 {
    factors.iter().zip(values).fold(0, |sum, (factor, value)| sum ^ product(*factor, value))
}

/// The vectors that the bricks' elements are, up to as many as are independent.
#[derive(Debug, Default)]
pub(super) struct Space {
    rows: Vec<Vec<u8>>,
}

impl Space {
    /// Adds a vector, unless it follows from the others.
    pub(super) fn add(&mut self, vector: &[u8]) {
        let mut rest = vector.to_vec();
        for row in &self.rows {
            let Some(pivot) = row.iter().position(|value| *value != 0) else { continue };
            let factor = rest.get(pivot).copied().unwrap_or(0);
            rest.iter_mut().zip(row).for_each(|(value, row)| *value ^= product(*row, factor));
        }
        if let Some(&first) = rest.iter().find(|value| **value != 0) {
            let scale = inverse(first);
            rest.iter_mut().for_each(|value| *value = product(*value, scale));
            self.rows.push(rest);
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.rows.len()
    }

    /// The rows that have a one in one of the first columns of `order` each and zeros in the others of them, reduced; `None`
    /// where these columns are dependent, as those of no code of Gluster's are. Columns stay where they are.
    pub(super) fn reduced(&self, order: &[usize]) -> Option<Vec<Vec<u8>>> {
        let mut rows = self.rows.clone();
        for (i, &column) in order.iter().take(rows.len()).enumerate() {
            let at = |row: &Vec<u8>| row.get(column).copied().unwrap_or(0);
            let pivot = (i..rows.len()).find(|&row| rows.get(row).is_some_and(|row| at(row) != 0))?;
            rows.swap(i, pivot);
            let scale = inverse(at(rows.get(i)?));
            let pivot: Vec<u8> = rows.get(i)?.iter().map(|value| product(*value, scale)).collect();
            for (number, row) in rows.iter_mut().enumerate() {
                if number == i {
                    row.clone_from(&pivot);
                } else {
                    let factor = at(row);
                    row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value ^= product(*pivot, factor));
                }
            }
        }
        Some(rows)
    }
}

/// `(c - b)(d - a) / ((c - a)(d - b))`, where that is defined.
pub(super) fn cross_ratio(a: u8, b: u8, c: u8, d: u8) -> Option<u8> {
    let below = product(c ^ a, d ^ b);
    (below != 0).then(|| product(product(c ^ b, d ^ a), inverse(below)))
}
