//! Xattrs of a file or directory of a brick.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::raw::dump;

/// Longest list of names, and longest value, that Linux allows.
const LIMIT: usize = 64 << 10;

/// The xattrs of one file or directory.
#[derive(Debug)]
pub(crate) enum Xattrs<'a> {
    /// From the file system: the names, each with a NUL; values are fetched when asked for.
    FileSystem(Vec<u8>),
    /// From a dump; `None` where the dump does not have the file.
    Dump(Option<&'a dump::Xattrs>),
}

impl Xattrs<'_> {
    /// The names of an open file's or directory's xattrs.
    pub(crate) fn of_fd(fd: impl AsFd) -> Result<Self, Errno> {
        let mut names = vec![0; 1024];
        loop {
            match rustix::fs::flistxattr(fd.as_fd(), names.as_mut_slice()) {
                Ok(len) => {
                    names.truncate(len);
                    return Ok(Self::FileSystem(names));
                }
                Err(Errno::RANGE) if names.len() < LIMIT => names.resize(LIMIT, 0),
                // A file system without xattrs has none.
                Err(Errno::OPNOTSUPP) => return Ok(Self::FileSystem(Vec::new())),
                Err(error) => return Err(error),
            }
        }
    }

    /// All names, in no particular order. One that is not UTF-8 is none of Gluster's, and left out.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::FileSystem(list) => list
                .split(|&byte| byte == 0)
                .filter(|name| !name.is_empty())
                .filter_map(|name| std::str::from_utf8(name).ok())
                .collect(),
            Self::Dump(xattrs) => {
                xattrs.iter().flat_map(|xattrs| xattrs.keys()).map(String::as_str).collect()
            }
        }
    }

    /// The value of xattr `name`, of the file `fd` that these are the xattrs of.
    pub(crate) fn get(&self, fd: impl AsFd, name: &str) -> Result<Option<Vec<u8>>, Errno> {
        if !self.has(name) {
            return Ok(None);
        }
        match self {
            Self::Dump(xattrs) => Ok(xattrs.and_then(|xattrs| xattrs.get(name)).cloned()),
            Self::FileSystem(_) => {
                let mut value = vec![0; 64];
                loop {
                    match rustix::fs::fgetxattr(fd.as_fd(), name, value.as_mut_slice()) {
                        Ok(len) => {
                            value.truncate(len);
                            return Ok(Some(value));
                        }
                        Err(Errno::RANGE) if value.len() < LIMIT => value.resize(LIMIT, 0),
                        Err(Errno::NODATA) => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::FileSystem(list) => list.split(|&byte| byte == 0).any(|have| have == name.as_bytes()),
            Self::Dump(xattrs) => xattrs.is_some_and(|xattrs| xattrs.contains_key(name)),
        }
    }
}
