//! Opening a file: its gfid, size and shard size from the base, and which shards there are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::{Choice, ShardIndex, ShardedFile, count};
use crate::ShardError;
use crate::finding::{Finding, Findings};
use crate::raw::xattr;
use crate::set::Copy;
use crate::volume::{FileRef, Inner, Place, Resolved};

/// What a base tells about its file.
struct Base {
    size: u64,
    shard_size: Option<u64>,
    /// Sizes that good copies tell, where they differ.
    sizes: Option<Vec<u64>>,
}

/// What is to be known of a file without looking at its shards.
pub(crate) struct Stat {
    pub(crate) gfid: Uuid,
    /// The number of the set that has the base.
    pub(crate) set: usize,
    pub(crate) size: u64,
    pub(crate) shard_size: Option<u64>,
    /// What is odd about it.
    findings: Findings,
}

impl Stat {
    /// Looks for a file's base; `None` where it is proven not to be there.
    pub(crate) fn look(
        inner: &Inner,
        place: &Place,
        what: &dyn Fn() -> String,
    ) -> Result<Option<Self>, ShardError> {
        let Resolved::File { set: s, copies, findings: found } = inner.look_everywhere(place, true, what)?
        else {
            return Ok(None);
        };
        let gfid = copies.gfid;
        let set = inner.sets.get(s).ok_or_else(|| ShardError::NotFound { what: what() })?;
        let good = set.metadata_sources(&copies, what)?;
        let good: Vec<&Copy> = copies.copies.iter().filter(|copy| good.contains(&copy.member)).collect();
        let bad_xattr = |name: &str, problem: &str| ShardError::BadXattr {
            brick: good.first().map_or_else(|| set.brick(0), |copy| set.brick(copy.member)),
            path: place.name.clone(),
            xattr: name.to_owned(),
            problem: problem.to_owned(),
        };
        let base = match sharded(&good, &bad_xattr)? {
            Some(base) => base,
            None => {
                let ranked = inner.rank(s, copies, what)?;
                Base { size: ranked.len(), shard_size: None, sizes: None }
            }
        };
        let findings = Findings::default();
        found.into_iter().for_each(|finding| findings.add(finding));
        if let Some(sizes) = base.sizes {
            findings.add(Finding::SizesDiffer { what: what(), sizes });
        }
        Ok(Some(Self { gfid, set: s, size: base.size, shard_size: base.shard_size, findings }))
    }
}

impl ShardedFile {
    pub(crate) fn open(inner: Arc<Inner>, name: FileRef, place: Place) -> Result<Self, ShardError> {
        let what = || name.to_string();
        let Some(Stat { gfid, size, shard_size, findings, .. }) = Stat::look(&inner, &place, &what)? else {
            return Err(ShardError::NotFound { what: what() });
        };
        let index = match shard_size {
            Some(span) => ShardIndex::build(&inner.sets, &inner.shard_dirs, gfid, count(size, span))?,
            None => ShardIndex::default(),
        };
        if let Some((shards, last)) = index.past_the_end {
            findings.add(Finding::PastTheEnd { what: what(), shards, last });
        }
        let choices = (0..=index.present().len()).map(|_| AtomicU32::new(Choice::Open.pack())).collect();
        let absence_is_proven = Self::absent(&inner, &what).is_ok();
        Ok(Self {
            id: inner.next_file.fetch_add(1, Ordering::Relaxed),
            inner,
            gfid,
            size,
            shard_size,
            base: place,
            index,
            absence_is_proven,
            choices,
            findings,
            allocated: OnceLock::new(),
            name,
        })
    }
}

/// The size and shard size that good copies of a base agree about; `None` where it is not sharded. Where they
/// differ in the size alone, the largest is taken, so that nothing is cut off.
fn sharded(good: &[&Copy], bad_xattr: &dyn Fn(&str, &str) -> ShardError) -> Result<Option<Base>, ShardError> {
    let Some(shard_size) = good.first().map(|copy| copy.shard_size) else {
        return Err(bad_xattr(xattr::SHARD_BLOCK_SIZE, "has no good copy"));
    };
    if good.iter().any(|copy| copy.shard_size != shard_size) {
        return Err(bad_xattr(xattr::SHARD_BLOCK_SIZE, "differs between good copies"));
    }
    if shard_size.is_none() {
        return Ok(None);
    }
    let sizes: Option<Vec<u64>> = good.iter().map(|copy| copy.file_size.map(|size| size.size)).collect();
    let sizes =
        sizes.ok_or_else(|| bad_xattr(xattr::SHARD_FILE_SIZE, "is missing, though the file is sharded"))?;
    let size = sizes.iter().copied().max().unwrap_or(0);
    let differ = sizes.iter().any(|other| *other != size);
    Ok(Some(Base { size, shard_size, sizes: differ.then_some(sizes) }))
}
