//! The proof: what both sites hold, compared.

mod compare;
mod places;

pub use compare::{
    Compared, Difference, FileDifference, Proof, SCHEMA_VERSION, ShardDifference, ShardDifferenceKind,
    compare,
};
pub use places::{Place, locate};
