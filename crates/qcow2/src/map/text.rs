//! Text as `qemu-img map` prints it for people: only what holds data, and where.

use std::io::{self, Write};

use super::GuestMap;
use super::extent::MapExtent;
use crate::Error;

/// Why the text isn't complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Some data has no place that could be told: it is compressed or encrypted. JSON has all of it.
    #[error("File contains external, encrypted or compressed clusters.")]
    NoPlace,
    /// The map can't be read on.
    #[error(transparent)]
    Map(#[from] Error),
}

/// Writes the extents of `map` in a range as qemu-img does.
///
/// # Errors
/// The outer one when writing fails, the inner one when the map can't be told in this form.
pub fn write(
    map: &GuestMap,
    extents: impl Iterator<Item = Result<MapExtent, Error>>,
    out: &mut dyn Write,
) -> io::Result<Result<(), TextError>> {
    writeln!(out, "{:<16}{:<16}{:<16}File", "Offset", "Length", "Mapped to")?;
    let mut held: Option<MapExtent> = None;
    for extent in extents {
        let done = match extent {
            Ok(extent) => held.replace(extent),
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(error) = done.map_or(Ok(Ok(())), |done| line(map, &done, out))? {
            return Ok(Err(error));
        }
    }
    held.map_or(Ok(Ok(())), |done| line(map, &done, out))
}

fn line(map: &GuestMap, extent: &MapExtent, out: &mut dyn Write) -> io::Result<Result<(), TextError>> {
    if extent.zero || !extent.data {
        return Ok(Ok(()));
    }
    let Some(offset) = extent.offset else { return Ok(Err(TextError::NoPlace)) };
    let column = |value: u64| if value == 0 { "0".to_owned() } else { format!("{value:#x}") };
    let (start, length, offset) = (column(extent.start), column(extent.length), column(offset));
    write!(out, "{start:<16}{length:<16}{offset:<16}")?;
    out.write_all(map.file_name(extent.depth).map_or(&[][..], |name| name.as_bytes()))?;
    out.write_all(b"\n")?;
    Ok(Ok(()))
}
