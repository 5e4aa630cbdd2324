//! Comparing the contents of good copies, and checking fragments against each other.

use std::io;

use stillpoint_storage::{ExtentKind, FileStorage, Storage as _};

use super::Problem;
use super::differ::{self, Difference};
use super::index::bricks;
use super::parallel::Steps;
use crate::disperse::CHUNK;
use crate::file::Ranked;
use crate::set::Set;

/// Bytes of each copy or fragment that are compared at a time; a multiple of a chunk.
const PIECE: usize = 256 << 10;

/// What comparing came to.
#[derive(Debug)]
pub(super) enum Compared {
    /// All that counts is the same.
    Same,
    /// It is not.
    Differs(Problem),
    /// There is nothing to compare it with.
    Alone,
    /// A copy could not be read: why.
    Unreadable(String),
    /// The caller wants no more.
    Stopped,
}

/// A copy or fragment that is read.
struct Source {
    /// The brick's number in the set.
    member: usize,
    storage: FileStorage,
}

/// Compares all good copies or fragments of a file or shard.
pub(super) fn compare(set: &Set, ranked: Ranked, steps: &dyn Steps) -> Compared {
    let needed = ranked.coded.map_or(1, |coded| coded.code.data());
    if ranked.sources.len() <= needed {
        return Compared::Alone;
    }
    let mut sources = Vec::with_capacity(ranked.sources.len());
    for copy in ranked.copies.copies {
        if !ranked.sources.contains(&copy.member) {
            continue;
        }
        match FileStorage::from_file(copy.open.file) {
            Ok(storage) => sources.push(Source { member: copy.member, storage }),
            Err(error) => return unreadable(set, copy.member, &error),
        }
    }
    sources.sort_unstable_by_key(|source| source.member);
    let len = match ranked.coded {
        Some(coded) => coded.code.fragment_len(coded.size),
        // Other lengths are a finding of their own.
        None => sources.iter().map(|source| source.storage.len()).min().unwrap_or(0),
    };
    let members: Vec<usize> = sources.iter().map(|source| source.member).collect();
    let code = ranked.coded.map(|coded| coded.code);
    let check = |pieces: &[&[u8]]| match code {
        None => differ::copies(&members, pieces),
        Some(code) => differ::fragments(set, code, &members, pieces),
    };
    let found = match first_difference(&sources, len, steps, &check) {
        Ok(found) => found,
        Err(Ended::Stopped) => return Compared::Stopped,
        Err(Ended::Unreadable(member, error)) => return unreadable(set, member, &error),
    };
    let Some((at, difference)) = found else { return Compared::Same };
    let scale = ranked.coded.map_or(1, |coded| coded.code.data() as u64);
    Compared::Differs(Problem::Diverged {
        bricks: bricks(set, &members),
        off: bricks(set, &difference.off),
        offset: at * scale + difference.from,
        length: difference.len,
    })
}

fn unreadable(set: &Set, member: usize, error: &io::Error) -> Compared {
    Compared::Unreadable(format!("the copy on brick {}: {error}", set.brick(member)))
}

enum Ended {
    Stopped,
    Unreadable(usize, io::Error),
}

/// Reads all sources piece by piece, up to the first piece in which they differ; gives its offset in each source.
fn first_difference(
    sources: &[Source],
    len: u64,
    steps: &dyn Steps,
    check: &dyn Fn(&[&[u8]]) -> Option<Difference>,
) -> Result<Option<(u64, Difference)>, Ended> {
    let mut buffer = vec![0; PIECE * sources.len()];
    let mut at = 0;
    while at < len {
        let hole = end_of_hole(sources, at)? / CHUNK as u64 * CHUNK as u64;
        if hole > at {
            at = hole;
            continue;
        }
        let n = usize::try_from(len - at).unwrap_or(usize::MAX).min(PIECE);
        for (source, piece) in sources.iter().zip(buffer.chunks_exact_mut(PIECE)) {
            let read = source.storage.read_exact_at(at, &mut piece[..n]);
            read.map_err(|error| Ended::Unreadable(source.member, error))?;
        }
        let pieces: Vec<&[u8]> = buffer.chunks_exact(PIECE).map(|piece| &piece[..n]).collect();
        if let Some(difference) = check(&pieces) {
            return Ok(Some((at, difference)));
        }
        if !steps.bytes((n * sources.len()) as u64) {
            return Err(Ended::Stopped);
        }
        at += n as u64;
    }
    Ok(None)
}

/// Up to where all sources have holes from `at` on; `at` where one has none there.
fn end_of_hole(sources: &[Source], at: u64) -> Result<u64, Ended> {
    let mut end = u64::MAX;
    for source in sources {
        if at >= source.storage.len() {
            return Ok(at);
        }
        let extent =
            source.storage.next_extent(at).map_err(|error| Ended::Unreadable(source.member, error))?;
        if extent.kind != ExtentKind::Hole {
            return Ok(at);
        }
        end = end.min(extent.end());
    }
    Ok(end)
}
