//! Reads files of a sharded GlusterFS volume straight from its bricks.
#![forbid(unsafe_code)]
