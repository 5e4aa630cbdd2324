//! A simulated hypervisor and replication over real on-disk formats.
#![forbid(unsafe_code)]

pub mod hypervisor;
pub mod replication;
