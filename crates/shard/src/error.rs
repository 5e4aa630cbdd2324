//! What can go wrong.

use std::fmt;
use std::io;
use std::path::PathBuf;

use uuid::Uuid;

use crate::topology::BrickName;

/// A brick that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingBrick {
    /// Its name in the topology.
    pub brick: BrickName,
    /// Why it could not be looked at.
    pub why: String,
}

impl fmt::Display for MissingBrick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.brick, self.why)
    }
}

/// Items separated by commas, or `none` where there are none.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if n == 0 { "" } else { ", " })?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// The operating system refused something.
    #[error("can't {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb phrase: `open`, `read the xattrs of`, …
        doing: &'static str,
        /// To which local path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A description of a volume does not say what it should.
    #[error("{what}: {problem}")]
    Spec {
        /// Which description: a path or the kind of text.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The description holds no volume of the name asked for, or several and none was asked for.
    #[error("{}; the volumes described are: {}", asked_text(asked.as_deref()), List(have))]
    NoSuchVolume {
        /// The name asked for.
        asked: Option<String>,
        /// The names of the volumes that are described.
        have: Vec<String>,
    },
    /// A volume of a type that can't be read yet.
    #[error("volume {volume} can't be read: {what}")]
    Unsupported {
        /// The volume's name.
        volume: String,
        /// What is not supported.
        what: String,
    },
    /// A `HOST:/path=LOCAL` mapping can't be used.
    #[error("brick mapping {text:?}: {problem}")]
    Mapping {
        /// The mapping as given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A directory that was named as a brick isn't one, or not of this volume.
    #[error("{} is not a brick to use here: {problem}", path.display())]
    NotABrick {
        /// The local directory.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Not one of the volume's bricks can be looked at.
    #[error(
        "none of the bricks of volume {volume} can be read: {}; name where they are with --map HOST:/path=LOCAL",
        List(missing)
    )]
    NoBricks {
        /// The volume's name.
        volume: String,
        /// The bricks, and why each can't be looked at.
        missing: Vec<MissingBrick>,
    },
    /// A path inside the volume that can't be meant.
    #[error("{path:?} is no path of a file in a volume: {problem}")]
    BadPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Every subvolume was looked at, and the file is on none.
    #[error("{what} does not exist on the volume")]
    NotFound {
        /// The path or gfid.
        what: String,
    },
    /// The name leads to something that is not a regular file.
    #[error("{what} on brick {brick} is {found}, not a regular file")]
    NotAFile {
        /// The path or gfid.
        what: String,
        /// The brick looked at.
        brick: BrickName,
        /// What is there instead.
        found: &'static str,
    },
    /// It can't be told what is stored, because something that would tell is missing.
    #[error("{what} is not known: {why}; bricks missing: {}", List(missing))]
    Unknown {
        /// What is not known: a file or a shard of one.
        what: String,
        /// Why what there is does not tell.
        why: String,
        /// The bricks that would tell. Empty where it is not the lack of a brick.
        missing: Vec<MissingBrick>,
    },
    /// Every copy is blamed by another, or no copy with data is good (AFR's accusation counters).
    #[error(
        "{what} is in split-brain: {why}\n{matrix}{}heal the volume, or choose which copy is to be believed, on the \
         command line with --split-brain source-brick=BRICK, latest-mtime or bigger-file",
        undecided_text(undecided)
    )]
    SplitBrain {
        /// The file, shard or directory.
        what: String,
        /// Which of AFR's rules leaves no source.
        why: &'static str,
        /// Who blames whom.
        matrix: crate::replica::Matrix,
        /// The rules of the caller's that decided nothing: no brick of theirs has a copy, or copies are equal by them.
        undecided: Vec<String>,
    },
    /// Of a dispersed file there are not enough fragments that are of one state.
    #[error(
        "{what} can't be put together: it takes {needed} fragments of one version and size, each as long as that \
         makes it, and the most that agree are {agreeing}\n{table}heal the volume, or bring the bricks that are missing"
    )]
    TooFewFragments {
        /// The file, shard or directory.
        what: String,
        /// How many are needed.
        needed: usize,
        /// How many bricks agree at most.
        agreeing: usize,
        /// What each brick has.
        table: crate::disperse::FragmentTable,
        /// The bricks that could not be looked at.
        missing: Vec<MissingBrick>,
    },
    /// A write to a dispersed file was cut short: more fragments than are needed are here, and they contradict each
    /// other.
    #[error(
        "{what} can't be read at its offset {offset}: a write there was begun and not finished, and the fragments on \
         bricks {} contradict each other; read once nothing writes, or heal the volume",
        List(bricks)
    )]
    Torn {
        /// The file or shard.
        what: String,
        /// Where in it, in bytes.
        offset: u64,
        /// The bricks with the fragments that were compared.
        bricks: Vec<BrickName>,
    },
    /// Counters blame a brick, and it is not known which one.
    #[error(
        "{what} on brick {brick} has the non-zero counter {xattr}, and the topology does not say which brick that \
         is; describe the volume by glusterd's directory of it, which does"
    )]
    Unattributed {
        /// The file, shard or directory.
        what: String,
        /// The brick that holds the counter.
        brick: BrickName,
        /// The name of the xattr.
        xattr: String,
    },
    /// Copies that ought to be of one file have different gfids.
    #[error("{what} has gfid {} on brick {}, but {} on brick {}: a split-brain of its name; choose a copy, here on the \
        command line with --split-brain, or for good with `gluster volume heal VOLUME split-brain`",
        copies[0].1, copies[0].0, copies[1].1, copies[1].0)]
    GfidMismatch {
        /// The file, shard or directory.
        what: String,
        /// Two bricks with good copies, and the gfid on each.
        copies: Box<[(BrickName, Uuid); 2]>,
    },
    /// An xattr has a value that its format does not allow.
    #[error("xattr {xattr} of {path:?} on brick {brick} {problem}")]
    BadXattr {
        /// The brick.
        brick: BrickName,
        /// The path on the brick.
        path: PathBuf,
        /// The name of the xattr.
        xattr: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// Bricks that make up one replica set disagree about what they are.
    #[error("subvolume {subvolume}: {problem}; check the topology and where its bricks are mapped to")]
    Inconsistent {
        /// The subvolume's name.
        subvolume: String,
        /// What they disagree about.
        problem: String,
    },
    /// A link file says that the data is on another subvolume, and it isn't there, nor anywhere else.
    #[error("{what}: subvolume {subvolume} says that the data is on {target:?}, and no subvolume has it")]
    DanglingLinkto {
        /// The file or shard.
        what: String,
        /// The subvolume with the link file.
        subvolume: String,
        /// The target that it names.
        target: String,
    },
    /// Copies that ought to be the same, or fragments of one state, differ. Found only where they are compared.
    #[error(
        "the good copies of {what} differ in the {len} bytes from its offset {offset} on, on bricks {}; nothing tells which \
         is right",
        List(bricks)
    )]
    Diverged {
        /// The file or shard.
        what: String,
        /// Where in it, in bytes, the difference begins.
        offset: u64,
        /// How many bytes from there on are known to hold a difference.
        len: u64,
        /// The bricks with the copies that were compared.
        bricks: Vec<BrickName>,
    },
    /// A brick was named that the volume does not have.
    #[error("{brick} is no brick of volume {volume}; it has {}", List(have))]
    NoSuchBrick {
        /// The name given.
        brick: BrickName,
        /// The volume's name.
        volume: String,
        /// Its bricks.
        have: Vec<BrickName>,
    },
    /// The brick's tree changed while it was read.
    #[error(
        "{what} on brick {brick} changed while it was read; read from a snapshot, or once nothing writes"
    )]
    Changed {
        /// The file or shard.
        what: String,
        /// The brick.
        brick: BrickName,
    },
    /// The file has no such shard.
    #[error("shard {index} asked for, but {what} has {count} (0 up to {count} exclusive)")]
    NoSuchShard {
        /// The file.
        what: String,
        /// The index asked for.
        index: u64,
        /// How many shards there are.
        count: u64,
    },
    /// What a storage holds can't be read.
    #[error("can't read the source: {0}")]
    Read(#[source] io::Error),
    /// What was written is not what was read.
    #[error("{} has another byte at offset {offset} than what it is a copy of; check the disk", path.display())]
    CopyDiffers {
        /// The copy.
        path: PathBuf,
        /// The first such byte.
        offset: u64,
    },
    /// A mapfile can't be gone on from.
    #[error("{}: {problem}", path.display())]
    Mapfile {
        /// The mapfile.
        path: PathBuf,
        /// Why not, and what to do.
        problem: String,
    },
    /// The caller ended it.
    #[error("it was cancelled")]
    Cancelled,
    /// The target of an export is in the way.
    #[error("{} exists; remove it, choose another name, or ask for it to be overwritten (on the command line with --force)", path.display())]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
}

fn asked_text(asked: Option<&str>) -> String {
    match asked {
        Some(name) => format!("no volume {name:?} is described"),
        None => "several volumes or none are described; say which is meant, on the command line with --volume-name".to_owned(),
    }
}

fn undecided_text(rules: &[String]) -> String {
    if rules.is_empty() { String::new() } else { format!("{} decided nothing; ", rules.join(" and ")) }
}

impl ShardError {
    /// Whether the same call can succeed when it is made again with nothing else changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Read(source) => {
                matches!(
                    source.kind(),
                    io::ErrorKind::Interrupted
                        | io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::ResourceBusy
                        | io::ErrorKind::StaleNetworkFileHandle
                ) || matches!(
                    source.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                    Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
                )
            }
            Self::Changed { .. } | Self::Torn { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.into(), source: source.into() }
    }
}

impl From<ShardError> for io::Error {
    fn from(error: ShardError) -> Self {
        let kind = match &error {
            ShardError::Io { source, .. } | ShardError::Read(source) => source.kind(),
            ShardError::NotFound { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
