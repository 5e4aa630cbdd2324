//! Reads qcow2 images: header, extensions, snapshots, backing chain.
#![forbid(unsafe_code)]
