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
//!
//! | what | as a [`Storage`] |
//! | --- | --- |
//! | a file or block device | [`FileStorage`]; with the feature `mmap`, `MappedFile` |
//! | bytes in memory | `[u8]`, `Vec<u8>`, [`bytes::Bytes`] |
//! | a stream that can seek | [`StreamStorage`]; the other way round, [`StorageReader`] |
//! | what implements `positioned_io`'s traits | with the feature `positioned-io`, `FromReadAt` and `ToReadAt` |
//! | a reference, `Box` or `Arc` to a storage | the storage itself |
//!
//! What is made of them is written through [`FreshFile`]: a file that is complete, or isn't there. Where the bytes lie in
//! local files ([`Storage::file_part`]), [`KernelCopy`] has the kernel copy or share them.
#![deny(unsafe_code)]

mod extent;
mod file;
mod fresh;
mod kernel_copy;
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod part;
#[cfg(feature = "positioned-io")]
mod positioned;
mod reader;
mod rename;
mod storage;

pub use extent::{Extent, ExtentKind, Extents, extents};
pub use file::FileStorage;
pub use fresh::FreshFile;
pub use kernel_copy::{KernelCopy, KernelCopyError};
#[cfg(feature = "mmap")]
pub use mmap::MappedFile;
pub use part::FilePart;
#[cfg(feature = "positioned-io")]
pub use positioned::{FromReadAt, ToReadAt};
pub use reader::{StorageReader, StreamStorage};
pub use storage::Storage;
