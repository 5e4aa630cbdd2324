//! Auditing a volume: what on its bricks is not as it ought to be, and what that means for the data.

mod bases;
mod compare;
mod contents;
mod copies;
mod differ;
mod directories;
mod finding;
mod index;
mod links;
mod meaning;
mod nameless;
mod orphans;
mod parallel;
mod problem;
mod report;
mod symlinks;
mod wording;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::tree::{BrickTree, Directory, Kind};
use crate::volume::{Inner, names_of};
use crate::{FileRef, ShardError, Volume};

use finding::at;
pub use finding::{AuditFinding, ShardRange};
use index::ShardNames;
pub use meaning::Severity;
pub use problem::Problem;
use report::Report;
pub use report::{AuditSummary, BySeverity};

/// How a volume is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOptions {
    /// Whether the contents of all good copies are read and compared, and fragments checked against each other.
    pub compare: bool,
    /// How many shards are looked at or compared at a time.
    pub jobs: NonZeroUsize,
}

impl Default for AuditOptions {
    /// Contents are not compared; one shard at a time.
    fn default() -> Self {
        Self { compare: false, jobs: NonZeroUsize::MIN }
    }
}

/// How far an audit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditProgress {
    /// Directories and files looked at.
    pub entries: u64,
    /// Shards looked at, bases not counted.
    pub shards: u64,
    /// Shards there are in the volume.
    pub shards_in_all: u64,
    /// Bytes compared.
    pub bytes_compared: u64,
}

/// What an audit tells on its way.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum AuditEvent<'a> {
    /// Something was found.
    Finding(&'a AuditFinding),
    /// How far it is; often.
    Progress(AuditProgress),
}

impl Volume {
    /// Looks at everything below `below` (a path; `/` is the whole volume) or at one file, on every brick that is here,
    /// and tells `each` what is not as it ought to be. `each` ends it with [`ControlFlow::Break`].
    ///
    /// Directories, bases and shards are compared between bricks and subvolumes: names, gfids, handles, counters, link
    /// files, layouts, sizes; of symbolic links where they lead to. Of the whole volume, shards without a file and handles
    /// without a name are looked for, too. Nothing is written.
    ///
    /// What can't be looked at is no error and no finding: the summary says what it is, and only an audit that looked
    /// at everything and found nothing is [clean](AuditSummary::is_clean). On a volume that is written to meanwhile,
    /// changes under way are among the findings.
    ///
    /// Costs a scan of `.shard` and of all handles on every brick, and some system calls for each copy of each file and shard. Memory is
    /// 16 bytes for each shard on each brick, some tens of bytes for each file that has shards (a million orphans of one
    /// shard each took 79 bytes each), and what the names of the largest directory take.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use stillpoint_shard::audit::{AuditEvent, AuditOptions, Severity};
    /// use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
    /// use stillpoint_testkit::volume::{BrickTrees, Shape};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let mut built = BrickTrees::create(dir.path(), Shape { replicas: 2, ..Shape::default() })?;
    /// built.create_file("disk")?;
    /// built.write("disk", 0, &[7; 10_000])?;
    /// // The second brick misses a write to the third shard.
    /// built.set_up(1, false);
    /// built.write("disk", 9000, &[8; 100])?;
    /// built.save()?;
    ///
    /// built.write_glusterd_directory(&dir.path().join("glusterd"))?;
    /// let topology = Topology::load(dir.path().join("glusterd"), None)?;
    /// let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default())?;
    /// let mut found = Vec::new();
    /// let summary = volume.audit(&"/".parse()?, &AuditOptions::default(), &mut |event| {
    ///     if let AuditEvent::Finding(finding) = event {
    ///         found.push(finding.to_string());
    ///     }
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert!(found.iter().any(|text| text.starts_with("disk, shard 2: ")), "{found:?}");
    /// assert_eq!((summary.worst(), summary.is_whole()), (Some(Severity::Attention), true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When `below` is no path in a volume, or nothing is there, or a brick's root can't be opened.
    pub fn audit(
        &self,
        below: &FileRef,
        options: &AuditOptions,
        each: &mut dyn FnMut(AuditEvent<'_>) -> ControlFlow<()>,
    ) -> Result<AuditSummary, ShardError> {
        let mut report = Report::new(each);
        let whole = matches!(below, FileRef::Path(path) if names_of(path)?.is_empty());
        let auditor = Auditor::new(&self.inner, *options, whole, &mut report)?;
        auditor.audit(below, &mut report)?;
        Ok(report.summary)
    }
}

/// What all parts of an audit go by.
struct Auditor<'a> {
    inner: &'a Inner,
    options: AuditOptions,
    /// The root of each brick that is here, by set.
    roots: Vec<Vec<Option<Directory>>>,
    names: ShardNames,
    /// Why a name that no brick here has may exist all the same; `None` where that is proven.
    absence: Option<String>,
}

impl<'a> Auditor<'a> {
    /// `whole` says whether all of the volume is audited.
    fn new(
        inner: &'a Inner,
        options: AuditOptions,
        whole: bool,
        report: &mut Report<'_>,
    ) -> Result<Self, ShardError> {
        for missing in inner.missing() {
            report.not_seen(format!("brick {missing}"));
        }
        if !inner.all_sets_known {
            report.not_seen(
                "subvolumes that were not given: the bricks given don't cover all of DHT's hashes".to_owned(),
            );
        }
        let root = |tree: &Result<BrickTree, String>| match tree {
            Ok(tree) => tree.root().map(Some),
            Err(_) => Ok(None),
        };
        let roots = inner
            .sets
            .iter()
            .map(|set| set.trees.iter().map(root).collect())
            .collect::<Result<Vec<Vec<_>>, _>>()?;
        let names = ShardNames::scan(inner, whole, report);
        report.progress.shards_in_all = names.count();
        let absence = inner.absence_of_shards(&|s, i| names.is_listed(s, i));
        Ok(Self { inner, options, roots, names, absence })
    }

    fn audit(&self, below: &FileRef, report: &mut Report<'_>) -> Result<(), ShardError> {
        let path = match below {
            FileRef::Gfid(gfid) => return self.file_of(&self.inner.place_of_gfid(*gfid)?, *gfid, report),
            FileRef::Path(path) => path,
        };
        let names = names_of(path)?;
        if names.is_empty() {
            let met = self.below(&names, report);
            if !report.is_stopped() {
                self.orphans(&met, report);
            }
            if !report.is_stopped() {
                self.nameless(report);
            }
            return Ok(());
        }
        let place = self.inner.place_of_path(path)?;
        let sets = self.inner.sets.iter().zip(&place.dirs);
        let kinds = sets.flat_map(|(set, dir)| {
            let members = dir.members.iter().enumerate();
            members.filter_map(|(i, member)| Some(set.tree(i)?.kind(member.as_ref()?, &place.name)))
        });
        match kinds.max() {
            Some(Kind::Directory) => {
                self.below(&names, report);
                Ok(())
            }
            Some(Kind::File | Kind::LinkFile) => {
                self.file_at(&place, &names.iter().collect::<PathBuf>(), report)
            }
            Some(Kind::Symlink) => {
                self.symlink(&place, &names.iter().collect::<PathBuf>(), report);
                Ok(())
            }
            _ => Err(ShardError::NotFound { what: path.display().to_string() }),
        }
    }
}
