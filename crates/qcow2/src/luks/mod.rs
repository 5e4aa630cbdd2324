//! Keys of images that are encrypted with LUKS, and what decrypts their data. With the feature `luks`, which is on
//! by default.
//!
//! What is stored: the LUKS header ([`LuksHeader`]) has up to eight slots, each with the same master key,
//! encrypted with a key that a passphrase gives through PBKDF2, and spread over 4000 stripes so that a part of
//! it is of no use ("LUKS On-Disk Format Specification", 1.2.2, sections 2.3 to 4). The master key encrypts the
//! clusters' sectors of 512 bytes; what makes a sector's initialisation vector is where the sector lies in the
//! image file. Tables and compressed clusters are not encrypted.
//!
//! ```no_run
//! use stillpoint_qcow2::luks::{Keyring, Passphrase};
//! use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, DiskOptions, Source};
//!
//! let chain = Chain::open(Source::open("disk.qcow2")?, None, &DenyAll, &ChainOptions::default())?;
//! let keys = Keyring::new([Passphrase::new("correct horse")]);
//! let disk = Disk::open_with(&chain, None, &DenyAll, &DiskOptions::default().keys(&keys))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ciphers and hashes are those of the `RustCrypto` project; the modes over them are here, so that a sector's
//! blocks are handed to the processor together. A key is believed only when the master key's digest in the header says that it is right.
//! Passphrases and keys are wiped from memory when they are dropped.
//!
//! # What a hostile header can do
//!
//! Tell iterations that would take years: they are counted before the first is done, and refused past
//! [`DEFAULT_MAX_ROUNDS`]. Memory: the key material of a slot, 256 KiB at most.

mod block;
mod error;
mod hash;
mod keyring;
mod sectors;
mod split;
mod unlock;

pub use error::KeyError;
pub use keyring::{DEFAULT_MAX_ROUNDS, Keyring, Passphrase};

#[cfg(doc)]
use crate::tables::LuksHeader;
