//! Having shards sent again: what is written back, what is not, and that the caller's proof is asked.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use stillpoint_georep::{
    Clock, NotStill, ResyncError, ResyncFile, ResyncOptions, Resynced, Stillness, resync,
};

const SHARD: u64 = 64 << 10;

/// A clock that waits for nothing.
#[derive(Debug)]
struct Hurry;

impl Clock for Hurry {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) {}
}

/// Says yes so often, and remembers how often it was asked.
#[derive(Debug)]
struct Yes {
    asked: Mutex<usize>,
    at_most: usize,
}

impl Yes {
    fn times(at_most: usize) -> Self {
        Self { asked: Mutex::new(0), at_most }
    }
}

impl Stillness for Yes {
    fn prove(&self, _path: &Path, _file: &File) -> Result<String, NotStill> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        if *asked > self.at_most {
            Err(NotStill("a guest woke up".to_owned()))
        } else {
            Ok("as I say".to_owned())
        }
    }
}

fn run(dir: &Path, shards: Option<&[u64]>, still: &dyn Stillness) -> Result<Vec<Resynced>, ResyncError> {
    let shards = shards.map(|s| s.iter().copied().collect::<BTreeSet<_>>());
    let files = [ResyncFile { path: dir.join("disk"), shards }];
    let options = ResyncOptions { mount: dir.to_owned(), shard_size: SHARD };
    resync(&files, &options, still, &Hurry, &mut |_, _, _| {}, &AtomicBool::new(false))
}

/// A file of nothing but a hole, with a length.
fn sparse(dir: &Path, size: u64) -> File {
    let file = File::create_new(dir.join("disk")).unwrap();
    file.set_len(size).unwrap();
    file
}

/// Which shards of a file hold data: what was written back into a hole is allocated.
fn written(dir: &Path) -> Vec<u64> {
    let file = File::open(dir.join("disk")).unwrap();
    let size = file.metadata().unwrap().len();
    let mut shards = BTreeSet::new();
    let mut at = 0;
    while let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        shards.insert(data / SHARD);
        at = ((data / SHARD) + 1) * SHARD;
        if at >= size {
            break;
        }
    }
    shards.into_iter().collect()
}

#[test]
fn the_shards_that_are_named_are_written_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    sparse(dir.path(), 10 * SHARD);
    let done = run(dir.path(), Some(&[2, 5, 9]), &Yes::times(100)).unwrap();
    assert_eq!((done[0].shards, done[0].size, done[0].still.as_str()), (3, 10 * SHARD, "as I say"));
    assert_eq!(written(dir.path()), [2, 5, 9]);
}

#[test]
fn without_names_every_shard_is_written_the_last_one_too_and_contents_stay() {
    // Not whole: of whole sectors, and of none.
    for tail in [4096, 512, 1000, 1] {
        let dir = tempfile::tempdir().unwrap();
        let size = 3 * SHARD + tail;
        sparse(dir.path(), size);
        assert_eq!(run(dir.path(), None, &Yes::times(100)).unwrap()[0].shards, 4, "{tail}");
        assert_eq!(written(dir.path()), [0, 1, 2, 3], "{tail}");

        let content: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        File::create(dir.path().join("disk")).unwrap().write_all(&content).unwrap();
        run(dir.path(), None, &Yes::times(100)).unwrap();
        assert!(fs::read(dir.path().join("disk")).unwrap() == content, "{tail}");
    }
}

#[test]
fn the_proof_is_asked_before_each_write_and_nothing_is_written_after_a_no() {
    let dir = tempfile::tempdir().unwrap();
    sparse(dir.path(), 10 * SHARD);
    let none = run(dir.path(), None, &Yes::times(0)).unwrap_err();
    assert!(matches!(none, ResyncError::NotStill { .. }), "{none}");
    assert!(none.to_string().contains("a guest woke up"), "{none}");
    assert_eq!(written(dir.path()), []);
    // Once to begin with, then before each shard.
    run(dir.path(), None, &Yes::times(4)).unwrap_err();
    assert_eq!(written(dir.path()), [0, 1, 2]);
    // And after the last: what was written is told as failed.
    let dir = tempfile::tempdir().unwrap();
    sparse(dir.path(), 2 * SHARD);
    assert!(run(dir.path(), None, &Yes::times(3)).is_err());
    assert!(run(dir.path(), None, &Yes::times(4)).is_ok());
}

/// Allows part of each shard.
#[derive(Debug)]
struct Part(Range<u64>);

impl Stillness for Part {
    fn prove(&self, _path: &Path, _file: &File) -> Result<String, NotStill> {
        Ok(String::new())
    }

    fn may_rewrite(&self, _path: &Path, shard: Range<u64>) -> Option<Range<u64>> {
        (shard.start != SHARD).then_some(shard.start + self.0.start..shard.start + self.0.end)
    }
}

#[test]
fn only_what_a_caller_allows_is_written_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = sparse(dir.path(), 3 * SHARD);
    let done = run(dir.path(), None, &Part(8192..16384)).unwrap();
    assert_eq!((done[0].shards, done[0].left_out), (2, 1));
    for shard in [0, 2] {
        let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(shard * SHARD)).unwrap();
        assert_eq!(data, shard * SHARD + 8192, "a byte outside was written");
    }
    // No whole block within: left out, not stretched.
    let done = run(dir.path(), None, &Part(100..200)).unwrap();
    assert!(done[0].shards == 0 || written(dir.path()) == [0, 2]);
}

/// Writes to the file while the other does.
#[derive(Debug)]
struct Writes(File, Mutex<u8>);

impl Stillness for Writes {
    fn prove(&self, _path: &Path, _file: &File) -> Result<String, NotStill> {
        let mut byte = self.1.lock().unwrap();
        *byte += 1;
        self.0.write_all_at(&[*byte; 4096], 0).unwrap();
        Ok(String::new())
    }
}

#[test]
fn what_was_written_before_a_write_back_is_what_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let file = sparse(dir.path(), SHARD);
    run(dir.path(), None, &Writes(file, Mutex::new(0))).unwrap();
    // Three proofs: before all, before the shard, after all.
    assert_eq!(fs::read(dir.path().join("disk")).unwrap()[..4096], [3; 4096]);
}

#[test]
fn what_is_no_file_of_the_mount_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    sparse(dir.path(), SHARD);
    let yes = Yes::times(100);
    assert!(matches!(run(dir.path(), Some(&[1]), &yes), Err(ResyncError::NoSuchShard { shard: 1, .. })));
    std::os::unix::fs::symlink("disk", dir.path().join("link")).unwrap();
    for (name, mount) in [("link", dir.path()), ("", dir.path()), ("disk", Path::new("/proc"))] {
        let files = [ResyncFile { path: dir.path().join(name), shards: None }];
        let options = ResyncOptions { mount: mount.to_owned(), shard_size: SHARD };
        let result = resync(&files, &options, &yes, &Hurry, &mut |_, _, _| {}, &AtomicBool::new(false));
        let error = result.unwrap_err();
        assert!(
            matches!(error, ResyncError::NotAFile { .. } | ResyncError::Outside { .. }),
            "{name}: {error}"
        );
    }
    for size in [0, 1000] {
        let options = ResyncOptions { mount: dir.path().to_owned(), shard_size: size };
        let result = resync(&[], &options, &yes, &Hurry, &mut |_, _, _| {}, &AtomicBool::new(false));
        assert!(matches!(result, Err(ResyncError::ShardSize(_))));
    }
    assert_eq!(written(dir.path()), []);
}

#[test]
fn cancelling_ends_it_between_two_shards() {
    let dir = tempfile::tempdir().unwrap();
    sparse(dir.path(), 4 * SHARD);
    let files = [ResyncFile { path: dir.path().join("disk"), shards: None }];
    let options = ResyncOptions { mount: dir.path().to_owned(), shard_size: SHARD };
    let cancel = AtomicBool::new(false);
    let mut after_two = |_: &Path, done: u64, of: u64| {
        assert_eq!(of, 4);
        cancel.store(done == 2, std::sync::atomic::Ordering::Relaxed);
    };
    let result = resync(&files, &options, &Yes::times(100), &Hurry, &mut after_two, &cancel);
    assert!(matches!(result, Err(ResyncError::Cancelled)));
    assert_eq!(written(dir.path()), [0, 1]);
}
