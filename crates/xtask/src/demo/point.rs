//! What the run's report says, as far as the summary shows it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// `report.json` of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) run: String,
    pub(super) outcome: String,
    pub(super) domains: Vec<Domain>,
    pub(super) proof: Option<Proof>,
    pub(super) durations: Vec<StageDuration>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Domain {
    pub(super) point: Option<Point>,
    pub(super) disks: Vec<Disk>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Point {
    pub(super) consistency: Consistency,
    pub(super) frozen_ms: f64,
}

/// What the run says of the data in the point.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub(super) enum Consistency {
    FileSystem { frozen: u32 },
    Crash { why: String },
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSystem { frozen } => {
                write!(f, "consistent: {frozen} of the guest's file systems were frozen")
            }
            Self::Crash { why } => write!(f, "as after a power cut: {why}"),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Disk {
    pub(super) target: String,
    pub(super) overlay: PathBuf,
    pub(super) layers: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Proof {
    pub(super) holds: bool,
    pub(super) primary: String,
    pub(super) secondary: String,
    pub(super) compared: Compared,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Compared {
    pub(super) files: u64,
    pub(super) shards: u64,
    pub(super) empty_shards: u64,
    pub(super) primary_bytes_read: u64,
    pub(super) secondary_bytes_read: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct StageDuration {
    pub(super) stage: String,
    pub(super) took_ms: f64,
}

impl Report {
    /// The report of the latest run in a state directory.
    pub(super) fn latest(state_dir: &Path) -> Result<Self> {
        let runs = state_dir.join("runs");
        let mut dirs: Vec<PathBuf> = std::fs::read_dir(&runs)
            .with_context(|| format!("can't read {}", runs.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        // A run's name begins with its time.
        dirs.sort();
        let file = dirs.last().context("no run left a report")?.join("report.json");
        let text = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", file.display()))
    }
}
