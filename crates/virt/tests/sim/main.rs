//! Against the simulated hypervisor.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod pivots;
mod preflight;
mod stage;
mod taking;
