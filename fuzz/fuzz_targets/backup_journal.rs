//! A journal that was cut short gives the records before the cut; one that was changed gives no other record than were
//! written. The first three bytes say where it is cut or changed, the rest are the lines' bodies, sealed here by the
//! format's description (docs/formats.md), not by the writer.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use stillpoint_backup::journal::{self, Contents, Record};
use tempfile::NamedTempFile;

const CONTEXT: &str = "stillpoint 2026-11-23 journal line v1";

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a temporary file"));
}

fn read(bytes: &[u8]) -> Option<Contents> {
    FILE.with_borrow_mut(|file| {
        std::fs::write(file.path(), bytes).expect("written");
        journal::read(file.path()).ok()
    })
}

fn seal(bodies: &str) -> Vec<u8> {
    let mut sealed = Vec::new();
    let mut previous = [0; 16];
    for body in bodies.split_terminator('\n') {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&previous).update(body.as_bytes());
        hasher.finalize_xof().fill(&mut previous);
        let digits: String = previous.iter().map(|byte| format!("{byte:02x}")).collect();
        // A body that is no object is sealed all the same: then it must be refused.
        let members = body.strip_prefix('{').unwrap_or(body);
        sealed.extend_from_slice(format!("{{\"sum\":\"{digits}\",{members}\n").as_bytes());
    }
    sealed
}

fn is_prefix(some: &[Record], all: &[Record]) -> bool {
    all.get(..some.len()) == Some(some)
}

fuzz_target!(|input: &[u8]| {
    let [high, low, change, bodies @ ..] = input else { return };
    // A NUL in the last line is a file that was lengthened and never written: see `Contents::torn`.
    let Some(bodies) = std::str::from_utf8(bodies).ok().filter(|bodies| !bodies.contains('\0')) else {
        return;
    };
    // Whatever it is, reading it ends.
    let _ = read(bodies.as_bytes());
    let sealed = seal(bodies);
    let Some(whole) = read(&sealed) else { return };
    assert!(whole.torn.is_none(), "every line is whole");
    assert_eq!(whole.records.len() + 1, bodies.split_terminator('\n').count());

    let at = usize::from(u16::from_be_bytes([*high, *low])) % sealed.len();
    if let Some(cut) = read(&sealed[..at]) {
        assert!(is_prefix(&cut.records, &whole.records), "a cut made up a record");
        assert_eq!(cut.torn.is_none(), sealed[..at].ends_with(b"\n"));
        let lines = sealed[..at].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(cut.records.len() + 1, lines, "a record that was written whole is lost");
    }
    let mut changed = sealed.clone();
    changed[at] ^= change;
    if let Some(changed) = read(&changed) {
        assert!(is_prefix(&changed.records, &whole.records), "a change made up a record");
    }
});
