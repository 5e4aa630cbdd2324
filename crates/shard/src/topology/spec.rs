//! Files that describe a volume, told apart by their content.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::ShardError;

/// No description of a volume but a log is longer than this many bytes.
const SPEC_LIMIT: u64 = 16 << 20;
/// What a file is shows in its first bytes.
const HEAD: u64 = 64 << 10;

/// What a file describes a volume by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The output of `gluster volume info --xml`.
    Xml,
    /// A volfile.
    Volfile,
    /// A log, in which volfiles may be; whatever is nothing else.
    Log,
}

/// What kind of description a file is.
pub(super) fn kind(path: &Path) -> Result<Kind, ShardError> {
    let mut head = BufReader::new(open(path)?.take(HEAD));
    let mut line = Vec::new();
    loop {
        line.clear();
        if head.read_until(b'\n', &mut line).map_err(|error| ShardError::io("read", path, error))? == 0 {
            return Ok(Kind::Log);
        }
        match line.trim_ascii_start() {
            [] | [b'#', ..] => {}
            [b'<', ..] => return Ok(Kind::Xml),
            [b'v', b'o', b'l', b'u', b'm', b'e', b' ' | b'\t', ..] => return Ok(Kind::Volfile),
            _ => return Ok(Kind::Log),
        }
    }
}

/// Opens a regular file; neither a named pipe nor a device makes it wait.
pub(super) fn open(path: &Path) -> Result<File, ShardError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|error| ShardError::io("open", path, error))?;
    let file = File::from(file);
    if file.metadata().is_ok_and(|meta| meta.is_file()) {
        Ok(file)
    } else {
        Err(refused(path, "it is not a regular file"))
    }
}

/// The text of a file.
pub(super) fn read_text(path: &Path) -> Result<String, ShardError> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(SPEC_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| ShardError::io("read", path, error))?;
    if bytes.len() as u64 > SPEC_LIMIT {
        return Err(refused(path, "it is longer than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| refused(path, "it is not UTF-8 text"))
}

fn refused(path: &Path, problem: &str) -> ShardError {
    ShardError::Spec { what: path.display().to_string(), problem: problem.to_owned() }
}
