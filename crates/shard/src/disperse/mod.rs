//! Dispersed subvolumes: how a file becomes fragments, and fragments a file again.
//!
//! Gluster cuts a file into stripes of K chunks of 512 bytes each, and multiplies each stripe with a matrix over
//! GF(2^8): of N bricks, brick `i` (counted from 0) holds row `i + 1`, which is
//! `[r^(K-1), r^(K-2), …, r^0]` for `r = i + 1`. Any K rows make up a matrix that has an inverse, so any K
//! fragments give the file back. No row is the file's own bytes: reading always means decoding.
//!
//! The bytes of a chunk are not the field's elements. A chunk is eight planes of 64 bytes; element `e` of its 512 has
//! as its bit `p` the bit `e % 8` of byte `e / 8` of plane `p`. Multiplying with a constant is then the same few
//! exclusive ors of whole planes for all 512 elements.

mod code;
mod decode;
mod field;
mod order;
mod stored;
mod table;

pub use code::{CHUNK, Code, MOST_DATA};
pub use decode::Decoder;
pub(crate) use order::{Found as FoundOrder, Sample, search as search_order};
pub(crate) use stored::{Fragment, Fragments, Trouble};
pub use table::{FragmentRow, FragmentState, FragmentTable};
