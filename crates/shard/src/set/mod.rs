//! One subvolume: what its bricks, taken together, hold under a name.

mod accused;
mod copy;
mod directory;
mod fragments;
mod held;
mod order;
mod split_brain;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use crate::disperse::{Code, Decoder};
use crate::error::MissingBrick;
use crate::raw::xattr::{self, EcCounters, Pending};
use crate::replica::{Matrix, Row, Verdict};
use crate::split_brain::SplitBrainChoice;
use crate::topology::{BrickName, Subvolume, SubvolumeKind};
use crate::tree::{BrickTree, FoundDirectory as TreeDirectory, Xattrs, for_each_name};
use crate::{OpenOptions, ShardError};

pub(crate) use accused::{Counted, DirectoryXattrs};
pub(crate) use copy::{Copy, Seen};
pub(crate) use directory::{DirState, SetDir, covers_all_hashes};
pub(crate) use fragments::Readable;
pub(crate) use held::{Copies, Held, Sources};

/// Which of AFR's counters is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Data,
    Metadata,
    Entry,
}

impl Change {
    const fn of(self, pending: Pending) -> u32 {
        match self {
            Self::Data => pending.data,
            Self::Metadata => pending.metadata,
            Self::Entry => pending.entry,
        }
    }
}

/// A subvolume and those of its bricks that are here.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) subvolume: Subvolume,
    /// For each of the subvolume's bricks: its tree, or why it can't be looked at.
    pub(crate) trees: Vec<Result<BrickTree, String>>,
    /// The number in the set of each of AFR's client names that is known.
    clients: HashMap<String, usize>,
    /// Whether they are known of all bricks.
    all_clients_known: bool,
    /// What is to be believed in split-brain.
    rules: Vec<SplitBrainChoice>,
    /// How files are coded, where the subvolume is dispersed.
    pub(crate) code: Option<Code>,
    /// Decoders by the bricks that they are for, a bit each.
    decoders: Mutex<HashMap<u32, Arc<Decoder>>>,
    /// For each brick: whether any shard on it has a byte, once it was looked for.
    holds_data: Vec<OnceLock<bool>>,
}

/// AFR's counters on one brick's copy of a file or directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blame {
    /// Counters about each brick of the set, by number.
    about: Vec<Pending>,
    /// Changes begun and not known to be finished.
    dirty: Pending,
    /// A non-zero counter, and its name, about a brick of unknown number.
    unattributed: Vec<(String, Pending)>,
    /// In a dispersed set: changes seen.
    version: EcCounters,
    /// In a dispersed set: changes begun that not every brick is known to have.
    unfinished: EcCounters,
}

impl Blame {
    /// How much the copy has witnessed: AFR's tie-breaker among good copies.
    pub(crate) fn witnessed(&self, change: Change) -> u64 {
        self.about.iter().chain([&self.dirty]).map(|&pending| u64::from(change.of(pending))).sum()
    }
}

impl Set {
    pub(crate) fn new(
        subvolume: Subvolume,
        trees: Vec<Result<BrickTree, String>>,
        options: &OpenOptions,
    ) -> Self {
        let numbered = subvolume.bricks.iter().enumerate();
        let clients = numbered.filter_map(|(number, brick)| Some((brick.client.clone()?, number))).collect();
        let all_clients_known = subvolume.bricks.iter().all(|brick| brick.client.is_some());
        let holds_data = trees.iter().map(|_| OnceLock::new()).collect();
        let code = match subvolume.kind {
            SubvolumeKind::Disperse { redundancy } => {
                usize::try_from(redundancy).ok().and_then(|lost| Code::new(subvolume.bricks.len(), lost))
            }
            _ => None,
        };
        Self {
            subvolume,
            trees,
            clients,
            all_clients_known,
            rules: options.split_brain.clone(),
            code,
            decoders: Mutex::default(),
            holds_data,
        }
    }

    /// Whether any shard on brick `i` has a byte. An arbiter has none.
    pub(crate) fn holds_data(&self, i: usize) -> bool {
        let look = || {
            let tree = self.tree(i)?;
            let TreeDirectory::Directory(dir) =
                tree.directory(&tree.root().ok()?, Path::new(".shard")).ok()?
            else {
                return None;
            };
            let mut found = false;
            let each = |name: &[u8]| found = found || tree.has_bytes(&dir, name);
            for_each_name(tree.reopen(&dir).ok()?, each).ok()?;
            Some(found)
        };
        self.holds_data.get(i).is_some_and(|known| *known.get_or_init(|| look().unwrap_or(false)))
    }

    /// The brick of number `i`, if it is here.
    pub(crate) fn tree(&self, i: usize) -> Option<&BrickTree> {
        self.trees.get(i).and_then(|tree| tree.as_ref().ok())
    }

    /// The name of the brick of number `i`.
    pub(crate) fn brick(&self, i: usize) -> BrickName {
        self.subvolume.bricks.get(i).map_or_else(|| BrickName::local("?"), |brick| brick.name.clone())
    }

    pub(crate) fn is_arbiter(&self, i: usize) -> bool {
        self.subvolume.bricks.get(i).is_some_and(|brick| brick.arbiter)
    }

    /// The bricks that can't be looked at.
    pub(crate) fn missing(&self) -> impl Iterator<Item = MissingBrick> {
        self.subvolume.bricks.iter().zip(&self.trees).filter_map(|(brick, tree)| {
            tree.as_ref().err().map(|why| MissingBrick { brick: brick.name.clone(), why: why.clone() })
        })
    }

    /// Reads AFR's counters, or a dispersed volume's, from a copy's xattrs. The error says which has no value of the
    /// right length.
    fn blame(&self, fd: impl std::os::fd::AsFd, xattrs: &Xattrs<'_>) -> Result<Blame, String> {
        let mut blame = Blame { about: vec![Pending::default(); self.trees.len()], ..Blame::default() };
        if self.code.is_some() {
            (blame.version, blame.unfinished) = fragments::counters(&fd, xattrs)?;
        }
        // A volume that was replicated once keeps its counters; nothing reads them any more.
        if self.subvolume.kind != SubvolumeKind::Replicate {
            return Ok(blame);
        }
        for name in xattrs.names() {
            let Some(client) = name.strip_prefix(xattr::AFR_PREFIX) else { continue };
            let value =
                xattrs.get(&fd, name).map_err(|error| format!("xattr {name} can't be read: {error}"))?;
            let Some(value) = value else { continue };
            let pending = xattr::pending(&value).ok_or_else(|| format!("xattr {name} is not of 12 bytes"))?;
            if name == xattr::AFR_DIRTY {
                blame.dirty = pending;
                continue;
            }
            if let Some(about) = self.clients.get(client).and_then(|&j| blame.about.get_mut(j)) {
                *about = pending;
            } else if !self.all_clients_known && pending != Pending::default() {
                // One of a brick that is no longer of the set is not looked at by AFR either; this one may be of it.
                blame.unattributed.push((name.to_owned(), pending));
            }
        }
        Ok(blame)
    }

    /// Who blames whom for `change`, given the blame on each brick's copy.
    fn matrix<'a>(
        &self,
        what: &dyn Fn() -> String,
        change: Change,
        copies: impl IntoIterator<Item = (usize, &'a Blame)>,
    ) -> Result<Matrix, ShardError> {
        let mut rows: Vec<Row> = self
            .subvolume
            .bricks
            .iter()
            .map(|brick| Row {
                brick: brick.name.clone(),
                arbiter: brick.arbiter,
                present: false,
                blames: Vec::new(),
                counters: Vec::new(),
                dirty: Pending::default(),
            })
            .collect();
        for (i, blame) in copies {
            if let Some((xattr, _)) = blame.unattributed.iter().find(|(_, pending)| change.of(*pending) > 0) {
                return Err(ShardError::Unattributed {
                    what: what(),
                    brick: self.brick(i),
                    xattr: xattr.clone(),
                });
            }
            if let Some(row) = rows.get_mut(i) {
                row.present = true;
                row.blames = blame.about.iter().map(|&pending| change.of(pending)).collect();
                row.counters.clone_from(&blame.about);
                row.dirty = blame.dirty;
            }
        }
        Ok(Matrix { rows })
    }

    /// The good ones among the copies, by number of their brick.
    fn sources<'a>(
        &self,
        what: &dyn Fn() -> String,
        change: Change,
        copies: impl IntoIterator<Item = (usize, &'a Blame)>,
    ) -> Result<Vec<usize>, ShardError> {
        if let Some(code) = self.code {
            return self.agreeing(code, what, change, copies);
        }
        let matrix = self.matrix(what, change, copies)?;
        let verdict = if change == Change::Data { matrix.data_sources() } else { matrix.sources() };
        match verdict {
            Verdict::Sources(sources) => Ok(sources),
            Verdict::NonePresent => Ok(Vec::new()),
            Verdict::SplitBrain(why) => {
                Err(ShardError::SplitBrain { what: what(), why, matrix, undecided: Vec::new() })
            }
        }
    }
}
