//! A problem and what it is about.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Problem, Severity};

/// Shards that follow each other; 0 is the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ShardRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl fmt::Display for ShardRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Something that an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditFinding {
    /// The path from the volume's root on; `None` for what has none. As JSON, bytes that are no text are replaced.
    #[serde(serialize_with = "lossy")]
    pub path: Option<PathBuf>,
    /// The file's or directory's gfid, where it is known.
    pub gfid: Option<Uuid>,
    /// Which shards of a sharded file it is about; empty where it is about the file as a whole, or is not sharded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardRange>,
    /// What was found.
    #[serde(flatten)]
    pub problem: Problem,
}

impl AuditFinding {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.problem.severity()
    }
}

fn lossy<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.collect_str(&path.display()),
        None => serializer.serialize_none(),
    }
}

/// No more ranges of shards than this are written out.
const RANGES_SHOWN: usize = 8;

impl fmt::Display for AuditFinding {
    /// The path or gfid, the shards, and the problem. Control characters of a path are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.gfid) {
            (Some(path), _) => {
                let text = path.display().to_string();
                if text.chars().any(char::is_control) {
                    write!(f, "{}", text.escape_default())?;
                } else {
                    f.write_str(&text)?;
                }
            }
            (None, Some(gfid)) => write!(f, "gfid:{gfid}")?,
            (None, None) => f.write_str("the volume")?,
        }
        if let Some(first) = self.shards.first() {
            let one = self.shards.len() == 1 && first.first == first.last;
            f.write_str(if one { ", shard " } else { ", shards " })?;
            for (n, range) in self.shards.iter().take(RANGES_SHOWN).enumerate() {
                write!(f, "{}{range}", if n == 0 { "" } else { ", " })?;
            }
            if self.shards.len() > RANGES_SHOWN {
                f.write_str(", …")?;
            }
        }
        write!(f, ": {}", self.problem)
    }
}

/// What findings are about.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub(super) path: Option<PathBuf>,
    pub(super) gfid: Option<Uuid>,
}

/// What lies at a path.
pub(super) fn at(path: impl AsRef<Path>, gfid: Option<Uuid>) -> Subject {
    Subject { path: Some(path.as_ref().to_owned()), gfid }
}

/// What only has a gfid.
pub(super) const fn of_gfid(gfid: Uuid) -> Subject {
    Subject { path: None, gfid: Some(gfid) }
}
