//! Writing results to stdout.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Human,
    /// JSON, with a `schema_version`.
    Json,
}

/// Writes text to stdout, and sees to it that it is there.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to stdout")
}

/// Writes what may be more than fits into memory to stdout, and sees to it that it is there.
pub(crate) fn stream(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    write(&mut out)?;
    out.flush().context("can't write to stdout")
}

/// A name that may hold anything but NUL and `/`, in one line that controls no terminal.
pub(crate) fn one_line(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Writes JSON to stdout.
pub(crate) fn print_json<T: Serialize>(value: &T) -> Result<()> {
    print(&json(value)?)
}

/// A value as JSON, with a line feed at its end.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).context("can't encode the result")? + "\n")
}

/// Whether the reader of stdout (or stderr) went away, which is no failure of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
