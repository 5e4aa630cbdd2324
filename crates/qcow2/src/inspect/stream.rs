//! An image that comes by once.

use std::io::{self, Read};

use super::account::Account;
use super::verdict::{InspectOptions, Outcome, Verdict, limit, probe, refused};
use super::window::look;
use crate::Format;
use crate::raw::RawHeader;
use crate::tables::Header;

/// How much of the beginning is kept: the header's cluster, of 2 MiB at most, and a LUKS header behind it.
const KEPT: u64 = 4 << 20;
/// Bytes that are read at once of what is only counted.
const CHUNK: usize = 256 << 10;

/// Judges what `stream` holds.
pub(super) fn judge<R: Read>(mut stream: R, options: &InspectOptions) -> io::Result<Verdict> {
    let mut head = Vec::new();
    stream.by_ref().take(KEPT).read_to_end(&mut head)?;
    if (head.len() as u64) < KEPT {
        // That was all of it.
        return Ok(Verdict::of_storage(&head, options));
    }
    let format = match probe(&head, options) {
        Ok(format) => format,
        Err(account) => return Ok(Verdict::new(account)),
    };
    if format == Format::Raw {
        let len = KEPT + count(&mut stream, options.max_size.saturating_sub(KEPT).saturating_add(1))?;
        let mut account = Account::of_raw(len);
        limit(len, options, &mut account);
        return Ok(Verdict::new(account));
    }
    let (header, extensions) = match Header::read(&head) {
        Ok(read) => read,
        Err(error) => return Ok(Verdict::new(refused(&error))),
    };
    let mut account = Account::of_header(&header, &extensions, &options.filename);
    account.counts(&header, extensions.bitmaps());
    limit(header.virtual_size() & !511, options, &mut account);
    let verdict = Verdict::new(account);
    if verdict.outcome == Outcome::Unsafe || options.header_only {
        return Ok(verdict);
    }
    let len = KEPT.saturating_add(count(&mut stream, u64::MAX)?);
    let mut account = verdict.account;
    if let Some(what) = past_the_end(header.raw(), len) {
        account.refuse(
            format!("The {what} is told to be past the end of the image, which has {len} bytes"),
            "The image was cut, or was never whole.",
        );
        return Ok(Verdict::new(account));
    }
    let seen = look(&head, &header, len);
    if let Some(damage) = seen.damage {
        account.refuse(
            format!("Its tables are damaged: {damage}"),
            "Data can't be read, or is overwritten when the image is written to.",
        );
        return Ok(Verdict::new(account));
    }
    account.notable(
        format!(
            "Of its tables only those were looked at that come in the first {} MiB: {} of {} entries of the L1 table, \
            and {} L2 tables, but not {} that come later, nor any refcount, snapshot or bitmap",
            KEPT >> 20,
            seen.l1,
            header.raw().l1_size,
            seen.l2,
            seen.later
        ),
        "They can't all be in a stream that is read only once. Inspect the file when it is stored.",
    );
    Ok(Verdict { outcome: Outcome::Incomplete, account })
}

/// Reads to the end, or until `most` bytes were read, and tells how many there were.
fn count<R: Read>(stream: &mut R, most: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut seen = 0_u64;
    while seen < most {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => seen += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

/// A table that the header puts past the end.
fn past_the_end(header: &RawHeader, len: u64) -> Option<&'static str> {
    let tables = [
        ("L1 table", header.l1_table_offset, header.l1_size),
        ("refcount table", header.refcount_table_offset, header.refcount_table_clusters),
        ("snapshot table", header.snapshots_offset, header.nb_snapshots),
    ];
    tables.into_iter().find(|(_, offset, entries)| *entries > 0 && *offset >= len).map(|(what, ..)| what)
}
