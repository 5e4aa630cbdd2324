//! Whatever a storage answers, `extents` ends, goes forward, and covers the storage exactly once or fails.
#![no_main]

use std::io;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_storage::{Extent, ExtentKind, Storage, extents};

/// A storage whose answers come from the fuzzer: wrong ones too.
#[derive(Debug, Arbitrary)]
struct Liar {
    len: u16,
    answers: Vec<(u8, u8, u16, bool)>,
}

impl Storage for Liar {
    fn len(&self) -> u64 {
        u64::from(self.len)
    }

    fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let index = usize::try_from(offset).unwrap_or(0) % self.answers.len().max(1);
        let Some(&(kind, skew, len, fails)) = self.answers.get(index) else {
            return Ok(Extent { offset, len: self.len() - offset, kind: ExtentKind::Data });
        };
        if fails {
            return Err(io::Error::other("asked to fail"));
        }
        let kind = match kind % 3 {
            0 => ExtentKind::Data,
            1 => ExtentKind::Hole,
            _ => ExtentKind::Unknown,
        };
        // Mostly true, so that runs get long; at times another offset than asked for, or no length at all, or one
        // that ends past the storage or past any number.
        let len = u64::from(len);
        Ok(match skew {
            0xff => Extent { offset: offset.wrapping_add(1), len, kind },
            0xfe => Extent { offset, len: u64::MAX - len, kind },
            _ => Extent { offset, len, kind },
        })
    }
}

fuzz_target!(|liar: Liar| {
    let mut at = 0;
    let mut last = None;
    for extent in extents(&liar) {
        let Ok(extent) = extent else { return };
        assert_eq!(extent.offset, at, "a gap or an overlap");
        assert!(extent.len > 0, "an empty extent");
        assert_ne!(last, Some(extent.kind), "neighbours of one kind are one extent");
        last = Some(extent.kind);
        at = extent.end();
    }
    assert!(at >= u64::from(liar.len), "the end was not reached");
});
