//! What holds bytes.
//!
//! [`Storage`] is the one small trait on which the readers of this project stand: a length, reads at an
//! offset, how much is allocated, and where the data, the holes and the unknown parts are. A local file, a
//! byte slice, a memory map and a file put together from the shards on a Gluster volume's bricks all look the
//! same through it, so that an image opens on any of them with no glue.
//!
//! ```
//! use stillpoint_storage::{ExtentKind, Storage};
//!
//! let bytes: &[u8] = b"still point";
//! let mut word = [0; 5];
//! assert_eq!(bytes.read_at(6, &mut word)?, 5);
//! assert_eq!(&word, b"point");
//! assert_eq!(bytes.next_extent(0)?.kind, ExtentKind::Data);
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

mod extent;
mod file;
mod memory;
mod reader;
mod storage;

pub use extent::{Extent, ExtentKind, Extents, extents};
pub use file::FileStorage;
pub use reader::StorageReader;
pub use storage::Storage;
