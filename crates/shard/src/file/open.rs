//! Opening a file: its gfid, size and shard size from the base, and which shards there are.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::remains::Gone;
use super::{Choice, FileOptions, Remains, ShardIndex, ShardedFile, SizeChoice, count};
use crate::ShardError;
use crate::finding::{Finding, Findings};
use crate::raw::xattr;
use crate::set::{Copy, Sources};
use crate::volume::{FileRef, Inner, Place, Resolved};

/// What a base tells about its file, and what the caller has.
struct Base {
    /// The size that it tells.
    told: Option<u64>,
    shard_size: Option<u64>,
    /// Sizes that good copies tell, where they differ.
    sizes: Option<Vec<u64>>,
    /// The shard size that it tells, where the caller has another.
    other: Option<Option<u64>>,
}

/// What is to be known of a file without looking at its shards.
pub(crate) struct Stat {
    pub(crate) gfid: Uuid,
    /// The number of the set that has the base.
    pub(crate) set: usize,
    /// The size in bytes; what the base tells if the caller told one, and 0 if it tells none then.
    pub(crate) size: u64,
    /// The size that the base tells.
    told: Option<u64>,
    pub(crate) shard_size: Option<u64>,
    /// Bytes that are allocated for the whole file by the count in its size xattr, and for its base.
    pub(crate) allocated: Option<(u64, u64)>,
    /// What is odd about it.
    pub(crate) findings: Findings,
}

impl Stat {
    /// Looks for a file's base; `None` where it is proven not to be there.
    pub(crate) fn look(
        inner: &Inner,
        place: &Place,
        what: &dyn Fn() -> String,
    ) -> Result<Option<Self>, ShardError> {
        Self::look_with(inner, place, what, &FileOptions::default())
    }

    /// The same, where the caller may tell what the base ought to.
    pub(super) fn look_with(
        inner: &Inner,
        place: &Place,
        what: &dyn Fn() -> String,
        options: &FileOptions,
    ) -> Result<Option<Self>, ShardError> {
        let looked = inner.look_with(place, true, options.is_given(), what)?;
        let Resolved::File { set: s, copies, findings: found } = looked else { return Ok(None) };
        let gfid = copies.gfid;
        let set = inner.sets.get(s).ok_or_else(|| ShardError::NotFound { what: what() })?;
        let Sources { members, chosen } = set.metadata_sources(&copies, what)?;
        let good: Vec<&Copy> = copies.copies.iter().filter(|copy| members.contains(&copy.member)).collect();
        let bad_xattr = |name: &str, problem: &str| ShardError::BadXattr {
            brick: good.first().map_or_else(|| set.brick(0), |copy| set.brick(copy.member)),
            path: place.name.clone(),
            xattr: name.to_owned(),
            problem: problem.to_owned(),
        };
        let recorded = good.iter().filter_map(|copy| Some(copy.file_size?.blocks.saturating_mul(512))).max();
        let largest = copies.copies.iter().map(|copy| copy.open.allocated).max().unwrap_or(0);
        let fragments = set.code.map_or(1, |code| code.data() as u64);
        let allocated = recorded.map(|recorded| (recorded, largest.saturating_mul(fragments)));
        let findings = Findings::default();
        inner.note(&findings, chosen);
        let base = match sharded(&good, options, &bad_xattr)? {
            Some(base) => base,
            None if options.size.is_some() => {
                return Err(ShardError::Spec {
                    what: what(),
                    problem: "it is not in shards, so that it is as long as it is; where its block size is lost, say that, \
                              too"
                        .to_owned(),
                });
            }
            None => {
                let ranked = inner.rank(s, copies, what)?;
                inner.note(&findings, ranked.decided.clone());
                Base { told: Some(ranked.len()), shard_size: None, sizes: None, other: None }
            }
        };
        inner.note(&findings, found);
        if let Some(sizes) = base.sizes {
            findings.add(Finding::SizesDiffer { what: what(), sizes });
        }
        if let (Some(told), Some(shard_size)) = (base.other, base.shard_size) {
            inner.note(&findings, [Finding::ShardSizeGiven { what: what(), shard_size, told }]);
        }
        let size = base.told.unwrap_or(0);
        let (told, shard_size) = (base.told, base.shard_size);
        Ok(Some(Self { gfid, set: s, size, told, shard_size, allocated, findings }))
    }
}

impl ShardedFile {
    pub(crate) fn open(
        inner: Arc<Inner>,
        name: FileRef,
        place: Place,
        options: &FileOptions,
    ) -> Result<Self, ShardError> {
        options.check()?;
        let what = || name.to_string();
        let (stat, gone) = match (Stat::look_with(&inner, &place, &what, options), &name) {
            (Ok(Some(_)), FileRef::Gfid(gfid)) if inner.is_deleted(&place, *gfid)? => {
                match remains(&inner, *gfid, options, None, &what)? {
                    (marker, Some(gone)) if gone.remains == Remains::Deleted => (marker, Some(gone)),
                    _ => return Err(ShardError::NotFound { what: what() }),
                }
            }
            (Ok(Some(stat)), _) => (Some(stat), None),
            (Ok(None), FileRef::Gfid(gfid)) => remains(&inner, *gfid, options, None, &what)?,
            (Err(error @ ShardError::Unknown { .. }), FileRef::Gfid(gfid)) => {
                remains(&inner, *gfid, options, Some(error), &what)?
            }
            (Ok(None), _) => return Err(ShardError::NotFound { what: what() }),
            (Err(error), _) => return Err(error),
        };
        let size = match (options.size, &gone, &stat) {
            (None, Some(_), Some(Stat { told: Some(told), .. })) => Some(SizeChoice::Bytes(*told)),
            (None, Some(_), _) => Some(SizeChoice::LastShard),
            (size, ..) => size,
        };
        let given = options.shard_size.filter(|_| stat.is_none());
        let gfid = match (&name, &stat) {
            // The marker of a deleted file may have a gfid of its own.
            (FileRef::Gfid(gfid), _) => *gfid,
            (FileRef::Path(_), Some(stat)) => stat.gfid,
            (FileRef::Path(_), None) => return Err(ShardError::NotFound { what: what() }),
        };
        let (told, stat_size) = stat.as_ref().map_or((None, 0), |stat| (stat.told, stat.size));
        let shard_size = match &stat {
            Some(stat) => stat.shard_size,
            // Until it is known, none is too long.
            None => Some(given.unwrap_or(UNKNOWN_SHARD_SIZE)),
        };
        let shards_lost = stat.as_ref().filter(|stat| stat.shard_size.is_some() && gone.is_none());
        let shards_lost = shards_lost.and_then(|stat| inner.shards_lost(stat.allocated));
        let findings = stat.map_or_else(Findings::default, |stat| stat.findings);
        if let Some(shard_size) = given {
            inner.note(&findings, [Finding::ShardSizeGiven { what: what(), shard_size, told: None }]);
        }
        let size = match (size, shard_size) {
            (Some(size), Some(_)) => size,
            _ => SizeChoice::Bytes(stat_size),
        };
        let index = match (shard_size, size) {
            (Some(UNKNOWN_SHARD_SIZE), _) | (Some(_), SizeChoice::LastShard) => {
                ShardIndex::build(&inner.sets, &inner.shard_dirs, gfid, u64::MAX)?
            }
            (Some(span), SizeChoice::Bytes(size)) => {
                ShardIndex::build(&inner.sets, &inner.shard_dirs, gfid, count(size, span))?
            }
            (None, _) => ShardIndex::default(),
        };
        if gone.as_ref().is_some_and(|gone| gone.remains != Remains::Deleted)
            && index.present().is_empty()
            && index.past_the_end.is_none()
        {
            return Err(match gone {
                Some(gone) if gone.remains == Remains::BaseMissing => gone.base_unknown(what()),
                _ => ShardError::NotFound { what: what() },
            });
        }
        if let Some((shards, last)) = index.past_the_end {
            findings.add(Finding::PastTheEnd { what: what(), shards, last });
        }
        let choices = (0..=index.present().len()).map(|_| AtomicU32::new(Choice::Open.pack())).collect();
        let may_be_deleted = gone.as_ref().is_some_and(|gone| gone.absent(String::new()).is_some());
        let nameless = match shard_size {
            Some(_) if inner.options.compare => inner.nameless_shards(gfid)?,
            _ => BTreeSet::new(),
        };
        let absence_is_proven = nameless.is_empty()
            && !may_be_deleted
            && shards_lost.is_none()
            && Self::absent(&inner, &what).is_ok();
        let mut file = Self {
            id: inner.next_file.fetch_add(1, Ordering::Relaxed),
            inner,
            gfid,
            size: stat_size,
            shard_size,
            base: place,
            gone,
            index,
            absence_is_proven,
            shards_lost,
            nameless,
            choices,
            findings,
            allocated: OnceLock::new(),
            name,
        };
        if file.shard_size == Some(UNKNOWN_SHARD_SIZE) {
            file.shard_size = Some(file.derive_shard_size()?);
        }
        let what = file.name.to_string();
        let finding = match size {
            SizeChoice::LastShard => {
                file.size = file.end_of_last_shard()?;
                Some(Finding::SizeFromShards { what, size: file.size, told })
            }
            SizeChoice::Bytes(size) => {
                file.size = size;
                options.size.map(|_| Finding::SizeGiven { what, size, told })
            }
        };
        file.inner.note(&file.findings, finding);
        Ok(file)
    }
}

/// Stands for a size of shards that is not known yet.
const UNKNOWN_SHARD_SIZE: u64 = 1 << 62;

/// What is left of the file, and what its marker tells of it.
fn remains(
    inner: &Inner,
    gfid: Uuid,
    options: &FileOptions,
    without: Option<ShardError>,
    what: &dyn Fn() -> String,
) -> Result<(Option<Stat>, Option<Gone>), ShardError> {
    let (gone, stat) = Gone::look(inner, gfid, options, without, what)?;
    // A marker of a file that was not in shards tells of none.
    Ok((stat.filter(|stat| stat.shard_size.is_some()), Some(gone)))
}

/// The size and shard size that good copies of a base agree about, or that the caller has; `None` where it is not sharded.
/// Where they differ in the size alone, the largest is taken, so that nothing is cut off.
fn sharded(
    good: &[&Copy],
    options: &FileOptions,
    bad_xattr: &dyn Fn(&str, &str) -> ShardError,
) -> Result<Option<Base>, ShardError> {
    let Some(first) = good.first().map(|copy| copy.shard_size) else {
        return Err(bad_xattr(xattr::SHARD_BLOCK_SIZE, "has no good copy"));
    };
    let agreed = good.iter().all(|copy| copy.shard_size == first && copy.bad_base.is_none());
    let (shard_size, other) = match options.shard_size {
        Some(given) if agreed && first == Some(given) => (first, None),
        Some(given) => (Some(given), Some(first)),
        None if good.iter().any(|copy| copy.shard_size != first) => {
            return Err(bad_xattr(xattr::SHARD_BLOCK_SIZE, "differs between good copies"));
        }
        None => (first, None),
    };
    if shard_size.is_none() {
        return match good.iter().find_map(|copy| copy.bad_base) {
            Some(problem) => Err(bad_xattr(xattr::SHARD_BLOCK_SIZE, problem)),
            None => Ok(None),
        };
    }
    let told = good.iter().map(|copy| copy.file_size.map(|size| size.size));
    if options.size.is_some() {
        return Ok(Some(Base { told: told.flatten().max(), shard_size, sizes: None, other }));
    }
    let sizes: Option<Vec<u64>> = told.collect();
    let sizes = sizes.ok_or_else(|| {
        bad_xattr(
            xattr::SHARD_FILE_SIZE,
            "is missing or makes no sense, though the file is sharded; say the size, on the command line with --file-size",
        )
    })?;
    let size = sizes.iter().copied().max().unwrap_or(0);
    let differ = sizes.iter().any(|other| *other != size);
    Ok(Some(Base { told: Some(size), shard_size, sizes: differ.then_some(sizes), other }))
}
