//! Reading a journal back.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::line::{self, Sum, Unsealed};
use super::{FORMAT, Header, Record, VERSION};
use crate::error::{Error, Result, io};

/// The longest journal that is read, in bytes. A run of a thousand disks writes about 10 MiB.
const LARGEST: u64 = 256 << 20;

/// What a journal says.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Its first line.
    pub header: Header,
    /// Its records in order; `seq` counts from 1 without gaps.
    pub records: Vec<Record>,
    /// What is left of a line that a crash cut short. The record was never on disk, so its effect was never begun.
    pub torn: Option<TornTail>,
    /// How many bytes verified, from the beginning on.
    pub(crate) verified: u64,
    /// The checksum of the last line that verified.
    pub(crate) sum: Sum,
}

/// Bytes at the end of a journal that are no whole line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where they begin, in bytes.
    pub offset: u64,
    /// How many there are.
    pub len: u64,
}

/// What every version's header has.
#[derive(Deserialize)]
struct AnyVersion {
    format: String,
    version: u32,
}

/// Reads the journal at `path`.
///
/// # Errors
/// When it can't be read, isn't a journal, is of a later version, or was changed after it was written: the error
/// tells the line.
pub fn read(path: &Path) -> Result<Contents> {
    let mut file = File::open(path).map_err(io("open the journal", path))?;
    let len = file.metadata().map_err(io("look at the journal", path))?.len();
    if len > LARGEST {
        return Err(Error::JournalTooLarge { path: path.to_owned(), len, limit: LARGEST });
    }
    let mut bytes = Vec::new();
    file.by_ref().take(LARGEST).read_to_end(&mut bytes).map_err(io("read the journal", path))?;
    parse(&bytes, path)
}

/// Reads the bytes of a journal; `path` is for the errors.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Contents> {
    let corrupt = |line: u64, reason: String| Error::JournalCorrupt { path: path.to_owned(), line, reason };
    let mut lines = Lines { rest: bytes };

    let (first, head_len) = match lines.next() {
        Some(Line::Whole(line, len)) => (line, len),
        Some(Line::Torn(_)) | None => return Err(corrupt(1, "the first line isn't whole".to_owned())),
    };
    let (body, mut sum) = unseal(Sum::default(), first).map_err(|reason| corrupt(1, reason))?;
    let any: AnyVersion = serde_json::from_str(&body).map_err(|error| corrupt(1, error.to_string()))?;
    if any.format != FORMAT {
        return Err(corrupt(1, format!("its format is {:?}, not {FORMAT:?}", any.format)));
    }
    if any.version != VERSION {
        return Err(Error::JournalVersion { path: path.to_owned(), version: any.version, known: VERSION });
    }
    let header: Header = serde_json::from_str(&body).map_err(|error| corrupt(1, error.to_string()))?;

    let mut contents =
        Contents { header, records: Vec::new(), torn: None, verified: head_len, sum: Sum::default() };
    for next in lines {
        let number = contents.records.len() as u64 + 2;
        let (text, len) = match next {
            Line::Torn(len) => {
                contents.torn = Some(TornTail { offset: contents.verified, len });
                break;
            }
            Line::Whole(text, len) => (text, len),
        };
        let (body, this) = unseal(sum, text).map_err(|reason| corrupt(number, reason))?;
        let record: Record =
            serde_json::from_str(&body).map_err(|error| corrupt(number, error.to_string()))?;
        if record.seq != number - 1 {
            return Err(corrupt(
                number,
                format!("it is record {}, where {} belongs", record.seq, number - 1),
            ));
        }
        contents.records.push(record);
        contents.verified += len;
        sum = this;
    }
    contents.sum = sum;
    Ok(contents)
}

fn unseal(previous: Sum, line: &[u8]) -> std::result::Result<(String, Sum), String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    line::unseal(previous, text).map_err(|why| {
        match why {
            Unsealed::Shape => "it doesn't begin with a checksum",
            Unsealed::Sum => "its checksum is of something else",
        }
        .to_owned()
    })
}

enum Line<'a> {
    /// A line without its line feed, and its length with it.
    Whole(&'a [u8], u64),
    /// So many bytes at the end that are no line.
    Torn(u64),
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let whole = self.rest.iter().position(|byte| *byte == b'\n').map(|end| self.rest.split_at(end + 1));
        let Some((line, rest)) = whole else {
            let len = self.rest.len() as u64;
            self.rest = &[];
            return Some(Line::Torn(len));
        };
        // A file may be lengthened before its blocks are written: zeros in the last line were never a record.
        if rest.is_empty() && line.contains(&0) {
            self.rest = &[];
            return Some(Line::Torn(line.len() as u64));
        }
        self.rest = rest;
        Some(Line::Whole(line.strip_suffix(b"\n").unwrap_or(line), line.len() as u64))
    }
}
