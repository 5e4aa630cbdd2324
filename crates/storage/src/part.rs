//! Where a storage's bytes lie in files of this system.

use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

use crate::FileStorage;

/// Part of an open file whose bytes are those of a storage: the kernel can copy or share them.
#[derive(Debug)]
pub struct FilePart<'a> {
    file: Holder<'a>,
    /// Where in the file the part begins, in bytes.
    pub offset: u64,
    /// How many bytes it has; at least 1.
    pub len: u64,
}

#[derive(Debug)]
enum Holder<'a> {
    Borrowed(&'a File),
    /// Files that are closed when others are needed stay open as long as their part is used.
    Shared(Arc<FileStorage>),
}

impl<'a> FilePart<'a> {
    /// Part of a file that is open as long as the storage is.
    #[must_use]
    pub const fn of(file: &'a File, offset: u64, len: u64) -> Self {
        Self { file: Holder::Borrowed(file), offset, len }
    }

    /// Part of a file that is kept open by this.
    #[must_use]
    pub const fn shared(file: Arc<FileStorage>, offset: u64, len: u64) -> Self {
        Self { file: Holder::Shared(file), offset, len }
    }
}

/// The file.
impl Deref for FilePart<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match &self.file {
            Holder::Borrowed(file) => file,
            Holder::Shared(storage) => storage.file(),
        }
    }
}
