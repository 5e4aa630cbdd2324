//! A GlusterFS geo-replication session driven to a checkpoint that can be believed.
#![forbid(unsafe_code)]
