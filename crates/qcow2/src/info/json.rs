//! JSON as QEMU prints it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, Formatter};

use super::ImageInfo;
use crate::name::is_noncharacter;

impl ImageInfo {
    /// What `qemu-img info --output=json` prints, without the last line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        print(self)
    }
}

/// What `qemu-img info --output=json --backing-chain` prints, without the last line feed.
#[must_use]
pub fn chain_to_json(chain: &[ImageInfo]) -> String {
    print(chain)
}

/// Prints `value` as QEMU does, without the last line feed.
pub(crate) fn print<T: Serialize + ?Sized>(value: &T) -> String {
    let mut bytes = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, QemuFormatter { depth: 0 }))
        .expect("writing to memory can't fail, and no map here has a key that isn't a text");
    String::from_utf8(bytes).expect("all that the formatter writes is ASCII")
}

/// QEMU's layout: four spaces, a line each even in what is empty, and nothing but ASCII.
struct QemuFormatter {
    depth: usize,
}

impl QemuFormatter {
    fn new_line<W: ?Sized + Write>(&self, to: &mut W) -> io::Result<()> {
        to.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| to.write_all(b"    "))
    }

    fn open<W: ?Sized + Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        to.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        self.new_line(to)?;
        to.write_all(bracket)
    }

    fn item<W: ?Sized + Write>(&self, to: &mut W, first: bool) -> io::Result<()> {
        if !first {
            to.write_all(b",")?;
        }
        self.new_line(to)
    }
}

impl Formatter for QemuFormatter {
    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.item(to, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.item(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if (' '..'\x7f').contains(&c) {
                write!(to, "{c}")?;
                continue;
            }
            let shown = if is_noncharacter(c) { char::REPLACEMENT_CHARACTER } else { c };
            for unit in shown.encode_utf16(&mut [0; 2]) {
                write!(to, "\\u{unit:04X}")?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, to: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => to.write_all(b"\\\""),
            CharEscape::ReverseSolidus => to.write_all(b"\\\\"),
            CharEscape::Solidus => to.write_all(b"/"),
            CharEscape::Backspace => to.write_all(b"\\b"),
            CharEscape::FormFeed => to.write_all(b"\\f"),
            CharEscape::LineFeed => to.write_all(b"\\n"),
            CharEscape::CarriageReturn => to.write_all(b"\\r"),
            CharEscape::Tab => to.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(to, "\\u{byte:04X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_still_takes_two_lines() {
        let value = serde_json::json!({"a": [], "b": {}, "c": [1, [2]]});
        let expected = "{\n    \"a\": [\n    ],\n    \"b\": {\n    },\n    \"c\": [\n        1,\n        \
                        [\n            2\n        ]\n    ]\n}";
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn texts_are_escaped_as_qemu_escapes_them() {
        let text = "q\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}\u{e9}\u{1f600}\u{ffff}\0";
        let expected = r#""q\"\\/\b\f\n\r\t\u0001\u001F\u007F\u00E9\uD83D\uDE00\uFFFD\u0000""#;
        assert_eq!(print(text), expected);
    }
}
