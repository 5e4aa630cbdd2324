//! Writing blocks back as they are.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;

use super::{ResyncError, ResyncFile, ResyncOptions, Resynced, Stillness};
use crate::clock::Clock;

/// What is written back at a time, where the file is read past all caches: no file system asks for a larger alignment.
const BLOCK: usize = 4096;

/// What is written back where a file ends within a block.
const SECTOR: usize = 512;

/// How far behind a client's caches may be where they can't be passed: twice their timeouts' default, 1 s.
const SETTLE: Duration = Duration::from_secs(2);

/// Has the next run send `files` again, by writing a block of each shard back as it is. `progress` is told how many
/// shards of how many of a file are done.
///
/// Reads and writes go past the kernel's and the client's caches where the mount allows it (`O_DIRECT`): a block that is
/// written back must be what the bricks hold and not what this host remembers.
///
/// # Errors
/// [`ResyncError`]; files before the one that it names are done.
pub fn resync(
    files: &[ResyncFile],
    options: &ResyncOptions,
    still: &dyn Stillness,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(&Path, u64, u64),
    cancel: &AtomicBool,
) -> Result<Vec<Resynced>, ResyncError> {
    if options.shard_size == 0 || !options.shard_size.is_multiple_of(BLOCK as u64) {
        return Err(ResyncError::ShardSize(options.shard_size));
    }
    let mount = std::fs::metadata(&options.mount).map_err(io_error("look at", &options.mount))?;
    files.iter().map(|file| one(file, options, mount.dev(), still, clock, progress, cancel)).collect()
}

fn one(
    file: &ResyncFile,
    options: &ResyncOptions,
    device: u64,
    still: &dyn Stillness,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(&Path, u64, u64),
    cancel: &AtomicBool,
) -> Result<Resynced, ResyncError> {
    let path = &file.path;
    let opened = Opened::open(path)?;
    if opened.device != device {
        return Err(ResyncError::Outside { path: path.clone(), mount: options.mount.clone() });
    }
    let count = opened.size.div_ceil(options.shard_size);
    if let Some(shard) = file.shards.iter().flatten().find(|s| **s >= count) {
        return Err(ResyncError::NoSuchShard { path: path.clone(), shard: *shard, size: opened.size });
    }
    let prove = || {
        still.prove(path, &opened.file).map_err(|reason| ResyncError::NotStill { path: path.clone(), reason })
    };
    let shards: Box<dyn Iterator<Item = u64>> = match &file.shards {
        Some(shards) => Box::new(shards.iter().copied()),
        None => Box::new(0..count),
    };
    let wanted = file.shards.as_ref().map_or(count, |s| s.len() as u64);
    prove()?;
    if !opened.direct {
        clock.sleep(SETTLE);
    }
    let (mut done, mut left_out) = (0, 0);
    for shard in shards {
        if cancel.load(Ordering::Relaxed) {
            return Err(ResyncError::Cancelled);
        }
        let begin = shard * options.shard_size;
        let end = begin.saturating_add(options.shard_size).min(opened.size);
        let block = still.may_rewrite(path, begin..end).and_then(|part| opened.block(part, &(begin..end)));
        match block {
            Some(block) => {
                prove()?;
                opened.write_back(path, block)?;
                done += 1;
            }
            None => left_out += 1,
        }
        progress(path, done + left_out, wanted);
    }
    opened.file.sync_data().map_err(io_error("sync", path))?;
    let still = prove()?;
    Ok(Resynced { path: path.clone(), size: opened.size, shards: done, left_out, still })
}

/// A file, open for reading and writing.
struct Opened {
    file: File,
    device: u64,
    size: u64,
    /// Whether caches are passed, so that only whole sectors can be read and written.
    direct: bool,
}

impl Opened {
    fn open(path: &Path) -> Result<Self, ResyncError> {
        let before = std::fs::symlink_metadata(path).map_err(io_error("look at", path))?;
        if !before.is_file() {
            return Err(ResyncError::NotAFile { path: path.to_owned() });
        }
        let open = |flags: OFlags| {
            let flags = i32::try_from((flags | OFlags::NOFOLLOW).bits()).unwrap_or_default();
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
        };
        let whole_sectors = before.len().is_multiple_of(SECTOR as u64);
        let (file, direct) = match if whole_sectors { open(OFlags::DIRECT) } else { open(OFlags::empty()) } {
            Ok(file) => (file, whole_sectors),
            // This file system can't.
            Err(error) if whole_sectors && error.kind() == io::ErrorKind::InvalidInput => {
                (open(OFlags::empty()).map_err(io_error("open", path))?, false)
            }
            Err(error) => return Err(io_error("open", path)(error)),
        };
        let now = file.metadata().map_err(io_error("look at", path))?;
        if !now.is_file() || (now.ino(), now.len()) != (before.ino(), before.len()) {
            return Err(ResyncError::NotAFile { path: path.to_owned() });
        }
        Ok(Self { file, device: now.dev(), size: now.len(), direct })
    }

    /// A block within `part` of a shard.
    fn block(&self, part: Range<u64>, shard: &Range<u64>) -> Option<Range<u64>> {
        let part = part.start.max(shard.start)..part.end.min(shard.end);
        let lengths: &[usize] = if self.direct { &[BLOCK, SECTOR] } else { &[1] };
        lengths.iter().find_map(|len| {
            let len = *len as u64;
            let start = part.start.checked_next_multiple_of(len)?;
            let end = start.checked_add(len)?;
            (end <= part.end).then_some(start..end)
        })
    }

    fn write_back(&self, path: &Path, block: Range<u64>) -> Result<(), ResyncError> {
        let len = usize::try_from(block.end - block.start).unwrap_or(BLOCK).min(BLOCK);
        let (mut before, mut after) = (Aligned::new(), Aligned::new());
        self.file.read_exact_at(before.bytes(len), block.start).map_err(io_error("read", path))?;
        self.file.write_all_at(before.bytes(len), block.start).map_err(io_error("write", path))?;
        self.file.read_exact_at(after.bytes(len), block.start).map_err(io_error("read", path))?;
        if before.bytes(len) == after.bytes(len) {
            Ok(())
        } else {
            Err(ResyncError::Changed { path: path.to_owned(), offset: block.start })
        }
    }
}

/// Memory for a block at an address that suits `O_DIRECT`.
struct Aligned(Vec<u8>);

impl Aligned {
    fn new() -> Self {
        Self(vec![0; 2 * BLOCK])
    }

    fn bytes(&mut self, len: usize) -> &mut [u8] {
        let at = self.0.as_ptr().align_offset(BLOCK).min(BLOCK);
        self.0.get_mut(at..at + len.min(BLOCK)).unwrap_or_default()
    }
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ResyncError + 'a {
    move |source| ResyncError::Io { doing, path: path.to_owned(), source }
}
