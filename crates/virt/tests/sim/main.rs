//! Against the simulated hypervisor.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod crash;
mod internal;
mod offline;
mod pivots;
mod preflight;
mod stage;
#[path = "../suite/mod.rs"]
mod suite;
mod taking;
