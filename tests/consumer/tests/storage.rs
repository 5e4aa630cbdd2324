//! `stillpoint-storage`: a store of our own plugs in, and is read as a file would be.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use stillpoint_storage::{Extent, ExtentKind, FileStorage, Storage, StorageReader, extents};

/// Bytes that repeat a pattern, with a hole at the end.
struct Striped {
    data: u64,
    hole: u64,
}

impl Storage for Striped {
    fn len(&self) -> u64 {
        self.data + self.hole
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = rest.min(buf.len());
        for (at, byte) in (offset..).zip(&mut buf[..n]) {
            *byte = if at < self.data { (at % 251) as u8 + 1 } else { 0 };
        }
        Ok(n)
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        match offset {
            at if at < self.data => Ok(Extent { offset: at, len: self.data - at, kind: ExtentKind::Data }),
            at if at < self.len() => Ok(Extent { offset: at, len: self.len() - at, kind: ExtentKind::Hole }),
            at => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{at} is past the end"))),
        }
    }
}

#[test]
fn a_store_of_our_own_has_extents_and_reads_as_a_stream() {
    let store: Arc<dyn Storage> = Arc::new(Striped { data: 1000, hole: 500 });
    let found: Vec<Extent> = extents(&*store).collect::<Result<_, _>>().expect("extents");
    assert_eq!(
        found,
        [
            Extent { offset: 0, len: 1000, kind: ExtentKind::Data },
            Extent { offset: 1000, len: 500, kind: ExtentKind::Hole }
        ]
    );
    assert_eq!(store.allocated(), None);

    let mut reader = StorageReader::new(store);
    reader.seek(SeekFrom::End(-501)).expect("within");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("readable");
    assert_eq!(rest.len(), 501);
    assert_eq!((rest[0], rest[1]), ((999 % 251) as u8 + 1, 0));
}

#[test]
fn a_file_and_the_bytes_in_it_read_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    std::fs::write(&path, &bytes).expect("written");
    let file = FileStorage::open(&path).expect("opened");
    assert_eq!(file.len(), Storage::len(&bytes));
    let (mut a, mut b) = ([0; 777], [0; 777]);
    file.read_exact_at(5000, &mut a).expect("within");
    bytes.read_exact_at(5000, &mut b).expect("within");
    assert_eq!(a, b);
    let error = file.read_exact_at(9_999, &mut a).expect_err("past the end");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
