//! Uses each library through its public API, and compiles the README's examples.
#![doc = include_str!("../../../README.md")]
#![forbid(unsafe_code)]
