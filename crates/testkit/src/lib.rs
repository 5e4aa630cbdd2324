//! Builders of qcow2 images and Gluster brick trees, and fault injection, for tests.
//!
//! Everything here is written from the formats' descriptions and shares no code with the readers that it tests.
#![forbid(unsafe_code)]

pub mod image;
pub mod volume;
pub mod xfs;
