//! What files are, and what isn't one.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use stillpoint_storage::{Extent, ExtentKind, FileStorage, Storage, extents};

#[test]
fn a_sparse_file_tells_its_holes_and_how_much_is_allocated() {
    let file = tempfile::tempfile().expect("a file can be made");
    file.set_len(64 << 20).expect("it can be made longer");
    file.write_all_at(&[1; 65536], 32 << 20).expect("it can be written");
    file.sync_all().expect("it can be synced");
    let storage = FileStorage::from_file(file.try_clone().expect("it can be")).expect("it is a file");
    let blocks = file.metadata().expect("it is there").blocks();
    assert_eq!(storage.allocated(), Some(blocks * 512));
    let found: Vec<_> = extents(&storage).map(|extent| extent.expect("it can be told")).collect();
    // A file system without holes may call all of it data; one with them may have larger blocks.
    let data: u64 =
        found.iter().filter(|extent| extent.kind == ExtentKind::Data).map(|extent| extent.len).sum();
    assert!(data >= 65536);
    assert_eq!(found.last().map(Extent::end), Some(64 << 20));
    let written = found.iter().find(|extent| extent.kind == ExtentKind::Data).expect("there is data");
    assert!(written.offset <= 32 << 20 && written.end() >= (32 << 20) + 65536);
}

#[test]
fn a_directory_a_device_without_blocks_and_nothing_at_all_are_refused() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    assert_eq!(
        FileStorage::open(directory.path()).expect_err("it is a directory").kind(),
        ErrorKind::IsADirectory
    );
    assert_eq!(FileStorage::open("/dev/null").expect_err("it has no blocks").kind(), ErrorKind::InvalidInput);
    let missing = directory.path().join("missing");
    assert_eq!(FileStorage::open(missing).expect_err("it isn't there").kind(), ErrorKind::NotFound);
}

#[test]
fn a_named_pipe_is_refused_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().expect("a directory can be made");
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("it can be made");
    assert_eq!(FileStorage::open(pipe).expect_err("it is a pipe").kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_file_that_got_longer_keeps_the_length_of_when_it_was_opened() {
    let mut file = tempfile::tempfile().expect("a file can be made");
    file.write_all(b"still").expect("it can be written");
    let storage = FileStorage::from_file(file.try_clone().expect("it can be")).expect("it is a file");
    file.write_all(b"point").expect("it can be written");
    assert_eq!(storage.len(), 5);
    assert_eq!(storage.read_at(0, &mut [0; 20]).expect("it can be read"), 5);
    assert_eq!(storage.next_extent(4).expect("it can be told").end(), 5);
}

#[test]
fn a_file_that_got_shorter_gives_an_error_and_no_zeros() {
    let file = tempfile::tempfile().expect("a file can be made");
    file.set_len(100).expect("it can be made longer");
    let storage = FileStorage::from_file(file.try_clone().expect("it can be")).expect("it is a file");
    file.set_len(10).expect("it can be cut");
    let mut buf = [0; 100];
    assert_eq!(
        storage.read_exact_at(0, &mut buf).expect_err("it ends at 10").kind(),
        ErrorKind::UnexpectedEof
    );
}

#[cfg(feature = "mmap")]
#[test]
fn a_map_shows_what_is_written_to_the_file_later() {
    use stillpoint_storage::MappedFile;
    let file = tempfile::tempfile().expect("a file can be made");
    file.write_all_at(b"before", 0).expect("it can be written");
    let map = MappedFile::from_file(file.try_clone().expect("it can be")).expect("it can be mapped");
    map.advise_random().expect("advice is taken");
    file.write_all_at(b"after!", 0).expect("it can be written");
    let mut buf = [0; 6];
    map.read_exact_at(0, &mut buf).expect("it can be read");
    assert_eq!(&buf, b"after!");
    assert_eq!(map.allocated(), FileStorage::from_file(file).expect("it is a file").allocated());
}

/// Says that its second half is not known.
struct HalfKnown;

impl Storage for HalfKnown {
    fn len(&self) -> u64 {
        200
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        if offset >= 100 {
            return Err(std::io::Error::other("brick b is missing"));
        }
        Ok(buf.len().min(usize::try_from(100 - offset).unwrap_or(0)))
    }

    fn next_extent(&self, offset: u64) -> std::io::Result<Extent> {
        let kind = if offset < 100 { ExtentKind::Hole } else { ExtentKind::Unknown };
        Ok(Extent { offset, len: 1, kind })
    }
}

#[test]
fn what_is_not_known_is_an_error_to_read_and_an_extent_of_its_own() {
    let found: Vec<_> = extents(&HalfKnown).map(|extent| extent.expect("it can be told")).collect();
    let expected = [(0, 100, ExtentKind::Hole), (100, 100, ExtentKind::Unknown)];
    assert_eq!(found, expected.map(|(offset, len, kind)| Extent { offset, len, kind }));
    let error = HalfKnown.read_exact_at(50, &mut [0; 100]).expect_err("half of it is not known");
    assert_eq!(error.to_string(), "brick b is missing");
}

/// Answers with another extent than asked for.
struct Liar(Extent);

impl Storage for Liar {
    fn len(&self) -> u64 {
        100
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }

    fn next_extent(&self, _: u64) -> std::io::Result<Extent> {
        Ok(self.0)
    }
}

/// Answers with extents that go past any number.
struct Endless;

impl Storage for Endless {
    fn len(&self) -> u64 {
        u64::MAX
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }

    fn next_extent(&self, offset: u64) -> std::io::Result<Extent> {
        let len = if offset == 0 { 10 } else { u64::MAX };
        Ok(Extent { offset, len, kind: ExtentKind::Hole })
    }
}

#[test]
fn extents_past_any_number_end_where_numbers_do() {
    let found: Vec<_> = extents(&Endless).map(|extent| extent.expect("it can be told")).collect();
    assert_eq!(found, [Extent { offset: 0, len: u64::MAX, kind: ExtentKind::Hole }]);
}

#[test]
fn a_storage_that_answers_nonsense_ends_the_iteration_with_an_error() {
    for (offset, len) in [(0, 0), (5, 10)] {
        let liar = Liar(Extent { offset, len, kind: ExtentKind::Data });
        let found: Vec<_> = extents(&liar).collect();
        assert!(found.len() == 1 && found[0].is_err());
    }
}
