//! What is told of an export.

use std::fmt::Write as _;

use serde::Serialize;
use stillpoint_backup::manifest::Digest;
use stillpoint_shard::export::{MissingPart, Progress};

use stillpoint_shard::ShardedFile;

use super::job::Job;
use crate::logging;

/// What was exported.
#[derive(Debug, Serialize)]
pub(super) struct Exported {
    schema_version: u32,
    /// As it was named.
    path: String,
    /// The file's identity in its volume; absent where it couldn't be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    gfid: Option<String>,
    /// The file that was written.
    out: String,
    /// Its length in bytes.
    bytes: u64,
    /// How many of these were copied; the others are holes, were done before, or are missing.
    bytes_copied: u64,
    /// How many of the copied ones the kernel copied, or had both files share.
    bytes_by_kernel: u64,
    /// How many were done before, by an export that this one went on with.
    bytes_before: u64,
    /// How many can't be read or aren't known.
    pub(super) bytes_missing: u64,
    /// Which these are; the first thousand parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Part>,
    /// The file's digest, with which what was written was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// What was odd on the bricks.
    findings: Vec<String>,
    /// Those that were not told when they were found.
    #[serde(skip)]
    odd: Vec<String>,
    /// Why it wasn't exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Part {
    offset: u64,
    length: u64,
    reason: String,
}

impl Exported {
    pub(super) fn new(
        job: &Job,
        file: &ShardedFile,
        progress: &Progress,
        before: u64,
        missing: Vec<MissingPart>,
        digest: Option<Digest>,
    ) -> Self {
        let parts = missing.into_iter();
        Self {
            bytes: progress.total,
            bytes_copied: progress.copied,
            bytes_by_kernel: progress.by_kernel,
            bytes_before: before,
            bytes_missing: progress.missing,
            missing: parts
                .map(|part| Part { offset: part.offset, length: part.len, reason: part.why })
                .collect(),
            digest,
            gfid: Some(file.gfid().to_string()),
            odd: file
                .findings()
                .iter()
                .filter(|finding| !finding.is_choice())
                .map(ToString::to_string)
                .collect(),
            findings: file.findings().iter().map(ToString::to_string).collect(),
            ..Self::of(job)
        }
    }

    pub(super) fn failed(job: &Job, error: &anyhow::Error) -> Self {
        Self { error: Some(format!("{error:#}")), ..Self::of(job) }
    }

    fn of(job: &Job) -> Self {
        Self {
            schema_version: 1,
            path: job.path.clone(),
            gfid: None,
            out: job.out.display().to_string(),
            bytes: job.size,
            bytes_copied: 0,
            bytes_by_kernel: 0,
            bytes_before: 0,
            bytes_missing: 0,
            missing: Vec::new(),
            digest: None,
            findings: Vec::new(),
            odd: Vec::new(),
            error: None,
        }
    }

    /// Says on stderr what is odd and what is missing.
    pub(super) fn complain(&self) {
        for finding in &self.odd {
            tracing::warn!("{finding}");
        }
        for part in &self.missing {
            logging::complain(&format!(
                "{}: {} bytes at {} are missing: {}",
                self.path, part.length, part.offset, part.reason
            ));
        }
    }

    pub(super) fn in_words(&self) -> String {
        if let Some(error) = &self.error {
            return format!("{}: not exported: {error}\n", self.path);
        }
        let mut text = format!(
            "{} (gfid {}): {} bytes, {} of them copied, to {}",
            self.path,
            self.gfid.as_deref().unwrap_or("?"),
            self.bytes,
            self.bytes_copied,
            self.out
        );
        if self.bytes_before > 0 {
            let _ = write!(text, "; {} were done before", self.bytes_before);
        }
        if self.bytes_missing > 0 {
            let _ = write!(text, "; {} ARE MISSING", self.bytes_missing);
        }
        if self.digest.is_some() {
            text.push_str("; compared with the bricks");
        }
        text.push('\n');
        text
    }
}
