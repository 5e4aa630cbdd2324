//! Tables of 64-bit words that may lie one over the other.
//!
//! Nothing keeps a hostile image from having 65,536 snapshots whose L1 tables, of 32 MiB each, are all in the same
//! place. Here each word of the file is read once, however many tables it is in, and comes with how many those are.

use stillpoint_storage::Storage;

use super::finding::Finding;
use super::subject::Subject;
use crate::tables::HostOffset;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// A table of words in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Where it begins: a multiple of 8.
    pub(super) offset: u64,
    /// How many words it has.
    pub(super) words: u64,
    /// Whether it is of the layer whose clusters are counted as allocated.
    pub(super) active: bool,
}

/// How many tables a word is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) all: u64,
    pub(super) active: u64,
}

/// Calls `visit` with each word but zeros that is in a table and in the file, in the order of the file: where it is,
/// what it is, and in how many tables. What can't be read goes to `unreadable`.
pub(super) fn sweep<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    spans: &[Span],
    what: &'static str,
    unreadable: &mut Vec<Finding>,
    mut visit: impl FnMut(u64, u64, Weight),
) {
    let mut edges = Vec::with_capacity(spans.len() * 2);
    for span in spans {
        let end = span.offset.saturating_add(span.words.saturating_mul(8)).min(subject.file_len);
        if span.offset < end {
            edges.push((span.offset, true, span.active));
            edges.push((end, false, span.active));
        }
    }
    edges.sort_unstable();
    let mut weight = Weight { all: 0, active: 0 };
    let mut at = 0;
    for (position, begins, active) in edges {
        if weight.all > 0 && at < position {
            read_words(subject, at, position, what, unreadable, |offset, word| visit(offset, word, weight));
        }
        at = position;
        if begins {
            weight.all += 1;
            weight.active += u64::from(active);
        } else {
            weight.all -= 1;
            weight.active -= u64::from(active);
        }
    }
}

fn read_words<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    start: u64,
    end: u64,
    what: &'static str,
    unreadable: &mut Vec<Finding>,
    mut visit: impl FnMut(u64, u64),
) {
    let mut buffer = Vec::new();
    let mut at = start;
    while at < end {
        let len = CHUNK.min(end - at);
        buffer.resize(usize::try_from(len).unwrap_or_default(), 0);
        match subject.read(at, &mut buffer, what) {
            Ok(()) => {
                for (offset, word) in (at..).step_by(8).zip(buffer.as_chunks::<8>().0) {
                    if *word != [0; 8] {
                        visit(offset, u64::from_be_bytes(*word));
                    }
                }
            }
            Err(error) => unreadable.push(Finding::unreadable(what, HostOffset(at), &error)),
        }
        at += len;
    }
}
