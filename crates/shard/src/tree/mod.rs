//! A brick's tree, read without ever leaving it and without writing to it.

mod beneath;
mod brick;
mod handle;
mod handles;
mod names;
mod parent;
mod symlink;
mod xattrs;

pub(crate) use brick::{BrickTree, Directory, Found, FoundDirectory, Kind, LINKTO_MODE, OpenFile};
pub(crate) use handle::{Handle, file_identity};
pub(crate) use handles::{each_gfid, hex_names};
pub(crate) use names::for_each_name;
pub(crate) use symlink::Symlink;
pub(crate) use xattrs::Xattrs;
