//! Names as bytes.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::raw::until_nul;

/// A name as it is stored or given: bytes, commonly UTF-8, never interpreted unasked.
///
/// [`Display`](fmt::Display) decodes as QEMU's JSON does, see [`Name::to_text`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// A name of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The name up to its first NUL: QEMU takes names into C strings.
    #[must_use]
    pub(crate) fn from_c(bytes: &[u8]) -> Self {
        Self(until_nul(bytes).to_vec())
    }

    /// All bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether there is no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name as text, each sequence that QEMU holds for invalid replaced with U+FFFD.
    #[must_use]
    pub fn to_text(&self) -> String {
        decode(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(name.into_bytes())
    }
}

impl From<&Path> for Name {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

/// Decodes "modified UTF-8" as QEMU does before it writes JSON: one U+FFFD for each sequence that a lead byte
/// begins and that is cut short, overlong (but for `c0 80`, a NUL), a surrogate or past U+10FFFF; lead bytes of
/// up to six-byte sequences take their continuation bytes with them. (QEMU replaces noncharacters too, here the
/// printer of JSON does: in the text for people they stay.)
fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&lead, tail)) = rest.split_first() {
        let (len, bits) = match lead {
            0..=0x7f => (0, lead),
            0xc0..=0xdf => (1, lead & 0x1f),
            0xe0..=0xef => (2, lead & 0x0f),
            0xf0..=0xf7 => (3, lead & 0x07),
            0xf8..=0xfb => (4, lead & 0x03),
            0xfc..=0xfd => (5, lead & 0x01),
            // A continuation byte that nothing leads, or a byte that is never used.
            0x80..=0xbf | 0xfe..=0xff => {
                text.push(char::REPLACEMENT_CHARACTER);
                rest = tail;
                continue;
            }
        };
        let taken = tail.iter().take(len).take_while(|&&b| b & 0xc0 == 0x80).count();
        let (continuation, after) = tail.split_at(taken);
        let value = continuation.iter().fold(u32::from(bits), |v, &b| (v << 6) | u32::from(b & 0x3f));
        let least = [0, 0x80, 0x800, 0x1_0000, 0x20_0000, 0x400_0000][len];
        let whole = taken == len && (value >= least || (len == 1 && value == 0));
        let found = char::from_u32(value).filter(|_| whole);
        text.push(found.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = after;
    }
    text
}

/// Whether Unicode sets `c` aside for internal use: QEMU's JSON has U+FFFD in its place.
pub(crate) fn is_noncharacter(c: char) -> bool {
    let value = c as u32;
    (0xfdd0..=0xfdef).contains(&value) || value & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_utf8_is_replaced_as_qemu_img_10_does() {
        // Left what a file was called, right what `qemu-img info --output=json` called it.
        let seen: &[(&[u8], &str)] = &[
            (b"a\xffb", "a\u{fffd}b"),
            (b"a\xc3(", "a\u{fffd}("),
            (b"\xe2\x82", "\u{fffd}"),
            (b"\xe2\x28\xa1x", "\u{fffd}(\u{fffd}x"),
            (b"\xf0\x9f\x98\x80", "\u{1f600}"),
            (b"\xf0\x28\x8c\xbc", "\u{fffd}(\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}"),
            (b"\xc0\x80", "\0"),
            (b"\xf8\x88\x80\x80\x80", "\u{fffd}"),
            (b"\xf4\x90\x80\x80", "\u{fffd}"),
            (b"\x80\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xfc\x84\x80\x80\x80\x80z", "\u{fffd}z"),
            (b"\xfe", "\u{fffd}"),
            (b"\xe0\x80\x80", "\u{fffd}"),
            (b"\xf0\x9f\x98z", "\u{fffd}z"),
            (b"\xc3\xa9\xcc\x81", "\u{e9}\u{301}"),
            (b"\xfb\xbf\xbf\xbf\xbf\xbf", "\u{fffd}\u{fffd}"),
            (b"\xf8\x88\x80\x80z", "\u{fffd}z"),
        ];
        for (bytes, text) in seen {
            assert_eq!(Name::new(*bytes).to_text(), *text, "{}", bytes.escape_ascii());
        }
    }
}
