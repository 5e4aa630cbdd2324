//! What gsyncd's log holds against a run, read line by line in bounded memory.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use uuid::{Uuid, uuid};

use crate::cli::clip;
use crate::verdict::{LogFinding, LogFindingKind};

/// Most of a line that is looked at, in bytes. A complaint on a longer line can't be attributed.
const MAX_LINE: usize = 64 << 10;

/// Most complaints that are kept; how many there were is counted.
pub(crate) const MAX_FINDINGS: usize = 1000;

/// Gfids that name no file of anybody's: the root, `/.shard`, `/.shard/.remove_me`.
const NOBODYS: [Uuid; 3] = [
    uuid!("00000000-0000-0000-0000-000000000001"),
    uuid!("be318638-e8a0-4c6d-977d-7a937aa84806"),
    uuid!("77dd5a45-dbf5-4592-b31b-b440382302e9"),
];

/// rsync's answer when it looked at no file at all. A batch that is up to date gets 5 bytes more for each file.
const NOTHING_LOOKED_AT: u64 = 12;

/// What a stretch of gsyncd's log held, read line by line in bounded memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogScan {
    /// Bytes read.
    pub bytes: u64,
    /// Complaints, the first 1000 of them.
    pub findings: Vec<LogFinding>,
    /// Complaints that were not kept.
    pub dropped: u64,
    /// rsync's batches whose counts were logged.
    pub batches: u64,
    /// Regular files in them.
    pub files: u64,
    /// Regular files sent.
    pub transferred: u64,
    /// Bytes that rsync sent for these batches, names and checksums included.
    pub sent_bytes: u64,
    /// Batches with the signature of the silent no-op.
    pub no_op_batches: u64,
    /// Files in these.
    pub no_op_files: u64,
    /// One such line.
    pub no_op_example: Option<String>,
    /// The last line of level E or C.
    pub last_error: Option<String>,
    /// The time of the first line that tells one, by that node's clock.
    pub first_stamp: Option<Timestamp>,
    /// The time of the last one.
    pub last_stamp: Option<Timestamp>,
    unfinished: u64,
}

impl LogScan {
    /// Reads `source`, called `log`, to its end, in at most 64 KiB for a line and 1000 complaints.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(log: &str, source: impl Read) -> io::Result<Self> {
        let mut scan = Self::default();
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        loop {
            line.clear();
            let before = scan.bytes;
            let Some(read) = next_line(&mut reader, &mut line, &mut scan.bytes)? else { return Ok(scan) };
            scan.line(log, &String::from_utf8_lossy(&line), !read.cut);
            scan.unfinished = if read.ended { 0 } else { scan.bytes - before };
        }
    }

    /// Bytes of a last line that has no end yet.
    pub(crate) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// What this stretch and a later one hold together.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        let room = MAX_FINDINGS.saturating_sub(self.findings.len());
        let kept = later.findings.len().min(room);
        self.dropped += later.dropped + (later.findings.len() - kept) as u64;
        self.findings.extend(later.findings.into_iter().take(kept));
        self.bytes += later.bytes;
        self.batches += later.batches;
        self.files = self.files.saturating_add(later.files);
        self.transferred = self.transferred.saturating_add(later.transferred);
        self.sent_bytes = self.sent_bytes.saturating_add(later.sent_bytes);
        self.no_op_batches += later.no_op_batches;
        self.no_op_files = self.no_op_files.saturating_add(later.no_op_files);
        self.no_op_example = self.no_op_example.or(later.no_op_example);
        self.last_error = later.last_error.or(self.last_error);
        self.first_stamp = self.first_stamp.or(later.first_stamp);
        self.last_stamp = later.last_stamp.or(self.last_stamp);
        self.unfinished = later.unfinished;
        self
    }

    fn line(&mut self, log: &str, line: &str, whole: bool) {
        if let Some(batch) = Batch::parse(line) {
            self.batches += 1;
            self.files = self.files.saturating_add(batch.files);
            self.transferred = self.transferred.saturating_add(batch.transferred);
            self.sent_bytes = self.sent_bytes.saturating_add(batch.sent);
            if batch.is_no_op() {
                self.no_op_batches += 1;
                self.no_op_files = self.no_op_files.saturating_add(batch.files);
                self.no_op_example.get_or_insert_with(|| clip(line, 512));
            }
        }
        if let Some((kind, rest)) = complaint(line) {
            if self.findings.len() < MAX_FINDINGS {
                let gfids = if whole { gfids(rest) } else { BTreeSet::new() };
                self.findings.push(LogFinding { kind, log: log.to_owned(), gfids, line: clip(line, 512) });
            } else {
                self.dropped += 1;
            }
        }
        if let Some(stamp) = stamp(line) {
            self.first_stamp.get_or_insert(stamp);
            self.last_stamp = Some(stamp);
        }
        if line.contains("] E [") || line.contains("] C [") {
            self.last_error = Some(clip(line, 300));
        }
    }
}

/// The time at the beginning of a line: `[2026-11-23 07:55:25.963396]`, UTC.
fn stamp(line: &str) -> Option<Timestamp> {
    let (text, _) = line.strip_prefix('[')?.split_once(']')?;
    let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// How a line was read.
struct Line {
    /// It is longer than what was kept of it.
    cut: bool,
    /// It has an end, and is not one that is still being written.
    ended: bool,
}

/// The next line without its end, at most [`MAX_LINE`] bytes of it, and how it was read; `None` at the end of the log.
/// Counts all bytes that were read.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, bytes: &mut u64) -> io::Result<Option<Line>> {
    let mut cut = false;
    let mut any = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if available.is_empty() {
            return Ok(any.then_some(Line { cut, ended: false }));
        }
        any = true;
        let end = available.iter().position(|b| *b == b'\n');
        let text = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        let room = MAX_LINE.saturating_sub(line.len());
        cut |= text.len() > room;
        line.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
        let used = text.len() + usize::from(end.is_some());
        *bytes += used as u64;
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(Line { cut, ended: true }));
        }
    }
}

/// Whether a line complains, of what, and the part of it that may name files.
fn complaint(line: &str) -> Option<(LogFindingKind, &str)> {
    for (mark, kind) in [
        ("could not be processed completely - moving on", LogFindingKind::MovingOn),
        ("could not be processed - moving on", LogFindingKind::MovingOn),
        ("ENTRY FAILED", LogFindingKind::EntryFailed),
        ("META FAILED", LogFindingKind::MetaFailed),
    ] {
        if let Some((_, rest)) = line.split_once(mark) {
            return Some((kind, rest));
        }
    }
    let (_, rest) = line.split_once("Sync Time Taken")?.1.split_once("return_code=")?;
    // A line that ends within the number is still being written.
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-')?;
    // Anything that is not plainly 0 is a complaint.
    (rest.get(..end) != Some("0")).then_some((LogFindingKind::ReturnCode, rest))
}

/// Every gfid that `text` names.
fn gfids(text: &str) -> BTreeSet<Uuid> {
    let bytes = text.as_bytes();
    let mut found = BTreeSet::new();
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + 36) {
        let shaped = window.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
        match std::str::from_utf8(window).ok().filter(|_| shaped).and_then(|t| Uuid::parse_str(t).ok()) {
            Some(gfid) => {
                found.insert(gfid);
                at += 36;
            }
            None => at += 1,
        }
    }
    found.retain(|g| !NOBODYS.contains(g));
    found
}

/// rsync's counts for one batch, as gsyncd logs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    files: u64,
    transferred: u64,
    sent: u64,
    received: u64,
}

impl Batch {
    fn parse(line: &str) -> Option<Self> {
        let (_, data) = line.split_once("rsync performance")?;
        Some(Self {
            // `Number of files: 10 (reg: 6, dir: 4)`; without a regular file there is no `reg:`.
            files: number_after(data, "(reg: ").unwrap_or(0),
            transferred: number_after(data, "Number of regular files transferred: ")?,
            sent: number_after(data, "Total bytes sent: ").unwrap_or(0),
            received: number_after(data, "Total bytes received: ")?,
        })
    }

    fn is_no_op(self) -> bool {
        self.files > 0 && self.transferred == 0 && self.received == NOTHING_LOOKED_AT
    }
}

/// The number after `mark`, which may have separators in it: `1,260`. A number that ends with the text may be one
/// that is still being written, and is none.
fn number_after(text: &str, mark: &str) -> Option<u64> {
    let (_, rest) = text.split_once(mark)?;
    let mut number: Option<u64> = None;
    let mut characters = rest.chars().peekable();
    while let Some(c) = characters.next() {
        match c.to_digit(10) {
            Some(digit) => number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?),
            None if c == ',' && characters.peek().is_some_and(char::is_ascii_digit) => {}
            None => return number,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERFORMANCE: &str = "[2026-11-23 07:55:25.963396] I [resource(worker /b2):1530:rsync] SSH: rsync performance \
        [{data=Number of files: 10 (reg: 6, dir: 4), Number of regular files transferred: 0, Total file size: \
        25,165,824 bytes, Total transferred file size: 0 bytes, Literal data: 0 bytes, Matched data: 0 bytes, Total \
        bytes sent: 1,260, Total bytes received: 12, sent 1,260 bytes  received 12 bytes  2,544.00 bytes/sec}]\n";

    fn scan(text: &str) -> LogScan {
        LogScan::read("log", text.as_bytes()).unwrap()
    }

    #[test]
    fn twelve_bytes_back_for_files_sent_is_the_no_op_and_twenty_two_is_not() {
        let seen = scan(PERFORMANCE);
        assert_eq!((seen.batches, seen.files, seen.no_op_batches, seen.no_op_files), (1, 6, 1, 6));
        let up_to_date = PERFORMANCE.replace("received: 12,", "received: 42,");
        assert_eq!(scan(&up_to_date).no_op_batches, 0);
        let sent = PERFORMANCE.replace("transferred: 0", "transferred: 1,024");
        let seen = scan(&sent);
        assert_eq!((seen.no_op_batches, seen.transferred), (0, 1024));
        let no_files = PERFORMANCE.replace("(reg: 6, dir: 4)", "(dir: 4)");
        assert_eq!(scan(&no_files).no_op_batches, 0);
    }

    #[test]
    fn the_format_before_brackets_is_read_too() {
        let old = "[2018-01-01 00:00:00.1] I [resource(/b0):1:rsync] SSH: rsync performance\tdata=Number of files: 2 \
            (reg: 2), Number of regular files transferred: 0, Total bytes received: 12, sent 9 bytes\tx=1\n\
            [2018-01-01 00:00:00.2] E [master(/b0):1:process] _GMaster: changelogs could not be processed completely - \
            moving on...\tfiles=['CHANGELOG.1512662436']\n";
        let seen = scan(old);
        assert_eq!(seen.no_op_batches, 1);
        assert_eq!(seen.findings.len(), 1);
        assert_eq!(seen.findings[0].kind, LogFindingKind::MovingOn);
        assert!(seen.findings[0].gfids.is_empty());
    }

    #[test]
    fn a_failed_entry_names_its_gfid_and_not_those_of_the_root_or_of_shard() {
        let line = "[2026-11-23 08:00:00.1] E [primary(worker /bricks/11111111-2222-3333-4444-555555555555):788:log_failures] \
            _GPrimary: ENTRY FAILED [{data=({'uid': 0, 'gfid': '5ee0e5a3-559b-4db9-a52e-0c61146fd22f', 'entry': \
            '.gfid/be318638-e8a0-4c6d-977d-7a937aa84806/6e55b983-9c45-473b-a407-7643887ac304.2', 'op': 'MKNOD'}, 17)}]";
        let seen = scan(line);
        let gfids: Vec<String> = seen.findings[0].gfids.iter().map(Uuid::to_string).collect();
        assert_eq!(gfids, ["5ee0e5a3-559b-4db9-a52e-0c61146fd22f", "6e55b983-9c45-473b-a407-7643887ac304"]);
        assert_eq!(seen.findings[0].kind, LogFindingKind::EntryFailed);
        let root = "E META FAILED [{data=({'go': '.gfid/00000000-0000-0000-0000-000000000001'}, 1)}]";
        assert!(scan(root).findings[0].gfids.is_empty());
    }

    #[test]
    fn return_codes_other_than_zero_are_complaints() {
        let line = |code: &str| {
            format!("I Syncer: Sync Time Taken [{{job=1}}, {{return_code={code}}}, {{duration=1}}]")
        };
        assert!(scan(&line("0")).findings.is_empty());
        for code in ["23", "-9", "10", "", "x", "-0"] {
            assert_eq!(scan(&line(code)).findings.len(), 1, "{code}");
        }
    }

    #[test]
    fn a_complaint_on_a_line_too_long_to_read_can_t_be_attributed() {
        let long =
            format!("ENTRY FAILED 5ee0e5a3-559b-4db9-a52e-0c61146fd22f {}\nnext\n", "x".repeat(MAX_LINE));
        let seen = scan(&long);
        assert_eq!(seen.findings.len(), 1);
        assert!(seen.findings[0].gfids.is_empty());
        assert_eq!(seen.bytes, long.len() as u64);
    }

    #[test]
    fn complaints_beyond_the_limit_are_counted() {
        let seen = scan(&"META FAILED\n".repeat(MAX_FINDINGS + 5));
        assert_eq!((seen.findings.len(), seen.dropped), (MAX_FINDINGS, 5));
    }

    #[test]
    fn counts_too_large_for_a_number_are_not_counts() {
        let line = PERFORMANCE.replace("received: 12,", "received: 99999999999999999999999,");
        assert_eq!(scan(&line).batches, 0);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic_or_miscount(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..4096)) {
            let seen = LogScan::read("log", &bytes[..]).unwrap();
            proptest::prop_assert_eq!(seen.bytes, bytes.len() as u64);
        }

        #[test]
        fn cutting_a_log_anywhere_never_invents_a_complaint(cut in 0usize..2000) {
            let text = PERFORMANCE.replace("received: 12,", "received: 124,").repeat(2)
                + "Sync Time Taken [{return_code=0}]";
            let cut = cut.min(text.len());
            let seen = scan(&text[..cut]);
            proptest::prop_assert!(seen.findings.is_empty() && seen.no_op_batches == 0);
        }
    }
}
