//! The rules of the format: each limit at the limit and one past it, against our reader and against qemu-img;
//! what the independent writer writes, read back; and damage of every kind.

mod beyond_the_disk;
mod cases;
mod chains;
mod compare;
mod differential;
mod extract;
mod guest_data;
mod lenient;
mod lenient_chains;
mod limits;
mod mutation;
mod plans;
mod reflink;
mod round_trip;
mod streams;
mod table_limits;
