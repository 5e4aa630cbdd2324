//! The command `stillpoint`.
#![forbid(unsafe_code)]
fn main() {}
