//! JSON as `qemu-img map --output=json` prints it: a line each.

use std::io::{self, Write};

use super::extent::MapExtent;
use crate::Error;

/// So much is gathered before it is written.
const BUFFER: usize = 64 << 10;

/// Writes `extents` as qemu-img does, line feed and all; `start` is where the map was to begin.
///
/// An extent is written when the next is known. Where one can't be had, what was written so far is what qemu-img
/// would have written, and the error is given back.
///
/// # Errors
/// The outer one when writing fails, the inner one of the extents.
pub fn write(
    extents: impl Iterator<Item = Result<MapExtent, Error>>,
    start: u64,
    out: &mut dyn Write,
) -> io::Result<Result<(), Error>> {
    let mut text = b"[".to_vec();
    let mut held: Option<MapExtent> = None;
    for extent in extents {
        match extent {
            Ok(extent) => {
                if let Some(done) = held.replace(extent) {
                    line(&mut text, &done);
                    text.extend_from_slice(b",\n");
                }
            }
            Err(error) => {
                out.write_all(&text)?;
                return Ok(Err(error));
            }
        }
        if text.len() >= BUFFER {
            out.write_all(&text)?;
            text.clear();
        }
    }
    line(&mut text, &held.unwrap_or(MapExtent::nothing(start, 0, 0)));
    text.extend_from_slice(b"]\n");
    out.write_all(&text)?;
    Ok(Ok(()))
}

/// The extents as one text.
///
/// # Errors
/// That of the extents.
pub fn to_string(
    extents: impl Iterator<Item = Result<MapExtent, Error>>,
    start: u64,
) -> Result<String, Error> {
    let mut bytes = Vec::new();
    write(extents, start, &mut bytes).expect("writing to memory can't fail")?;
    Ok(String::from_utf8(bytes).expect("all that is written is ASCII"))
}

fn line(text: &mut Vec<u8>, extent: &MapExtent) {
    let flag = |text: &mut Vec<u8>, name: &[u8], value: bool| {
        text.extend_from_slice(name);
        text.extend_from_slice(if value { b"true" } else { b"false" });
    };
    text.extend_from_slice(b"{ \"start\": ");
    number(text, extent.start);
    text.extend_from_slice(b", \"length\": ");
    number(text, extent.length);
    text.extend_from_slice(b", \"depth\": ");
    number(text, extent.depth as u64);
    flag(text, b", \"present\": ", extent.present);
    flag(text, b", \"zero\": ", extent.zero);
    flag(text, b", \"data\": ", extent.data);
    flag(text, b", \"compressed\": ", extent.compressed);
    if let Some(offset) = extent.offset {
        text.extend_from_slice(b", \"offset\": ");
        number(text, offset);
    }
    text.push(b'}');
}

/// A number in decimal. A fragmented disk has millions, for which the standard library's formatting is too slow.
fn number(text: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    text.extend(digits.iter().skip(digits.len() - used));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_the_standard_library_prints_them() {
        for value in [0, 1, 9, 10, 11, 99, 100, 4096, 65536, 1 << 40, u64::MAX / 10, u64::MAX - 1, u64::MAX] {
            let mut text = Vec::new();
            number(&mut text, value);
            assert_eq!(String::from_utf8(text).expect("digits"), value.to_string());
        }
    }

    #[test]
    fn an_empty_map_has_one_extent_of_no_length() {
        let expected = "[{ \"start\": 7, \"length\": 0, \"depth\": 0, \"present\": false, \"zero\": false, \
                        \"data\": false, \"compressed\": false}]\n";
        assert_eq!(to_string(std::iter::empty(), 7).expect("no extent fails"), expected);
    }

    #[test]
    fn what_was_read_before_an_error_is_written_but_for_the_last() {
        let extents =
            [Ok(MapExtent::nothing(0, 1, 0)), Ok(MapExtent::nothing(1, 1, 0)), Err(Error::NoDataFile)];
        let mut bytes = Vec::new();
        assert!(write(extents.into_iter(), 0, &mut bytes).expect("memory").is_err());
        assert!(bytes.starts_with(b"[{ \"start\": 0,") && bytes.ends_with(b"},\n"));
    }
}
