//! Every kind of storage over the same bytes says the same: what is read, and where the extents are.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use stillpoint_storage::{ExtentKind, FileStorage, Storage, StorageReader, StreamStorage, extents};

/// The block in which files are written here, in bytes: holes are made of these.
const BLOCK: usize = 4096;

/// A sparse file: which of its blocks are written, and with what; and how many bytes follow the last whole one.
#[derive(Debug, Clone)]
struct Sparse {
    blocks: Vec<Option<u8>>,
    tail: usize,
}

impl Sparse {
    fn bytes(&self) -> Vec<u8> {
        let blocks = self.blocks.iter().flat_map(|block| [block.unwrap_or(0); BLOCK]);
        blocks.chain(std::iter::repeat_n(0, self.tail)).collect()
    }

    /// The same as a file, with a hole for each block that isn't written.
    fn file(&self) -> File {
        let file = tempfile::tempfile().expect("a file can be made");
        for (i, block) in self.blocks.iter().enumerate() {
            if let Some(value) = block {
                file.write_all_at(&[*value; BLOCK], (i * BLOCK) as u64).expect("it can be written");
            }
        }
        file.set_len((self.blocks.len() * BLOCK + self.tail) as u64).expect("it can be made longer");
        file
    }
}

fn sparse() -> impl Strategy<Value = Sparse> {
    let block = prop_oneof![Just(None), (1_u8..).prop_map(Some)];
    (prop::collection::vec(block, 0..12), 0..BLOCK).prop_map(|(blocks, tail)| Sparse { blocks, tail })
}

/// All kinds of storage over the same bytes.
fn storages(model: &Sparse) -> Vec<(&'static str, Arc<dyn Storage>)> {
    let bytes = model.bytes();
    let open = || FileStorage::from_file(model.file()).expect("it is a file");
    #[allow(unused_mut)]
    let mut all: Vec<(&'static str, Arc<dyn Storage>)> = vec![
        ("Vec", Arc::new(bytes.clone())),
        ("Bytes", Arc::new(Bytes::from(bytes.clone()))),
        ("Box", Arc::new(Box::new(bytes.clone()))),
        ("FileStorage", Arc::new(open())),
        ("StreamStorage", Arc::new(StreamStorage::new(Cursor::new(bytes.clone())).expect("it has an end"))),
        (
            "StreamStorage of StorageReader",
            Arc::new(StreamStorage::new(StorageReader::new(open())).expect("it has an end")),
        ),
    ];
    #[cfg(feature = "mmap")]
    all.push((
        "MappedFile",
        Arc::new(stillpoint_storage::MappedFile::from_file(model.file()).expect("it can be mapped")),
    ));
    #[cfg(feature = "positioned-io")]
    {
        use stillpoint_storage::{FromReadAt, ToReadAt};
        all.push(("FromReadAt", Arc::new(FromReadAt::new(bytes.clone()).expect("it has a size"))));
        let there_and_back = FromReadAt::new(ToReadAt::new(open())).expect("it has a size");
        all.push(("FromReadAt of ToReadAt", Arc::new(there_and_back)));
        all.push(("FromReadAt of a file", Arc::new(FromReadAt::new(model.file()).expect("it has a size"))));
    }
    all
}

/// `[offset, offset + len)` of `bytes`, as far as they go.
fn part(bytes: &[u8], offset: u64, len: usize) -> &[u8] {
    let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
    &bytes[start..(start.saturating_add(len)).min(bytes.len())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_reads_as_the_model_has_it(
        model in sparse(),
        ranges in prop::collection::vec((0_u64..60_000, 0_usize..9000), 1..20),
    ) {
        let bytes = model.bytes();
        for (name, storage) in storages(&model) {
            prop_assert_eq!(storage.len(), bytes.len() as u64, "{}", name);
            prop_assert_eq!(storage.is_empty(), bytes.is_empty());
            for (offset, len) in &ranges {
                let expected = part(&bytes, *offset, *len);
                let mut buf = vec![0xee; *len];
                let n = storage.read_at(*offset, &mut buf).expect("it can be read");
                prop_assert!(n <= expected.len(), "{}", name);
                prop_assert!(n > 0 || expected.is_empty(), "{} ends too early", name);
                prop_assert_eq!(&buf[..n], &expected[..n], "{}", name);
                prop_assert!(buf[n..].iter().all(|&byte| byte == 0xee), "{} writes past what it read", name);

                let mut buf = vec![0xee; *len];
                let exact = storage.read_exact_at(*offset, &mut buf);
                if expected.len() == *len {
                    exact.expect("all of it is there");
                    prop_assert_eq!(&buf[..], expected, "{}", name);
                } else {
                    let kind = exact.expect_err("a part is not there").kind();
                    prop_assert_eq!(kind, std::io::ErrorKind::UnexpectedEof, "{}", name);
                }
            }
            for offset in [bytes.len() as u64, u64::MAX, u64::MAX - 1] {
                prop_assert_eq!(storage.read_at(offset, &mut [0; 8]).expect("past the end is no error"), 0);
                prop_assert!(storage.next_extent(offset).is_err(), "{}", name);
            }
        }
    }

    #[test]
    fn extents_cover_everything_once_and_holes_are_zeros(model in sparse()) {
        let bytes = model.bytes();
        for (name, storage) in storages(&model) {
            let mut at = 0;
            let mut last = None;
            for extent in extents(&*storage) {
                let extent = extent.expect("it can be told");
                prop_assert_eq!(extent.offset, at, "{}", name);
                prop_assert!(extent.len > 0);
                prop_assert_ne!(last, Some(extent.kind), "{}: neighbours of one kind are merged", name);
                prop_assert_ne!(extent.kind, ExtentKind::Unknown);
                if extent.kind == ExtentKind::Hole {
                    let hole = part(&bytes, at, usize::try_from(extent.len).expect("it is short"));
                    prop_assert!(hole.iter().all(|&byte| byte == 0), "{} has data in a hole", name);
                }
                at = extent.end();
                last = Some(extent.kind);
            }
            prop_assert_eq!(at, bytes.len() as u64, "{}", name);
        }
    }

    #[test]
    fn an_extent_asked_for_in_its_middle_is_the_rest_of_it(model in sparse(), offset in 0_u64..60_000) {
        for (name, storage) in storages(&model) {
            if offset >= storage.len() {
                continue;
            }
            let found = storage.next_extent(offset).expect("it can be told");
            prop_assert_eq!(found.offset, offset);
            let whole = extents(&*storage).map(|extent| extent.expect("it can be told"));
            let whole = whole.filter(|extent| extent.offset <= offset && offset < extent.end()).last();
            let whole = whole.expect("extents cover everything");
            prop_assert_eq!((found.end(), found.kind), (whole.end(), whole.kind), "{}", name);
        }
    }

    #[test]
    fn a_stream_reads_and_seeks_as_a_cursor_does(
        model in sparse(),
        steps in prop::collection::vec((0_u8..3, -70_000_i64..70_000, 0_usize..5000), 1..12),
    ) {
        let bytes = model.bytes();
        let mut cursor = Cursor::new(bytes.clone());
        let mut reader = StorageReader::new(&bytes[..]);
        for (whence, by, len) in steps {
            let to = match whence {
                0 => SeekFrom::Start(by.unsigned_abs()),
                1 => SeekFrom::Current(by),
                _ => SeekFrom::End(by),
            };
            let (expected, found) = (cursor.seek(to), reader.seek(to));
            prop_assert_eq!(found.is_ok(), expected.is_ok());
            if let (Ok(expected), Ok(found)) = (expected, found) {
                prop_assert_eq!(found, expected);
            }
            let mut wanted = Vec::new();
            let mut got = Vec::new();
            cursor.by_ref().take(len as u64).read_to_end(&mut wanted).expect("memory can be read");
            reader.by_ref().take(len as u64).read_to_end(&mut got).expect("memory can be read");
            prop_assert_eq!(got, wanted);
        }
    }
}
