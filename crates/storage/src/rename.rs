//! A complete file gets its final name.

use std::io;
use std::path::Path;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

/// Renames a file, and refuses to replace one: nothing is lost to a name that was taken meanwhile. The error is
/// [`io::ErrorKind::AlreadyExists`] then; else it is what `renameat2(2)`, or `link(2)` and `unlink(2)` on file systems
/// that don't know its flag, say.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        std::fs::write(&new, "new").expect("written");
        std::fs::write(&old, "old").expect("written");
        let refused = rename_new(&new, &old).expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&old).expect("it stayed"), b"old");
        let free = directory.path().join("free");
        rename_new(&new, &free).expect("the name is free");
        assert_eq!((std::fs::read(&free).expect("renamed"), new.exists()), (b"new".to_vec(), false));
    }
}
