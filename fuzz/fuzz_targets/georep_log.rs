//! Whatever is in gsyncd's log: no panic, every byte counted, and the same said of the whole as of its parts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_georep::LogScan;

fuzz_target!(|bytes: &[u8]| {
    let whole = LogScan::read("log", bytes).expect("memory can be read");
    assert_eq!(whole.bytes, bytes.len() as u64);
    if let Some(at) = bytes.iter().position(|b| *b == b'\n') {
        let (first, rest) = bytes.split_at(at + 1);
        let read = |part| LogScan::read("log", part).expect("memory can be read");
        assert_eq!(read(first).then(read(rest)), whole);
    }
});
