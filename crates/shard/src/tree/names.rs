//! The names in a directory.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;
use rustix::io::Errno;

/// Calls `each` with every name in the directory but `.` and `..`, in no particular order. Memory does not grow
/// with the directory. `dir` has to be opened for this alone: its position moves.
pub(crate) fn for_each_name(dir: impl AsFd, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
    let mut entries = RawDir::new(dir, buffer.as_mut_slice());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name);
        }
    }
    Ok(())
}
