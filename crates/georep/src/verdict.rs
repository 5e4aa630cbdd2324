//! What a run proved, what speaks for it and what against.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::SessionName;
use crate::status::Row;
use crate::volume::BrickName;

/// What came of a run.
///
/// Two questions are kept apart. [`gluster_says_complete`](Self::gluster_says_complete): do Gluster's own rows prove
/// that the checkpoint was reached everywhere? [`believable`](Self::believable): does nothing speak against it? With
/// rsync's silent no-op the first is yes and the second no.
///
/// Even a believable verdict says that everything recorded before the checkpoint was *attempted* without a
/// complaint; only comparing both sides proves what arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The session.
    pub session: SessionName,
    /// The checkpoint of this run, to the second.
    pub checkpoint: Timestamp,
    /// Every brick of the primary volume has a row; every row is Active, Passive or (in a set with an Active worker)
    /// Initializing; at least one worker is Active in every replica or disperse set; every Active row
    /// says `Yes` to *this* checkpoint and has synced beyond it.
    pub gluster_says_complete: bool,
    /// What was seen that speaks for it.
    pub evidence: Vec<Evidence>,
    /// What speaks against believing it, whatever file it concerns.
    pub problems: Vec<Problem>,
    /// Complaints found in `gsyncd.log` since the run began; whether one matters depends on the file it names, see
    /// [`believable_for`](Self::believable_for).
    pub log_findings: Vec<LogFinding>,
    /// How long each part took, in the order of the run.
    pub durations: Vec<(String, Duration)>,
    /// How often replication had to be restarted because a worker stood still.
    pub restarts: u32,
}

impl Verdict {
    /// Complete by Gluster's own evidence, no problem, and not one complaint in the log.
    #[must_use]
    pub fn believable(&self) -> bool {
        self.gluster_says_complete && self.problems.is_empty() && self.log_findings.is_empty()
    }

    /// Complete by Gluster's own evidence, no problem, and no complaint in the log that names one of `gfids` or that
    /// names no file at all.
    ///
    /// `gfids` are those of the point's files *and of their shards*: a shard has a gfid of its own. A complaint that
    /// names a shard as `GFID.N` counts for its base file.
    #[must_use]
    pub fn believable_for(&self, gfids: &BTreeSet<Uuid>) -> bool {
        self.gluster_says_complete
            && self.problems.is_empty()
            && self.findings_against(gfids).next().is_none()
    }

    /// The complaints that name one of `gfids`, or no file at all.
    pub fn findings_against<'a>(&'a self, gfids: &'a BTreeSet<Uuid>) -> impl Iterator<Item = &'a LogFinding> {
        self.log_findings.iter().filter(move |f| f.gfids.is_empty() || !f.gfids.is_disjoint(gfids))
    }
}

/// Something seen that speaks for completeness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Evidence {
    /// Before the run every row said `Stopped` or `Created`.
    StoppedBefore,
    /// The checkpoint was set and read back.
    CheckpointReadBack {
        /// As read back.
        checkpoint: Timestamp,
    },
    /// The root was touched this long after the checkpoint, before the start.
    TouchedAfterCheckpoint {
        /// How long after it.
        delay: Duration,
    },
    /// The rows that were judged.
    Rows {
        /// When they were read.
        at: Timestamp,
        /// One per brick.
        rows: Vec<Row>,
    },
    /// A subvolume's Active workers, each of which reached the checkpoint.
    SubvolumeComplete {
        /// The replica or disperse set, counted from 0.
        subvolume: usize,
        /// The bricks whose workers were Active.
        active: Vec<BrickName>,
        /// The oldest `last_synced` of these.
        last_synced: Timestamp,
    },
    /// `failures` did not rise.
    FailuresUnchanged,
    /// A log was read from where the run began to its end.
    LogRead {
        /// Which.
        log: String,
        /// How many bytes were read.
        bytes: u64,
        /// How many of rsync's batches were logged with their counts.
        batches: u64,
        /// How many files those batches were asked to send.
        files: u64,
        /// How many of them rsync sent.
        transferred: u64,
        /// How many bytes it sent for them, names and checksums included.
        #[serde(default)]
        sent_bytes: u64,
    },
    /// After the run every row said `Stopped`.
    StoppedAfter,
}

/// Something seen that speaks against believing a checkpoint, whatever file it concerns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// rsync was given files, sent none, and got the 12 bytes back that mean it looked at none: nothing was
    /// replicated, and nobody said so. (An up-to-date batch gets 5 bytes more for each file.)
    RsyncNoOp {
        /// The log.
        log: String,
        /// How many batches.
        batches: u64,
        /// How many files in them.
        files: u64,
        /// One such line, at most 512 characters.
        example: String,
    },
    /// `failures` rose during the run.
    FailuresRose {
        /// The brick.
        brick: BrickName,
        /// Before.
        before: u64,
        /// After.
        after: u64,
    },
    /// A log could not be read from where the run began, so what it holds is not known.
    LogUnread {
        /// Which.
        log: String,
        /// Why.
        reason: String,
    },
    /// A node's clock is not this one's, by the times in its log: a checkpoint is this machine's time and is compared with
    /// the bricks', so that one that is ahead calls it reached before it is.
    ClockApart {
        /// The log.
        log: String,
        /// How many seconds that clock is ahead of this one, at least; behind, if negative.
        seconds: i64,
    },
    /// The session does not log rsync's counts (`log-rsync-performance`), so the silent no-op could not be seen.
    RsyncNotLogged,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RsyncNoOp { log, batches, files, .. } => write!(
                f,
                "rsync sent nothing in {batches} batches of {files} files and reported no error ({log}): the far \
                 side's rsync looked at none of them; set 'secondary-access-mount true', then have the files sent again"
            ),
            Self::FailuresRose { brick, before, after } => {
                write!(f, "failures of {brick} rose from {before} to {after} during the run")
            }
            Self::LogUnread { log, reason } => {
                write!(f, "{log} could not be read from where the run began: {reason}")
            }
            Self::ClockApart { log, seconds } => {
                let way = if *seconds < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "by the times in {log}, that node's clock is {} s {way} this one's: what a checkpoint covers is not what \
                     was written before it; set the clocks of all nodes by NTP",
                    seconds.unsigned_abs()
                )
            }
            Self::RsyncNotLogged => f.write_str(
                "the session does not log what rsync sent, so that a silent no-op would not be seen; set \
                 'log-rsync-performance true'",
            ),
        }
    }
}

/// What a complaint in gsyncd's log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogFindingKind {
    /// `changelogs could not be processed completely - moving on...`: retries were used up and the files given up,
    /// while the checkpoint moves on.
    MovingOn,
    /// `ENTRY FAILED`: a name could not be made, moved or removed at the far side.
    EntryFailed,
    /// `META FAILED`: owner, mode or times could not be set.
    MetaFailed,
    /// A sync job ended with a return code other than 0.
    ReturnCode,
}

/// A complaint in gsyncd's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFinding {
    /// What it is about.
    pub kind: LogFindingKind,
    /// The log.
    pub log: String,
    /// Every gfid that the line names, without those of the root and of `/.shard`. Empty when it names none: it then
    /// can't be attributed.
    pub gfids: BTreeSet<Uuid>,
    /// The line, at most 512 characters of it.
    pub line: String,
}
