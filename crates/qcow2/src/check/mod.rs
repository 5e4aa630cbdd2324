//! Whether an image is sound: refcounts recomputed over all tables, and each entry held against the rules
//! (specification, sections "Host cluster management", "Cluster mapping" and "Bitmaps").
//!
//! [`CheckReport::gather`] counts what `qemu-img check` counts: the numbers are the same, and so are the words
//! ([`CheckReport::to_text`], [`CheckReport::to_json`], [`Finding::qemu_text`]). Beyond that each [`Finding`] has its
//! place, its cause in words of its own, and its [`Consequence`]; metadata that lies over other metadata or guest
//! data is told; neither key nor backing file nor data file is needed; and a check can be limited to what one
//! snapshot reaches, which is what matters of an image that was copied while it was written to.
//!
//! ```
//! use stillpoint_qcow2::check::{CheckOptions, CheckReport, Consequence};
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};
//! # let image = ImageBuilder::v3().cluster(3, ClusterSpec::Data(vec![7; 65536])).build();
//! # let l2 = u64::from_be_bytes(image[0x30000..0x30008].try_into()?);
//! let report = CheckReport::gather(&image, &CheckOptions::default())?;
//! assert!(report.is_sound());
//! assert_eq!(report.allocated.clusters, 1);
//!
//! // The same image without its last two clusters: the refcounts are gone.
//! let cut = &image[..image.len() - 2 * 65536];
//! let report = CheckReport::gather(cut, &CheckOptions::default())?;
//! assert!(report.findings.iter().any(|finding| finding.consequence() == Consequence::UnsafeToWrite));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is done
//!
//! L1 tables are read once, however many snapshots share them or lie over each other; then each L2 table once, in
//! the order of the file, with neighbours in one read; then each refcount block once. Where something is wrong with
//! entries, tables are gone through again for the order in which QEMU tells it.
//!
//! Memory: 2.5 bytes for each cluster of the file; 64 bytes for each L2 table; the refcount table, at most 8 MiB and
//! never more than the file; 256 KiB of tables, or a cluster if that is more; 500 bytes for each snapshot; and the
//! findings, [`CheckOptions::max_findings`] of them. Only where refcounts have 32 or 64 bits, a cluster with 65,535
//! references or more takes 48 bytes further. Work: each byte of the file is read at most a few times. L2 tables that
//! begin where no cluster does can lie over each other; of such 4096 are walked.

mod bitmaps;
mod blocks;
mod copied;
mod counts;
mod expand;
mod finding;
mod l2;
mod report;
mod roots;
mod run;
mod snapshots;
mod spans;
mod subject;
mod text;
mod walk;
mod words;

pub use finding::{BlockFault, Class, Consequence, Finding, L1Fault, L2Fault, Layer, SnapshotL1, Structure};
pub use report::{Allocated, CheckReport, Failure};
pub use text::CheckJson;

use stillpoint_storage::Storage;

use crate::{Error, Name};

/// What is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// The whole image, as `qemu-img check` does.
    #[default]
    All,
    /// Only what the active disk reaches: nothing is leaked, and snapshots don't count.
    Active,
    /// Only what the snapshot of that id or, if there is none, that name reaches. An image that was copied while it
    /// was written to is damaged; a snapshot in it may be whole.
    Snapshot(Name),
}

/// How an image is checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckOptions {
    /// What is judged.
    pub scope: Scope,
    /// How many findings are listed; all are counted. 100,000 unless said otherwise, each of about 60 bytes.
    pub max_findings: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { scope: Scope::All, max_findings: 100_000 }
    }
}

impl CheckOptions {
    /// Sets what is judged.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets how many findings are listed.
    #[must_use]
    pub const fn max_findings(mut self, most: usize) -> Self {
        self.max_findings = most;
        self
    }
}

impl CheckReport {
    /// Checks the image that `storage` holds.
    ///
    /// # Errors
    /// When the image can't be opened: its header, an extension or the bitmap directory breaks a rule. All else is a
    /// finding or, where the check can't go on, its [`failure`](Self::failure).
    pub fn gather<S: Storage + ?Sized>(storage: &S, options: &CheckOptions) -> Result<Self, Error> {
        run::run(storage, options)
    }
}
