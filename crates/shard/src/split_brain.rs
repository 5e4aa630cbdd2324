//! Which copy is to be believed where AFR leaves none to be: what the caller chose beforehand.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::ShardError;
use crate::replica::Matrix;
use crate::topology::BrickName;

/// A caller's own rule: the brick whose copy is to be believed, or `None` to leave it open.
pub type Chooser = dyn Fn(&SplitBrain<'_>) -> Option<BrickName> + Send + Sync;

/// Which copy is to be believed where copies are in split-brain, in the terms of `gluster volume heal VOLUME split-brain`.
///
/// Each file and each shard is decided by itself, so that what is read may be put together of several bricks' copies; each
/// time one is decided, a [`Finding`](crate::Finding) tells it. A rule by which several copies are equal decides nothing.
#[derive(Clone)]
#[non_exhaustive]
pub enum SplitBrainChoice {
    /// The copy on this brick. It decides nothing where that brick is of another subvolume, or has no copy with data.
    SourceBrick(BrickName),
    /// The copy that was changed last, by the time that Gluster keeps of it (`trusted.glusterfs.mdata`), or the file
    /// system where it keeps none.
    LatestMtime,
    /// The longest copy; where it is the size of a file that is not agreed about, the largest size.
    BiggerFile,
    /// What the caller decides for each.
    Own(Arc<Chooser>),
}

/// Copies of one file or shard that are in split-brain.
#[derive(Debug)]
#[non_exhaustive]
pub struct SplitBrain<'a> {
    /// The file or shard.
    pub what: &'a str,
    /// What they don't agree about.
    pub about: SplitBrainOf,
    /// Who blames whom; `None` where it is about the gfid.
    pub matrix: Option<&'a Matrix>,
    /// The copies that can be believed: of data none that is an arbiter's.
    pub copies: &'a [SplitBrainCopy],
}

/// What copies in split-brain don't agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SplitBrainOf {
    /// Their content.
    Data,
    /// Their xattrs, of which a file's size is one.
    Metadata,
    /// Which file it is: they have different gfids.
    Gfid,
}

impl fmt::Display for SplitBrainOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Metadata => "metadata",
            Self::Gfid => "gfid",
        })
    }
}

/// One copy of a file or shard in split-brain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SplitBrainCopy {
    /// The brick.
    pub brick: BrickName,
    /// The copy's gfid.
    pub gfid: Uuid,
    /// Its length in bytes.
    pub len: u64,
    /// When its content last changed: seconds and nanoseconds since 1970.
    pub mtime: (i64, i64),
    /// Of the base of a sharded file: the size that it tells, in bytes.
    pub file_size: Option<u64>,
}

impl SplitBrainChoice {
    /// What the caller decides for each.
    pub fn own(choose: impl Fn(&SplitBrain<'_>) -> Option<BrickName> + Send + Sync + 'static) -> Self {
        Self::Own(Arc::new(choose))
    }

    /// The number of the copy that the rule decides for.
    fn decide(&self, case: &SplitBrain<'_>) -> Option<usize> {
        let on = |brick: &BrickName| case.copies.iter().position(|copy| copy.brick == *brick);
        match self {
            Self::SourceBrick(brick) => on(brick),
            Self::LatestMtime => case.only_best(|copy| copy.mtime),
            Self::BiggerFile => case.only_best(|copy| match (case.about, copy.file_size) {
                (SplitBrainOf::Data, _) | (_, None) => copy.len,
                (_, Some(size)) => size,
            }),
            Self::Own(choose) => on(&choose(case)?),
        }
    }
}

impl SplitBrain<'_> {
    /// The copy with the greatest key, unless another that is not the same file has it, too.
    fn only_best<K: Ord>(&self, key: impl Fn(&SplitBrainCopy) -> K) -> Option<usize> {
        let best = self.copies.iter().map(&key).max()?;
        let mut with = self.copies.iter().enumerate().filter(|(_, copy)| key(copy) == best);
        let (at, first) = with.next()?;
        let same = |copy: &SplitBrainCopy| self.about == SplitBrainOf::Gfid && copy.gfid == first.gfid;
        with.all(|(_, copy)| same(copy)).then_some(at)
    }

    /// What the first of `rules` that decides anything decides: the copy's number, and the rule in words.
    pub(crate) fn decide(&self, rules: &[SplitBrainChoice]) -> Option<(usize, String)> {
        rules.iter().find_map(|rule| Some((rule.decide(self)?, rule.to_string())))
    }
}

impl fmt::Display for SplitBrainChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceBrick(brick) => write!(f, "source-brick={brick}"),
            Self::LatestMtime => f.write_str("latest-mtime"),
            Self::BiggerFile => f.write_str("bigger-file"),
            Self::Own(_) => f.write_str("the caller"),
        }
    }
}

impl fmt::Debug for SplitBrainChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SplitBrainChoice {
    type Err = ShardError;

    /// Reads `latest-mtime`, `bigger-file` or `source-brick=BRICK`: `HOST:/path`, or the directory of a brick that was
    /// given by it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem: &str| ShardError::Spec {
            what: format!("choice {text:?} of a copy in split-brain"),
            problem: problem.to_owned(),
        };
        match text {
            "latest-mtime" => return Ok(Self::LatestMtime),
            "bigger-file" => return Ok(Self::BiggerFile),
            _ => {}
        }
        let brick = text
            .strip_prefix("source-brick=")
            .ok_or_else(|| fail("it is none of latest-mtime, bigger-file and source-brick=BRICK"))?;
        if let Ok(name) = brick.parse() {
            return Ok(Self::SourceBrick(name));
        }
        let path = std::path::absolute(Path::new(brick)).map_err(|_| fail("it names no brick"))?;
        Ok(Self::SourceBrick(BrickName::local(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(brick: &str, gfid: u128, len: u64, mtime: i64) -> SplitBrainCopy {
        SplitBrainCopy {
            brick: BrickName::new("h", brick),
            gfid: Uuid::from_u128(gfid),
            len,
            mtime: (mtime, 0),
            file_size: None,
        }
    }

    fn decided(about: SplitBrainOf, copies: &[SplitBrainCopy], rules: &[SplitBrainChoice]) -> Option<usize> {
        SplitBrain { what: "x", about, matrix: None, copies }.decide(rules).map(|(at, _)| at)
    }

    #[test]
    fn the_first_rule_that_decides_counts_and_one_by_which_copies_are_equal_decides_nothing() {
        use SplitBrainChoice::{BiggerFile, LatestMtime, SourceBrick};
        let copies = [copy("/a", 1, 5, 7), copy("/b", 1, 9, 7)];
        let rules = |rules: &[SplitBrainChoice]| decided(SplitBrainOf::Data, &copies, rules);
        assert_eq!(rules(&[]), None);
        assert_eq!(rules(&[LatestMtime]), None);
        assert_eq!(rules(&[LatestMtime, BiggerFile]), Some(1));
        assert_eq!(rules(&[SourceBrick(BrickName::new("h", "/c")), LatestMtime]), None);
        assert_eq!(rules(&[SourceBrick(BrickName::new("h", "/a")), BiggerFile]), Some(0));
        let own = SplitBrainChoice::own(|case| Some(case.copies.first()?.brick.clone()));
        assert_eq!(rules(&[own, BiggerFile]), Some(0));
    }

    #[test]
    fn copies_of_one_gfid_are_one_file_where_it_is_about_the_gfid() {
        let copies = [copy("/a", 1, 9, 1), copy("/b", 2, 5, 2), copy("/c", 2, 5, 2)];
        assert_eq!(decided(SplitBrainOf::Gfid, &copies, &[SplitBrainChoice::LatestMtime]), Some(1));
        assert_eq!(decided(SplitBrainOf::Data, &copies, &[SplitBrainChoice::LatestMtime]), None);
    }

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in ["latest-mtime", "bigger-file", "source-brick=h:/b0", "source-brick=/bricks/b0"] {
            assert_eq!(text.parse::<SplitBrainChoice>().unwrap().to_string(), text);
        }
        for bad in ["", "majority", "source-brick", "source-brick=", "refuse"] {
            assert!(bad.parse::<SplitBrainChoice>().is_err(), "{bad}");
        }
    }
}
