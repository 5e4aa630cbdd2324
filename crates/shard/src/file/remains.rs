//! What is left of files whose base is gone: their shards, and a marker where they were deleted.
//!
//! The first shard is the base's own content, and lost with it. Of the others, one that is absent may be a hole, or
//! deleted already: that is not known either way, and reads as neither.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::open::Stat;
use super::{FileOptions, Remains, ShardedFile};
use crate::ShardError;
use crate::error::MissingBrick;
use crate::finding::Finding;
use crate::volume::{Inner, Place};

/// So many shards are looked at to tell how long a full one is.
const SAMPLE: usize = 4096;

/// Where Gluster keeps the markers of deleted files, in `/.shard`.
const REMOVE_ME: &str = ".remove_me";

/// Why a file has no base, and what that leaves unknown.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) remains: Remains,
    why: String,
    missing: Vec<MissingBrick>,
}

impl Gone {
    /// What is left of the file `gfid`, whose base was looked for: what of it the marker tells, if there is one.
    /// `without` is why the base is not known, where it is not known to be absent.
    pub(super) fn look(
        inner: &Inner,
        gfid: Uuid,
        options: &FileOptions,
        without: Option<ShardError>,
        what: &dyn Fn() -> String,
    ) -> Result<(Self, Option<Stat>), ShardError> {
        let place = inner.place_of_marker(gfid)?;
        match Stat::look_with(inner, &place, what, options) {
            Ok(Some(stat)) => {
                let why = "the file was deleted, and its first shard with it; the others wait to be deleted"
                    .to_owned();
                return Ok((Self { remains: Remains::Deleted, why, missing: Vec::new() }, Some(stat)));
            }
            Ok(None) | Err(ShardError::Unknown { .. }) => {}
            Err(error) => return Err(error),
        }
        match without {
            None => {
                let why = "nothing has the file's base, which is its first shard".to_owned();
                Ok((Self { remains: Remains::Orphaned, why, missing: Vec::new() }, None))
            }
            Some(ShardError::Unknown { why, missing, .. }) if options.is_given() => {
                Ok((Self { remains: Remains::BaseMissing, why, missing }, None))
            }
            Some(error) => Err(error),
        }
    }

    /// The error of what is not known of the base.
    pub(super) fn base_unknown(&self, what: String) -> ShardError {
        ShardError::Unknown { what, why: self.why.clone(), missing: self.missing.clone() }
    }

    /// The error of a shard that is absent; `None` where absence is proven as of any other file.
    pub(super) fn absent(&self, what: String) -> Option<ShardError> {
        let why = match self.remains {
            Remains::BaseMissing => return None,
            Remains::Deleted => "the file was deleted: it was a hole, or is deleted already",
            Remains::Orphaned => "nothing has the file's base: it was a hole, or is deleted",
        };
        Some(ShardError::Unknown { what, why: why.to_owned(), missing: Vec::new() })
    }
}

impl ShardedFile {
    /// What is left of the file, where its base is gone: its first shard is not known then.
    #[must_use]
    pub fn remains(&self) -> Option<Remains> {
        self.gone.as_ref().map(|gone| gone.remains)
    }

    /// Bytes in a shard, by the shards: the greatest length of any, if more than one has it.
    pub(super) fn derive_shard_size(&self) -> Result<u64, ShardError> {
        let (mut greatest, mut times) = (0, 0_u64);
        for &index in self.index.present().iter().take(SAMPLE) {
            // One that is not known tells nothing of the others.
            let Ok(Some(ranked)) = self.ranked(index) else { continue };
            match ranked.len() {
                len if len > greatest => (greatest, times) = (len, 1),
                len if len == greatest => times += 1,
                _ => {}
            }
        }
        if times < 2 || greatest == 0 || greatest % 512 != 0 {
            return Err(ShardError::Unknown {
                what: format!("how long a shard of {} is", self.name),
                why: "nothing tells it, and no two of its shards are as long as the longest; say it, on the command line \
                      with --block-size"
                    .to_owned(),
                missing: Vec::new(),
            });
        }
        let what = self.name.to_string();
        let finding = Finding::ShardSizeDerived { what, shard_size: greatest, shards: times };
        self.inner.note(&self.findings, [finding]);
        Ok(greatest)
    }

    /// Up to where the last shard that is there goes.
    pub(super) fn end_of_last_shard(&self) -> Result<u64, ShardError> {
        Self::absent(&self.inner, &|| format!("which shard of {} is the last", self.name))?;
        let shards = self.index.present().iter().rev().copied().chain((self.gone.is_none()).then_some(0));
        for index in shards {
            // A brick that missed its deletion may have one that is none any more.
            if let Some(ranked) = self.ranked(index)? {
                let end = index
                    .checked_mul(self.span())
                    .and_then(|start| start.checked_add(ranked.len().min(self.span())));
                return end.filter(|end| i64::try_from(*end).is_ok()).ok_or_else(|| {
                    ShardError::NoSuchShard {
                        what: self.name.to_string(),
                        index,
                        count: (1 << 63) / self.span(),
                    }
                });
            }
        }
        Ok(0)
    }
}

impl Inner {
    /// The marker of a deleted file.
    pub(crate) fn place_of_marker(&self, gfid: Uuid) -> Result<Place, ShardError> {
        let dirs = self.sets.iter().zip(&self.shard_dirs);
        let dirs = dirs
            .map(|(set, dir)| set.subdirectory(dir, Path::new(REMOVE_ME)))
            .collect::<Result<Vec<_>, _>>()?;
        let name = PathBuf::from(gfid.to_string());
        Ok(Place { dirs, name, hashed: true, all_sets_known: self.all_sets_known })
    }
}
