//! Measuring two ways of doing the same, side by side in one run.
//!
//! Each way runs several times, in turns, so that what else the machine does meets both; the best wall time
//! counts, since nothing makes a program faster than it is. The processor time shown is the run's whose wall time that is.
#![forbid(unsafe_code)]

pub mod cost;
pub mod images;
pub mod kept;
pub mod peers;
pub mod side_by_side;
pub mod suites;
