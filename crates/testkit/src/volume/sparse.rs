//! Files with holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Writes `bytes` to an empty file. Pieces of `piece` bytes that are zeros stay holes.
pub(super) fn write(file: &File, bytes: &[u8], piece: usize) -> io::Result<()> {
    file.set_len(bytes.len() as u64)?;
    for (number, bytes) in bytes.chunks(piece).enumerate() {
        if bytes.iter().any(|&byte| byte != 0) {
            file.write_all_at(bytes, (number * piece) as u64)?;
        }
    }
    Ok(())
}

/// Punches a hole; where the file system can't, zeros are written.
pub(super) fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, offset, len) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let end = (offset + len).min(file.metadata()?.len());
            let zeros = vec![0; end.saturating_sub(offset) as usize];
            file.write_all_at(&zeros, offset)
        }
        other => Ok(other?),
    }
}
