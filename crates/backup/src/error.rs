//! What can go wrong.

use std::path::{Path, PathBuf};

use crate::RunId;
use crate::lock::Holder;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, to what, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("can't {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Somebody else holds the session's lock.
    #[error(
        "another {} holds the lock of session '{session}' ({}); wait for it to end, or end it and run 'stillpoint recover'",
        holder.as_ref().map_or_else(|| "process".to_owned(), ToString::to_string), path.display()
    )]
    Locked {
        /// The session.
        session: String,
        /// The lock's file.
        path: PathBuf,
        /// Who, where it could be read.
        holder: Option<Holder>,
    },
    /// There is no domain to take.
    #[error("no domain that runs has a disk below {}: start one, or name another mount", mount.display())]
    NoDomains {
        /// Where disks were looked for.
        mount: PathBuf,
    },
    /// A disk is named of a domain that is not part of the run.
    #[error("a disk of domain '{domain}' is named, which is not part of the run: name the domain too")]
    DiskOfOther {
        /// The domain, as named.
        domain: String,
    },
    /// A journal doesn't say what was written into it.
    #[error(
        "line {line} of the journal {} can't be trusted: {reason}; look at the domain and its overlays by hand, then move the run's directory away",
        path.display()
    )]
    JournalCorrupt {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// A journal of another version.
    #[error(
        "the journal {} is of version {version}, and this program knows {known}: recover with the version that wrote it, or a later one",
        path.display()
    )]
    JournalVersion {
        /// The journal.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The version that is read.
        known: u32,
    },
    /// A journal that no run writes.
    #[error("the journal {} is {len} bytes long, more than the {limit} that are read", path.display())]
    JournalTooLarge {
        /// The journal.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Writing the journal failed before, so nothing more may be done.
    #[error("nothing more is done, since writing the journal {} failed before; run 'stillpoint recover'", path.display())]
    JournalBroken {
        /// The journal.
        path: PathBuf,
    },
    /// Something couldn't be put into JSON.
    #[error("can't encode what goes into {}: {source}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An earlier run left something that recovery couldn't finish.
    #[error(
        "run {run} is unfinished and recovery couldn't finish it: {why}; see 'stillpoint recover --dry-run'"
    )]
    Unrecovered {
        /// The run.
        run: RunId,
        /// What stands in the way.
        why: String,
    },
    /// Commands of an interrupted run are still under way, and what they do can't be told before they end.
    #[error(
        "commands that an interrupted run had under way have not ended: {commands}; wait for them, or end them, and recover again"
    )]
    Orphans {
        /// Their processes and command lines.
        commands: String,
    },
    /// A disk, or a layer below it, doesn't lie in the volume that is replicated.
    #[error("{what} is {}, which isn't below {}: only what lies on the replicated volume can be proven", path.display(), mount.display())]
    OutsideTheVolume {
        /// Which disk or layer.
        what: String,
        /// Where it is.
        path: PathBuf,
        /// Where the volume is mounted.
        mount: PathBuf,
    },
    /// Replication's preflight refuses; nothing was touched.
    #[error("replication isn't fit for a run, nothing was touched:{}", list(findings))]
    Refused {
        /// What it found, each with its remedy.
        findings: Vec<String>,
    },
    /// A mapping names a brick that neither site's volume has.
    #[error(
        "no volume has the brick {brick} that a mapping names: neither the primary's nor the secondary's"
    )]
    UnusedMapping {
        /// The brick.
        brick: String,
    },
    /// A site's description is of another volume than the session's.
    #[error(
        "the volume described is {described}, which isn't the one that session '{session}' has at that site"
    )]
    OtherVolume {
        /// The volume that is described.
        described: String,
        /// The session.
        session: String,
    },
    /// A file has more shards than are digested.
    #[error("{path} has {count} shards, more than the {limit} that a manifest may have")]
    TooManyShards {
        /// The file, within its volume.
        path: String,
        /// How many.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// A shard changed while it was read.
    #[error("{} changed while it was read, so it has no digest: something still writes to it", path.display())]
    Changed {
        /// The shard's file on the brick.
        path: PathBuf,
    },
    /// A shard couldn't be read.
    #[error("shard {index} of {path} can't be read: {reason}")]
    Shard {
        /// The file, within its volume.
        path: String,
        /// The shard.
        index: u64,
        /// Why.
        reason: String,
    },
    /// Something that can't be so. A fault of this program.
    #[error("a fault in this program: {0}; please report it")]
    Internal(String),
    /// The run was cancelled, or its deadline passed.
    #[error("{0}")]
    Stopped(crate::cancel::Stopped),
    /// The reader of volumes failed.
    #[error(transparent)]
    Volume(#[from] stillpoint_shard::ShardError),
    /// Something about a domain failed.
    #[error(transparent)]
    Virt(#[from] stillpoint_virt::Error),
    /// A call to the hypervisor failed.
    #[error(transparent)]
    Hypervisor(#[from] stillpoint_virt::CallError),
    /// Something about replication failed.
    #[error(transparent)]
    Georep(#[from] stillpoint_georep::Error),
}

impl Error {
    /// Whether trying again, with nothing changed by anyone, can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::Changed { .. } => true,
            Self::Stopped(stopped) => matches!(stopped, crate::cancel::Stopped::Deadline { .. }),
            Self::Volume(error) => error.is_retryable(),
            Self::Virt(error) => error.is_retryable(),
            Self::Hypervisor(error) => error.is_retryable(),
            Self::Georep(error) => error.is_retryable(),
            _ => false,
        }
    }
}

fn list(findings: &[String]) -> String {
    findings.iter().map(|finding| format!("\n  - {finding}")).collect()
}

/// For `map_err`: what was tried, and with what.
pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}
