//! Volumes built by the testkit, read by this crate.
// What helpers of tests unwrap fails the test, as it should.
#![allow(clippy::unwrap_used)]

mod afr;
mod audit;
mod bricks_alone;
mod code;
mod cost;
mod dht;
mod disperse;
mod hostile;
mod model;
mod names;
mod order;
mod parallel;
mod reflink;
mod remains;
mod split_brain;
mod support;
mod topology;
mod unknown;
mod vectors;
mod volfile;
mod walk;
