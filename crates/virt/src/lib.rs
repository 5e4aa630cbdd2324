//! A libvirt domain's consistent point and its undoing.
#![deny(unsafe_code)]
