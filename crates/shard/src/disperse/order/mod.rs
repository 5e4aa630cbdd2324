//! In which order a dispersed set's bricks are, found and proven by what their fragments decode to.
//!
//! A stripe's chunks are the coefficients of a polynomial, and the fragment of brick `i` is its value at `x = i + 1`. In
//! another order the fragments are another polynomial's values, and what they decode to is other bytes. These are told
//! apart by what is known of a file:
//!
//! - what is past its end in its last stripe is zeros. With `m` of `K` chunks used, a fragment is `x^(K-m)` times a polynomial
//!   of degree below `m`, so that any `m` of them predict each other one; and within the last chunk used, the planes of
//!   the bytes past the end are zeros.
//! - with more fragments than are needed, any that suffice predict the others.
//! - a qcow2 image begins with its magic and version, and its header is followed by zeros. With 6 bricks (and 14) that, or
//!   the end of a file, is needed: backwards they are a code of the same words, since `x ^ 7` for `x` from 1 to 6 is 6 to 1.
//!
//! Orders are gone through a brick at a time, and given up at the first that contradicts. What is known without any
//! guess narrows that to few: of any four bricks the cross ratio of their `x`, where two fragments or more are to spare.
//!
//! An order counts as proven where it alone contradicts nothing: the true one can't, of files that are whole.

mod algebra;
mod sample;
mod search;

pub(crate) use sample::Sample;
pub(crate) use search::{Found, search};
