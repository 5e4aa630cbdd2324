//! Against the simulated hypervisor.

mod crash;
mod pivots;
mod preflight;
mod stage;
mod taking;
