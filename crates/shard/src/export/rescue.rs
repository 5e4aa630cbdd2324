//! Filling a file step by step: what is done is written down beside it, so that it can be gone on with.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use stillpoint_storage::{FreshFile, Storage};

use super::area::{Copier, Done, Missing};
use super::mapfile::{Mapfile, Status};
use super::{Progress, Watch};
use crate::ShardError;

/// No mapfile that is read is longer than this many bytes: a million areas.
const MAP_LIMIT: u64 = 32 << 20;
/// How long an interruption may set the copy back.
const SAVED_EVERY: Duration = Duration::from_secs(10);
/// Most parts that are told with their reasons.
const TOLD: usize = 1000;

/// How a file is rescued.
#[derive(Debug, Clone, Default)]
pub struct RescueOptions {
    /// What the source is, in one line that two sources don't share: a mapfile is only gone on from for the same.
    pub about: String,
    /// Leaves out what can't be read or isn't known, and goes on behind it. What is left out is a hole in the target, and
    /// is marked `-` in the mapfile.
    pub leave_out: bool,
}

/// A part that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPart {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Why it can't be read, or isn't known.
    pub why: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// All that is done; `copied` and `by_kernel` count what was copied now.
    pub progress: Progress,
    /// Bytes that were done before, holes included.
    pub before: u64,
    /// What was left out, up to the first thousand parts; the mapfile has all of them.
    pub missing: Vec<MissingPart>,
}

/// Copies `source` to the file at `target`, and keeps in `mapfile` which parts are done, in the format of GNU ddrescue's.
///
/// Where there is a mapfile already, of the same source, only what it doesn't call finished is copied: an interrupted
/// copy is gone on with, and parts that were not known are tried again, which can be known once more bricks are back.
/// What the mapfile calls finished is on disk.
///
/// ```
/// use std::ops::ControlFlow;
/// use stillpoint_shard::export::{RescueOptions, rescue_file};
/// use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
/// use stillpoint_testkit::volume::{BrickTrees, Shape};
///
/// let dir = tempfile::tempdir()?;
/// let mut built = BrickTrees::create(dir.path(), Shape { subvolumes: 2, ..Shape::default() })?;
/// built.create_file("disk")?;
/// let content: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
/// built.write("disk", 0, &content)?;
/// built.save()?;
/// built.write_glusterd_directory(&dir.path().join("glusterd"))?;
/// let topology = Topology::load(dir.path().join("glusterd"), None)?;
///
/// // The subvolume that doesn't have the base is away, and comes back later.
/// let away = 1 - built.shard_subvolume("disk", 0)?;
/// let without = BrickMap::default().without(built.brick_name(away).parse()?);
/// let volume = Volume::open(topology.clone(), &without, OpenOptions::default())?;
/// let disk = volume.open_file(&"disk".parse()?)?;
/// let (out, map) = (dir.path().join("out"), dir.path().join("out.map"));
/// let options = RescueOptions { about: disk.gfid().to_string(), leave_out: true };
/// let first = rescue_file(&disk, &out, &map, &options, &mut |_| ControlFlow::Continue(()))?;
/// assert!(first.progress.missing > 0);
///
/// let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default())?;
/// let disk = volume.open_file(&"disk".parse()?)?;
/// let second = rescue_file(&disk, &out, &map, &options, &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!((second.progress.missing, second.before + first.progress.missing), (0, disk.size()));
/// assert!(std::fs::read(&out)? == content);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the target exists and has no mapfile, the mapfile is of something else or its target is gone, somebody else is
/// filling the target, something can't be written, or `watch` ends it; without
/// [`leave_out`](RescueOptions::leave_out) also when something can't be read or isn't known. What was done until then is
/// kept.
pub fn rescue_file(
    source: &dyn Storage,
    target: &Path,
    mapfile: &Path,
    options: &RescueOptions,
    watch: &mut Watch<'_>,
) -> Result<Rescued, ShardError> {
    let total = source.len();
    let wanted = Mapfile::new(&options.about, total);
    let (map, file) = match read_map(mapfile)? {
        Some(map) => {
            let file = go_on(&map, &wanted, target, mapfile)?;
            (map, file)
        }
        None => (wanted, begin(target)?),
    };
    file.set_len(total).map_err(|error| ShardError::io("write", target, error))?;
    let before = map.bytes(Status::Finished);
    let mut rescue = Rescue {
        file: &file,
        target,
        mapfile,
        map,
        progress: Progress { done: before, total, ..Progress::default() },
        missing: Vec::new(),
        saved: Instant::now(),
    };
    rescue.save()?;
    let missing = if options.leave_out { Missing::LeftOut } else { Missing::Refused };
    let filled = rescue.fill(source, missing, watch);
    // What was done is kept, whatever ended it; that it was ended is the error to report.
    let saved = rescue.save();
    filled?;
    saved?;
    Ok(Rescued { progress: rescue.progress, before, missing: rescue.missing })
}

fn read_map(path: &Path) -> Result<Option<Mapfile>, ShardError> {
    let file = match OpenOptions::new().read(true).custom_flags(safely()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ShardError::io("open", path, error)),
    };
    let unfit = |problem: String| ShardError::Mapfile { path: path.to_owned(), problem };
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(unfit("it is not a regular file".to_owned()));
    }
    let mut text = String::new();
    file.take(MAP_LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(|error| ShardError::io("read", path, error))?;
    if text.len() as u64 > MAP_LIMIT {
        return Err(unfit("it is longer than 32 MiB".to_owned()));
    }
    let map = Mapfile::parse(&text).map_err(|problem| unfit(format!("it is no mapfile: {problem}")))?;
    Ok(Some(map))
}

/// Not through a symbolic link, and without waiting for a pipe's other end.
fn safely() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

fn begin(target: &Path) -> Result<File, ShardError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(target).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ShardError::TargetExists { path: target.to_owned() },
        _ => ShardError::io("create", target, error),
    })?;
    lock(&file, target)?;
    Ok(file)
}

/// Opens the target of `map`, and empties what is not finished of it.
fn go_on(map: &Mapfile, wanted: &Mapfile, target: &Path, mapfile: &Path) -> Result<File, ShardError> {
    let unfit = |problem: &str| ShardError::Mapfile { path: mapfile.to_owned(), problem: problem.to_owned() };
    if map.about() != wanted.about() || map.total() != wanted.total() {
        return Err(unfit(&format!(
            "it is of another copy ({}, {} bytes) than this ({}, {} bytes); remove it, or name another",
            map.about(),
            map.total(),
            wanted.about(),
            wanted.total()
        )));
    }
    let mut options = OpenOptions::new();
    let file = match options.read(true).write(true).custom_flags(safely()).open(target) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && map.bytes(Status::Finished) == 0 => {
            return begin(target);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unfit("the file that it tells about is gone; remove it to begin anew"));
        }
        Err(error) => return Err(ShardError::io("open", target, error)),
    };
    let meta = file.metadata().map_err(|error| ShardError::io("look at", target, error))?;
    if !meta.is_file() {
        return Err(unfit("what it tells about is not a regular file"));
    }
    lock(&file, target)?;
    // Of another length only if it was ended before it had one.
    if meta.len() != map.total() && map.bytes(Status::Finished) > 0 {
        return Err(unfit(
            "the file that it tells about has another length by now; remove both to begin anew",
        ));
    }
    // An interrupted copy wrote there, and its source may have been another brick.
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for area in map.areas().filter(|area| area.status != Status::Finished) {
        if area.offset < meta.len() {
            rustix::fs::fallocate(&file, punch, area.offset, area.len)
                .map_err(|error| ShardError::io("empty parts of", target, error))?;
        }
    }
    Ok(file)
}

fn lock(file: &File, target: &Path) -> Result<(), ShardError> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| ShardError::io("lock", target, error))
}

/// A copy that is being made.
struct Rescue<'a> {
    file: &'a File,
    target: &'a Path,
    mapfile: &'a Path,
    map: Mapfile,
    progress: Progress,
    missing: Vec<MissingPart>,
    saved: Instant,
}

impl Rescue<'_> {
    fn fill(
        &mut self,
        source: &dyn Storage,
        missing: Missing,
        watch: &mut Watch<'_>,
    ) -> Result<(), ShardError> {
        let mut copier = Copier::new(source, self.file, self.target, missing)?;
        let left: Vec<_> = self.map.areas().filter(|area| area.status != Status::Finished).collect();
        for area in left {
            let (mut at, end) = (area.offset, area.offset + area.len);
            while at < end {
                let piece = copier.next(at, end)?;
                self.progress.add(&piece, &copier);
                let status = match piece.done {
                    Done::Copied | Done::Hole => Status::Finished,
                    Done::Missing(why) => {
                        self.note(at, piece.len, why);
                        Status::Bad
                    }
                };
                self.map.mark(at, piece.len, status);
                at += piece.len;
                if watch(self.progress).is_break() {
                    return Err(ShardError::Cancelled);
                }
                if self.saved.elapsed() >= SAVED_EVERY {
                    self.save()?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, offset: u64, len: u64, why: String) {
        let told = self.missing.len();
        match self.missing.last_mut() {
            Some(last) if last.offset + last.len == offset && last.why == why => last.len += len,
            _ if told < TOLD => self.missing.push(MissingPart { offset, len, why }),
            _ => {}
        }
    }

    /// Brings to disk what was copied, then says so in the mapfile.
    fn save(&mut self) -> Result<(), ShardError> {
        self.file.sync_data().map_err(|error| ShardError::io("bring to disk", self.target, error))?;
        let write = |error| ShardError::io("write", PathBuf::from(self.mapfile), error);
        let fresh = FreshFile::create(self.mapfile, true).map_err(write)?;
        io::Write::write_all(&mut fresh.file(), self.map.to_text().as_bytes()).map_err(write)?;
        fresh.finish().map_err(write)?;
        self.saved = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicBool, Ordering};

    use stillpoint_storage::{Extent, ExtentKind};

    use super::*;

    const PIECE: u64 = 1 << 20;

    /// Four pieces: data, a hole, one that is not known for now, and data of which a block can't be read for now.
    #[derive(Default)]
    struct Sick {
        healed: AtomicBool,
    }

    const BAD: u64 = 3 * PIECE + 8192;

    impl Sick {
        fn is_healed(&self) -> bool {
            self.healed.load(Ordering::Relaxed)
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |at: u64| if at / PIECE == 1 { 0 } else { (at / PIECE) as u8 + 1 };
            (0..4 * PIECE).map(byte).collect()
        }
    }

    impl Storage for Sick {
        fn len(&self) -> u64 {
            4 * PIECE
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            assert_ne!(offset / PIECE, 1, "a hole was read");
            let end = offset + buf.len() as u64;
            if !self.is_healed() && offset / PIECE == 2 {
                return Err(io::Error::other("brick h:/b is missing"));
            }
            if !self.is_healed() && offset < BAD + 4096 && end > BAD {
                return Err(io::Error::other("bad blocks"));
            }
            buf.fill((offset / PIECE) as u8 + 1);
            Ok(buf.len())
        }
        fn next_extent(&self, offset: u64) -> io::Result<Extent> {
            let kind = match offset / PIECE {
                1 => ExtentKind::Hole,
                2 if !self.is_healed() => ExtentKind::Unknown,
                _ => ExtentKind::Data,
            };
            Ok(Extent { offset, len: PIECE - offset % PIECE, kind })
        }
    }

    fn go_on_always(_: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    struct Desk {
        dir: tempfile::TempDir,
        source: Sick,
    }

    impl Desk {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), source: Sick::default() }
        }
        fn target(&self) -> PathBuf {
            self.dir.path().join("out")
        }
        fn mapfile(&self) -> PathBuf {
            self.dir.path().join("out.map")
        }
        fn map(&self) -> Mapfile {
            read_map(&self.mapfile()).unwrap().unwrap()
        }
        fn rescue(&self, leave_out: bool, watch: &mut Watch<'_>) -> Result<Rescued, ShardError> {
            let options = RescueOptions { about: "disk".to_owned(), leave_out };
            rescue_file(&self.source, &self.target(), &self.mapfile(), &options, watch)
        }
    }

    #[test]
    fn what_is_not_known_is_left_out_by_name_and_filled_in_once_it_is_known() {
        let desk = Desk::new();
        let first = desk.rescue(true, &mut go_on_always).unwrap();
        let missing: Vec<_> = first.missing.iter().map(|part| (part.offset, part.len, &*part.why)).collect();
        assert_eq!(missing, [(2 * PIECE, PIECE, "brick h:/b is missing"), (BAD, 4096, "bad blocks")]);
        assert_eq!((first.progress.missing, first.before), (PIECE + 4096, 0));
        assert_eq!(desk.map().bytes(Status::Bad), PIECE + 4096);
        let mut wanted = desk.source.bytes();
        wanted[2 * PIECE as usize..3 * PIECE as usize].fill(0);
        wanted[BAD as usize..BAD as usize + 4096].fill(0);
        assert!(std::fs::read(desk.target()).unwrap() == wanted);
        // Somebody wrote into what is missing: it is not taken for data.
        let file = OpenOptions::new().write(true).open(desk.target()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[9; 5000], 2 * PIECE + 77).unwrap();
        drop(file);
        desk.rescue(true, &mut go_on_always).unwrap();
        assert!(std::fs::read(desk.target()).unwrap() == wanted);

        desk.source.healed.store(true, Ordering::Relaxed);
        let last = desk.rescue(false, &mut go_on_always).unwrap();
        assert_eq!((last.before, last.progress.copied), (3 * PIECE - 4096, PIECE + 4096));
        assert_eq!((last.progress.done, last.progress.missing), (4 * PIECE, 0));
        assert!(last.missing.is_empty() && desk.map().bytes(Status::Finished) == 4 * PIECE);
        assert!(std::fs::read(desk.target()).unwrap() == desk.source.bytes());
    }

    #[test]
    fn without_leave_to_leave_out_it_ends_where_something_is_missing_and_keeps_what_was_done() {
        let desk = Desk::new();
        let refused = desk.rescue(false, &mut go_on_always).unwrap_err();
        assert!(refused.to_string().contains("h:/b is missing"), "{refused}");
        assert_eq!(desk.map().bytes(Status::Finished), 2 * PIECE);
    }

    #[test]
    fn an_interrupted_copy_goes_on_where_it_was() {
        let desk = Desk::new();
        desk.source.healed.store(true, Ordering::Relaxed);
        let mut stop = |at: Progress| {
            if at.done < 2 * PIECE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        assert!(matches!(desk.rescue(false, &mut stop), Err(ShardError::Cancelled)));
        let done = desk.rescue(false, &mut go_on_always).unwrap();
        assert_eq!((done.before, done.progress.copied), (2 * PIECE, 2 * PIECE));
        assert!(std::fs::read(desk.target()).unwrap() == desk.source.bytes());
    }

    #[test]
    fn a_mapfile_of_something_else_or_without_its_file_is_refused_and_so_is_a_file_without_a_mapfile() {
        let desk = Desk::new();
        desk.rescue(true, &mut go_on_always).unwrap();
        let other = RescueOptions { about: "another".to_owned(), leave_out: true };
        let refused = |options: &RescueOptions| {
            rescue_file(&desk.source, &desk.target(), &desk.mapfile(), options, &mut go_on_always)
                .unwrap_err()
        };
        assert!(matches!(refused(&other), ShardError::Mapfile { .. }));
        let same = RescueOptions { about: "disk".to_owned(), leave_out: true };
        let held = File::open(desk.target()).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        assert!(refused(&same).to_string().contains("can't lock"));
        drop(held);
        OpenOptions::new().write(true).open(desk.target()).unwrap().set_len(5).unwrap();
        assert!(refused(&same).to_string().contains("another length"));
        std::fs::remove_file(desk.target()).unwrap();
        assert!(refused(&same).to_string().contains("is gone"));
        std::fs::remove_file(desk.mapfile()).unwrap();
        std::fs::write(desk.target(), "old").unwrap();
        assert!(matches!(refused(&same), ShardError::TargetExists { .. }));
        assert_eq!(std::fs::read(desk.target()).unwrap(), b"old");
        std::fs::write(desk.mapfile(), "rubbish").unwrap();
        assert!(matches!(refused(&same), ShardError::Mapfile { .. }));
    }
}
