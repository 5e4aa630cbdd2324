//! Digesting a file shard by shard.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stillpoint_shard::{ShardState, ShardedFile};
use uuid::Uuid;

use super::content::{self, CHUNK, Interrupted};
use super::{Digest, FileManifest, Kind, ShardDigest};
use crate::cancel::Stopped;
use crate::error::{Error, Result, io};

/// The most shards that a file may have: 64 TiB in shards of 4 MiB. Its manifest then takes 1 GiB of memory, which is
/// 64 bytes a shard.
pub const MOST_SHARDS: u64 = 1 << 24;

/// The most threads that are used unasked: beyond it, disks are slower than BLAKE3.
const THREADS: usize = 4;

/// How long a shard may go on changing before it counts as written to. A still file's bricks come to rest late: AFR
/// takes its marks back a second after the last write (`cluster.post-op-delay-secs`), later on a busy brick, and each
/// mark changes the shard's ctime.
pub const SETTLING: Duration = Duration::from_secs(20);

/// How long to wait before a shard that changed is digested again.
const PAUSE: Duration = Duration::from_millis(250);

/// How files are digested.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManifestOptions {
    /// How many threads; as many as there are processors, and at most 4, when `None`. Each takes 1 MiB.
    pub threads: Option<NonZeroUsize>,
}

/// A file's manifest, and whom a complaint about it may name.
#[derive(Debug, Clone)]
pub struct Digested {
    /// What the file holds.
    pub manifest: FileManifest,
    /// The gfid of the file and of each of its shards that are there.
    pub gfids: BTreeSet<Uuid>,
}

/// Digests a file straight from its bricks, one good copy of each shard. `path` names it in the manifest. `progress` is
/// called from several threads, with how many logical bytes were done since its last call there, and may end it.
///
/// # Errors
/// When a shard can't be read or isn't known, doesn't come to rest within [`SETTLING`], there are more than
/// [`MOST_SHARDS`], or `progress` ends it.
pub fn file_manifest(
    file: &ShardedFile,
    path: &str,
    options: &ManifestOptions,
    progress: &(dyn Fn(u64) -> Result<(), Stopped> + Sync),
) -> Result<Digested> {
    let count = file.shard_count();
    if count > MOST_SHARDS {
        return Err(Error::TooManyShards { path: path.to_owned(), count, limit: MOST_SHARDS });
    }
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS);
    let threads =
        options.threads.map_or(processors, NonZeroUsize::get).min(usize::try_from(count).unwrap_or(1).max(1));
    let work = Work { file, path, count, progress, next: AtomicU64::new(0), failed: AtomicBool::new(false) };
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Error::Internal(format!("digesting {path} panicked"))))
            })
            .collect::<Result<Vec<_>>>()
    })?;

    let mut gfids = BTreeSet::from([file.gfid()]);
    let mut bytes_read = 0;
    let mut shards = vec![ShardDigest::hole(); usize::try_from(count).unwrap_or(usize::MAX)];
    for done in parts.into_iter().flatten() {
        gfids.extend(done.gfid);
        bytes_read += done.bytes_read;
        let at = usize::try_from(done.index).ok().and_then(|index| shards.get_mut(index));
        *at.ok_or_else(|| Error::Internal(format!("shard {} of {count}", done.index)))? = done.digest;
    }
    let mut manifest = FileManifest {
        path: path.to_owned(),
        kind: Kind::WholeFile,
        gfid: file.gfid(),
        size: file.size(),
        shard_size: file.shard_size().unwrap_or(file.size()),
        shards,
        digest: Digest::of_nothing(),
        bytes_read,
        choices: file
            .findings()
            .iter()
            .filter(|finding| finding.is_choice())
            .map(ToString::to_string)
            .collect(),
    };
    manifest.digest = manifest.computed_digest();
    Ok(Digested { manifest, gfids })
}

/// What the threads share.
struct Work<'a> {
    file: &'a ShardedFile,
    path: &'a str,
    count: u64,
    progress: &'a (dyn Fn(u64) -> Result<(), Stopped> + Sync),
    next: AtomicU64,
    failed: AtomicBool,
}

/// One shard that is digested.
struct Done {
    index: u64,
    digest: ShardDigest,
    gfid: Option<Uuid>,
    bytes_read: u64,
}

impl Work<'_> {
    /// Takes shard after shard until none is left or another thread failed.
    fn run(&self) -> Result<Vec<Done>> {
        let mut buffer = vec![0; CHUNK];
        let mut done = Vec::new();
        while !self.failed.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                break;
            }
            match self.shard(index, &mut buffer) {
                Ok(shard) => done.push(shard),
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    }

    fn shard(&self, index: u64, buffer: &mut [u8]) -> Result<Done> {
        let span = self.file.shard_size().unwrap_or(self.file.size());
        let start = index.saturating_mul(span);
        let end = start.saturating_add(span).min(self.file.size());
        let shard = match self.file.shard(index)? {
            ShardState::Hole => {
                (self.progress)(end - start).map_err(Error::Stopped)?;
                return Ok(Done { index, digest: ShardDigest::hole(), gfid: None, bytes_read: 0 });
            }
            ShardState::Present(shard) => shard,
        };
        let first = shard.chosen().ok_or_else(|| self.failed(index, "no copy of it is chosen".to_owned()))?;
        let stamps = || shard.all_chosen().map(|copy| Stamp::of(&copy.local)).collect::<Result<Vec<_>>>();
        let began = Instant::now();
        let mut told = Progress { to: self.progress, counts: true };
        let (before, content) = loop {
            let before = stamps()?;
            let content = content::digest(self.file, start, end, buffer, &mut |bytes| told.tell(bytes));
            let content = content.map_err(|why| match why {
                Interrupted::Reading(error) => self.failed(index, error.to_string()),
                Interrupted::Told(error) => error,
            })?;
            if stamps()? == before {
                break (before, content);
            }
            if began.elapsed() >= SETTLING {
                return Err(Error::Changed { path: first.local.clone() });
            }
            // Its bytes were told once.
            told.counts = false;
            std::thread::sleep(PAUSE);
        };
        let stored = match (first.fragment, before.as_slice()) {
            (None, [only]) => only.len,
            // A fragment's length is not the shard's.
            _ => shard.len,
        };
        let digest = ShardDigest { digest: content.digest, length: content.length, stored: Some(stored) };
        Ok(Done { index, digest, gfid: Some(shard.gfid), bytes_read: content.read })
    }

    fn failed(&self, index: u64, reason: String) -> Error {
        Error::Shard { path: self.path.to_owned(), index, reason }
    }
}

/// Whom to tell of the bytes done; asked whether to go on also where bytes are read again and don't count.
#[derive(Clone, Copy)]
struct Progress<'a> {
    to: &'a (dyn Fn(u64) -> Result<(), Stopped> + Sync),
    counts: bool,
}

impl Progress<'_> {
    fn tell(self, bytes: u64) -> Result<()> {
        (self.to)(if self.counts { bytes } else { 0 }).map_err(Error::Stopped)
    }
}

/// What changes when somebody writes to a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    dev: u64,
    ino: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Self> {
        let meta = std::fs::symlink_metadata(path).map_err(io("look at the shard", path))?;
        Ok(Self {
            dev: meta.dev(),
            ino: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::AtomicUsize;

    use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
    use stillpoint_testkit::volume::{BrickTrees, Shape};

    use super::*;

    fn open(dir: &Path) -> (BrickTrees, ShardedFile) {
        let shape = Shape::default();
        let mut trees = BrickTrees::create(dir, shape).unwrap();
        trees.create_file("disk").unwrap();
        trees.write("disk", 0, &[7; 4000]).unwrap();
        trees.save().unwrap();
        trees.write_glusterd_directory(&dir.join("vol")).unwrap();
        let topology = Topology::load(dir.join("vol"), None).unwrap();
        let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap();
        let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
        (trees, file)
    }

    #[test]
    fn a_shard_that_comes_to_rest_is_digested_and_its_bytes_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let (trees, file) = open(dir.path());
        let shard = trees.brick(0).join("disk");
        let (times, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        let manifest = file_manifest(&file, "disk", &ManifestOptions::default(), &|done| {
            bytes.fetch_add(done, Ordering::Relaxed);
            // As AFR does with its marks: the ctime changes, the content doesn't.
            if times.fetch_add(1, Ordering::Relaxed) < 2 {
                fs::set_permissions(&shard, Permissions::from_mode(0o600)).unwrap();
            }
            Ok(())
        });
        assert_eq!(manifest.unwrap().manifest.shards[0].digest, blake3::hash(&[7; 4000]).into());
        assert_eq!(bytes.into_inner(), 4000);
        assert!(times.into_inner() > 2, "it was not digested again");
    }

    #[test]
    fn a_shard_that_never_rests_can_be_given_up_at_any_time() {
        let dir = tempfile::tempdir().unwrap();
        let (trees, file) = open(dir.path());
        let shard = trees.brick(0).join("disk");
        let times = AtomicUsize::new(0);
        let outcome = file_manifest(&file, "disk", &ManifestOptions::default(), &|_| {
            fs::set_permissions(&shard, Permissions::from_mode(0o600)).unwrap();
            if times.fetch_add(1, Ordering::Relaxed) < 3 { Ok(()) } else { Err(Stopped::Cancelled) }
        });
        assert!(matches!(outcome, Err(Error::Stopped(Stopped::Cancelled))), "{outcome:?}");
    }
}
