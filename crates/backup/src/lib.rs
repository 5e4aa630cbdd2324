//! The cycle: still point, replicate, prove, commit, with a journal that survives crashes.
#![forbid(unsafe_code)]
