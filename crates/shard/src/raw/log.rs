//! Volfiles in the log of a client, rebalance or other daemon of Gluster's, which writes one whenever it gets it:
//!
//! ```text
//! Final graph:
//! +------------------------------------------------------------------------------+
//!   1: volume gv1-client-0
//!   2:     type protocol/client
//!  …
//! +------------------------------------------------------------------------------+
//! ```
//!
//! Messages of other threads may stand between the lines. One that lacks a line or its end is left out.

use std::io::{self, BufRead, Read};

use super::volfile::{Parser, Volfile};

/// Of a longer line the rest is passed over, and a volfile with such a line is left out.
const LINE_LIMIT: u64 = 64 << 10;
/// A volfile of more lines is left out.
const LINES_LIMIT: u64 = 1 << 20;

/// A volfile in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// The line of the log that it begins at, from 1 on.
    pub line: u64,
    /// The volfile.
    pub volfile: Volfile,
}

/// How far a volfile of the log was read.
enum State {
    /// None is being read.
    Outside,
    /// Its title was read, at that line.
    Titled(u64),
    /// It is being read: where it began, and how many of its lines were read.
    Within { line: u64, read: u64, parser: Parser },
}

/// Calls `each` with each volfile of the log that is whole, in their order. Takes no more memory than one volfile does.
///
/// # Errors
/// When the log can't be read.
pub fn for_each_volfile(mut log: impl BufRead, mut each: impl FnMut(Logged)) -> io::Result<()> {
    let mut state = State::Outside;
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        if log.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        if !bytes.ends_with(b"\n") && bytes.len() as u64 == LINE_LIMIT {
            log.skip_until(b'\n')?;
            bytes.clear();
        }
        number += 1;
        let line = String::from_utf8_lossy(&bytes);
        state = next(state, number, line.trim_end_matches(['\n', '\r']), &mut each);
    }
}

fn next(state: State, number: u64, line: &str, each: &mut impl FnMut(Logged)) -> State {
    if matches!(line.trim(), "Final graph:" | "Given volfile:") {
        return State::Titled(number);
    }
    match (state, is_rule(line)) {
        (State::Titled(line), true) => State::Within { line, read: 0, parser: Parser::default() },
        (State::Within { line, parser, .. }, true) => {
            if let Ok(volfile) = parser.finish() {
                each(Logged { line, volfile });
            }
            State::Outside
        }
        (State::Within { line: first, read, mut parser }, false) => {
            // What has no number is another thread's message.
            let Some((own, text)) = numbered(line) else {
                return State::Within { line: first, read, parser };
            };
            if own != read + 1 || own > LINES_LIMIT || parser.line(text).is_err() {
                return State::Outside;
            }
            State::Within { line: first, read: own, parser }
        }
        (state @ (State::Outside | State::Titled(_)), _) => state,
    }
}

/// Whether a line is the rule above or below a volfile.
fn is_rule(line: &str) -> bool {
    let dashes = line.trim().strip_prefix('+').and_then(|line| line.strip_suffix('+'));
    dashes.is_some_and(|dashes| dashes.len() > 10 && dashes.bytes().all(|byte| byte == b'-'))
}

/// The number of a line of a volfile, and the line.
fn numbered(line: &str) -> Option<(u64, &str)> {
    let (number, text) = line.trim_start_matches(' ').split_once(':')?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "+------------------------------------------------------------------------------+\n";

    fn graph(name: &str) -> String {
        let lines = format!("volume {name}\n    type meta\nend-volume\n \n");
        let numbered: String = (1..).zip(lines.lines()).map(|(n, line)| format!("{n:3}: {line}\n")).collect();
        format!("Final graph:\n{RULE}{numbered}{RULE}")
    }

    fn names(log: &[u8]) -> Vec<(u64, String)> {
        let mut names = Vec::new();
        for_each_volfile(log, |logged| names.push((logged.line, logged.volfile.translators[0].name.clone())))
            .unwrap();
        names
    }

    #[test]
    fn whole_volfiles_are_cut_out_and_others_left_out() {
        let message = "[2026-11-23 18:39:00.257752 +0000] I [glusterfsd.c:2872:main] 0-glusterfs: 3: text\n";
        let log = |pieces: &[&str]| pieces.concat().into_bytes();
        let (a, b) = (graph("a"), graph("b"));
        assert_eq!(names(&log(&[message, &a, message, &b])), [(2, "a".to_owned()), (10, "b".to_owned())]);
        let split = a.replacen("  2:", &format!("{message}  2:"), 1);
        assert_eq!(names(&log(&[&split])), [(1, "a".to_owned())]);
        for broken in [
            a.replacen("  2:", "  3:", 1),
            a.replacen("  2:", "    ", 1),
            a.replacen(RULE, "", 1),
            a.strip_suffix(RULE).unwrap().to_owned(),
            a.replacen("end-volume", "end", 1),
            a.replacen("type meta", &"x".repeat(70_000), 1),
        ] {
            assert_eq!(names(&log(&[&broken, &b])).len(), 1, "{broken}");
        }
        assert_eq!(names(&a.as_bytes()[..a.len() - RULE.len()]), []);
        assert_eq!(names(&[0xff; 300_000]), []);
    }
}
