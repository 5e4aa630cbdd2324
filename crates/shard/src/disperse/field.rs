//! GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1.

/// What x^8 is, the x^8 itself left out.
const REDUCED: u8 = 0x1d;

/// The product of two elements.
pub(super) const fn product(mut a: u8, mut b: u8) -> u8 {
    let mut sum = 0;
    while b != 0 {
        if b & 1 == 1 {
            sum ^= a;
        }
        let carry = a >> 7;
        a = (a << 1) ^ (carry * REDUCED);
        b >>= 1;
    }
    sum
}

/// `a` to the power of `n`.
pub(super) const fn power(a: u8, n: usize) -> u8 {
    let (mut result, mut done) = (1, 0);
    while done < n {
        result = product(result, a);
        done += 1;
    }
    result
}

/// What gives 1 when multiplied with `a`; 0 for 0, which has none.
pub(super) const fn inverse(a: u8) -> u8 {
    // There are 255 elements but zero, so that a^255 is 1.
    power(a, 254)
}

/// The inverse of a square matrix; `None` where it has none.
pub(super) fn inverse_of_matrix(mut rows: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let n = rows.len();
    for (i, row) in rows.iter_mut().enumerate() {
        if row.len() != n {
            return None;
        }
        row.extend((0..n).map(|j| u8::from(i == j)));
    }
    for column in 0..n {
        let pivot = (column..n).find(|&i| rows[i][column] != 0)?;
        rows.swap(column, pivot);
        let scale = inverse(rows[column][column]);
        rows[column].iter_mut().for_each(|value| *value = product(*value, scale));
        let pivot = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = row[column];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value ^= product(*pivot, factor));
        }
    }
    Some(rows.into_iter().map(|row| row[n..].to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_inverses_are_those_of_glusters_field() {
        for (a, b, expected) in
            [(2, 128, 29), (3, 7, 9), (29, 87, 141), (255, 255, 226), (142, 2, 1), (83, 202, 143)]
        {
            assert_eq!((product(a, b), product(b, a)), (expected, expected), "{a} {b}");
        }
        for (a, expected) in [(1, 1), (2, 142), (3, 244), (29, 131), (142, 2), (255, 253)] {
            assert_eq!(inverse(a), expected, "{a}");
        }
        assert!((1..=255).all(|a| product(a, inverse(a)) == 1));
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one_and_a_singular_one_has_none() {
        let matrix = vec![vec![1, 2, 3], vec![0, 9, 1], vec![255, 4, 4]];
        let inverted = inverse_of_matrix(matrix.clone()).unwrap();
        let times = |row: &[u8], column: usize| {
            row.iter().zip(&inverted).fold(0, |sum, (a, other)| sum ^ product(*a, other[column]))
        };
        for (i, row) in matrix.iter().enumerate() {
            assert!((0..3).all(|column| times(row, column) == u8::from(i == column)), "row {i}");
        }
        assert_eq!(inverse_of_matrix(vec![vec![1, 2], vec![2, 4]]), None);
        assert_eq!(inverse_of_matrix(vec![vec![1], vec![2, 4]]), None);
    }
}
