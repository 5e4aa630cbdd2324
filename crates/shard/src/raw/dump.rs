//! The output of `getfattr -d -m- -e hex -R DIR`, kept beside a tree that was copied without its xattrs.

use std::borrow::Cow;
use std::collections::HashMap;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::combinator::rest;
use nom::{IResult, Parser};

/// Xattrs of one file by name.
pub type Xattrs = HashMap<String, Vec<u8>>;

/// One line of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line<'a> {
    File(&'a [u8]),
    Attribute(&'a [u8], &'a [u8]),
    Nothing,
}

fn line(input: &[u8]) -> IResult<&[u8], Line<'_>> {
    let file = (tag(&b"# file: "[..]), rest).map(|(_, path)| Line::File(path));
    let comment = (tag(&b"#"[..]), rest).map(|_| Line::Nothing);
    let attribute = (take_till(|byte| byte == b'='), rest).map(|(name, value): (&[u8], &[u8])| {
        if name.is_empty() {
            Line::Nothing
        } else {
            Line::Attribute(name, value.get(1..).unwrap_or_default())
        }
    });
    alt((file, comment, attribute)).parse(input)
}

/// Parses a dump into the xattrs of each path, paths as the dump has them.
///
/// Takes memory in proportion to the text, of which it refuses nothing for its length: bound what you pass.
///
/// # Errors
/// A sentence on the line that can't be understood.
pub fn parse(text: &[u8]) -> Result<HashMap<Vec<u8>, Xattrs>, String> {
    let mut files: HashMap<Vec<u8>, Xattrs> = HashMap::new();
    let mut current: Option<&mut Xattrs> = None;
    for (number, bytes) in text.split(|&byte| byte == b'\n').enumerate() {
        let fail = |problem: &str| format!("line {}: {problem}", number + 1);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match line(bytes).map_err(|_| fail("it can't be understood"))?.1 {
            Line::Nothing => {}
            Line::File(path) => {
                let path = unescape(path).ok_or_else(|| fail("the path has a broken escape"))?;
                current = Some(files.entry(path.into_owned()).or_default());
            }
            // What getfattr says on stderr is often found in a dump, too.
            Line::Attribute(_, b"") if current.is_none() => {}
            Line::Attribute(name, value) => {
                let name = unescape(name).ok_or_else(|| fail("the name has a broken escape"))?;
                let name = String::from_utf8(name.into_owned()).map_err(|_| fail("the name is not UTF-8"))?;
                let value =
                    decode(value).ok_or_else(|| fail("the value is neither hex, base64 nor quoted text"))?;
                let current = current.as_deref_mut().ok_or_else(|| fail("an xattr before any `# file:`"))?;
                current.insert(name, value);
            }
        }
    }
    Ok(files)
}

/// A value as getfattr encodes it: `0x` hex, `0s` base64, or text in quotes.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    if let Some(hex) = value.strip_prefix(b"0x").or_else(|| value.strip_prefix(b"0X")) {
        let (pairs, odd) = hex.as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        return pairs
            .iter()
            .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
            .collect::<Option<Vec<u8>>>()
            .filter(|_| odd.is_empty());
    }
    if let Some(base64) = value.strip_prefix(b"0s").or_else(|| value.strip_prefix(b"0S")) {
        return decode_base64(base64);
    }
    if value.is_empty() {
        return Some(Vec::new());
    }
    let quoted = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape(quoted).map(Cow::into_owned)
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut word = 0_u32;
        for &letter in group {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(value);
        }
        let missing = 4 - group.len() as u32;
        if missing > 2 {
            return None;
        }
        let [_, decoded @ ..] = (word << (6 * missing)).to_be_bytes();
        bytes.extend_from_slice(&decoded[..3 - missing as usize]);
    }
    Some(bytes)
}

/// Resolves `\ooo` (three octal digits) and a backslash before another character.
fn unescape(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            [other, tail @ ..] => {
                bytes.push(*other);
                rest = tail;
            }
            [] => return None,
        }
    }
    Some(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_base64_and_quoted_values_mean_the_same() {
        let text = b"getfattr: Removing leading '/' from absolute path names\n# file: b0/a\\040b\\012\n\
            trusted.a=0x00ff41\ntrusted.b=0sAP9B\ntrusted.c=\"\\000\\377A\"\ntrusted.empty\n\n# file: b0\n";
        let files = parse(text).unwrap();
        let xattrs = &files[&b"b0/a b\n"[..]];
        for name in ["trusted.a", "trusted.b", "trusted.c"] {
            assert_eq!(xattrs[name], [0, 0xff, b'A'], "{name}");
        }
        assert!(xattrs["trusted.empty"].is_empty());
        assert!(files[&b"b0"[..]].is_empty());
    }

    #[test]
    fn base64_of_every_length_is_decoded() {
        for (text, bytes) in
            [("", &b""[..]), ("QQ==", b"A"), ("QUI=", b"AB"), ("QUJD", b"ABC"), ("QUJDRA==", b"ABCD")]
        {
            assert_eq!(decode(format!("0s{text}").as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode(b"0sQ"), None);
        assert_eq!(decode(b"0s*A=="), None);
    }

    #[test]
    fn what_is_no_dump_is_refused_with_its_line() {
        assert!(parse(b"trusted.a=0x00").unwrap_err().contains("line 1"));
        assert!(parse(b"# file: a\ntrusted.a=0x0").unwrap_err().contains("line 2"));
        assert!(parse(b"# file: a\ntrusted.a=bare").is_err());
        assert!(parse(b"# file: a\\").is_err());
    }
}
