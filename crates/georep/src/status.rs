//! A session's state: one row for every brick of the primary volume.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::volume::{BrickName, VolumeInfo};

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WorkerStatus {
    /// `Initializing...`: starting up.
    Initializing,
    /// `Active`: the worker of its replica set that replicates.
    Active,
    /// `Passive`: stands by for its replica set.
    Passive,
    /// `Faulty`: it died and is being started again.
    Faulty,
    /// `Created`: the session was never started.
    Created,
    /// `Started`: only the monitor runs.
    Started,
    /// `Paused`.
    Paused,
    /// `Stopped`.
    Stopped,
    /// `N/A`: the node could not say.
    NotAvailable,
    /// `Config Corrupted`.
    ConfigCorrupted,
    /// `inconsistent`: nodes disagree.
    Inconsistent,
    /// `defunct`: the monitor is gone.
    Defunct,
    /// A word that is not known here.
    Other(String),
}

impl WorkerStatus {
    /// From Gluster's word for it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "initializing..." | "initializing" => Self::Initializing,
            "active" => Self::Active,
            "passive" => Self::Passive,
            "faulty" => Self::Faulty,
            "created" => Self::Created,
            "started" => Self::Started,
            "paused" => Self::Paused,
            "stopped" | "not started" => Self::Stopped,
            "n/a" | "" => Self::NotAvailable,
            "config corrupted" => Self::ConfigCorrupted,
            "inconsistent" => Self::Inconsistent,
            "defunct" => Self::Defunct,
            _ => Self::Other(text.trim().to_owned()),
        }
    }

    /// Whether nothing can be replicated in this state: `Stopped`, or `Created` and never started.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped | Self::Created)
    }
}

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initializing => "Initializing",
            Self::Active => "Active",
            Self::Passive => "Passive",
            Self::Faulty => "Faulty",
            Self::Created => "Created",
            Self::Started => "Started",
            Self::Paused => "Paused",
            Self::Stopped => "Stopped",
            Self::NotAvailable => "N/A",
            Self::ConfigCorrupted => "Config Corrupted",
            Self::Inconsistent => "inconsistent",
            Self::Defunct => "defunct",
            Self::Other(text) => text,
        })
    }
}

/// How a worker finds what to replicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CrawlStatus {
    /// `Hybrid Crawl`: walking the whole volume; deletions and renames are not seen.
    Hybrid,
    /// `History Crawl`: reading changelogs from disk.
    History,
    /// `Changelog Crawl`: being told of changelogs as they are rolled.
    Changelog,
    /// A word that is not known here.
    Other(String),
}

impl CrawlStatus {
    /// From Gluster's words for it; `None` for `N/A`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "n/a" => None,
            "hybrid crawl" => Some(Self::Hybrid),
            "history crawl" => Some(Self::History),
            "changelog crawl" => Some(Self::Changelog),
            _ => Some(Self::Other(text.trim().to_owned())),
        }
    }
}

/// What a row says of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRow {
    /// `Yes` or `No`.
    pub completed: bool,
    /// Which checkpoint it is about, to the second.
    pub time: Option<Timestamp>,
    /// When it was reached.
    pub completed_at: Option<Timestamp>,
}

/// One worker's row of `gluster volume geo-replication … status --xml`. Times are UTC there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The brick it replicates.
    pub brick: BrickName,
    /// The node that runs it.
    pub node: Option<Uuid>,
    /// The far side's node that it talks to.
    pub secondary_node: Option<String>,
    /// The far side's user.
    pub secondary_user: Option<String>,
    /// What it is doing.
    pub status: WorkerStatus,
    /// How it finds its work; told by Active workers.
    pub crawl: Option<CrawlStatus>,
    /// Entry operations pending.
    pub entry: Option<u64>,
    /// Data operations pending.
    pub data: Option<u64>,
    /// Metadata operations pending.
    pub meta: Option<u64>,
    /// Failures since the session was created; told by Active workers.
    pub failures: Option<u64>,
    /// The checkpoint; told by Active workers when one is set.
    pub checkpoint: Option<CheckpointRow>,
    /// Everything recorded on the brick up to here was attempted; told by Active workers.
    pub last_synced: Option<Timestamp>,
}

/// A brick of the primary volume with the row that tells of it, if any does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The brick, from `volume info`.
    pub brick: BrickName,
    /// Its replica or disperse set, counted from 0.
    pub subvolume: usize,
    /// `None` when no row came: the node's glusterd is down, or it can't be reached.
    pub worker: Option<Worker>,
}

impl Row {
    /// The worker's status, or `None` for an offline brick.
    #[must_use]
    pub fn status(&self) -> Option<&WorkerStatus> {
        self.worker.as_ref().map(|w| &w.status)
    }

    /// Whether the worker is Active.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status() == Some(&WorkerStatus::Active)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.worker {
            None => write!(f, "{} offline", self.brick),
            Some(worker) => {
                write!(f, "{} {}", self.brick, worker.status)?;
                if let Some(at) = worker.last_synced {
                    write!(f, ", last synced {at}")?;
                }
                match worker.checkpoint {
                    Some(c) if c.completed => f.write_str(", checkpoint Yes"),
                    Some(_) => f.write_str(", checkpoint No"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A session's rows, left-joined with the primary volume's bricks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// One row per brick of the volume, in the volume's order.
    pub rows: Vec<Row>,
    /// Rows whose brick the volume doesn't have: left over from a removed or replaced brick.
    pub strays: Vec<Worker>,
}

impl SessionStatus {
    /// Joins `workers` to the bricks of `volume`: by host and path, else by node id and path (a host may be known
    /// by two names).
    #[must_use]
    pub fn join(volume: &VolumeInfo, mut workers: Vec<Worker>) -> Self {
        let rows = volume
            .bricks
            .iter()
            .enumerate()
            .map(|(index, brick)| {
                let found = workers.iter().position(|w| w.brick == brick.name).or_else(|| {
                    workers.iter().position(|w| {
                        w.brick.path == brick.name.path && w.node.is_some() && w.node == brick.node
                    })
                });
                Row {
                    brick: brick.name.clone(),
                    subvolume: volume.subvolume_of(index),
                    worker: found.map(|at| workers.swap_remove(at)),
                }
            })
            .collect();
        Self { rows, strays: workers }
    }

    /// Whether every brick's row is there and says `Stopped` or `Created`.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        !self.rows.is_empty()
            && self.rows.iter().all(|r| r.status().is_some_and(WorkerStatus::is_stopped))
            && self.strays.iter().all(|w| w.status.is_stopped())
    }

    /// The workers that are there.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.rows.iter().filter_map(|r| r.worker.as_ref())
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{row}")?;
        }
        for stray in &self.strays {
            write!(f, "; {} {} (not a brick of the volume)", stray.brick, stray.status)?;
        }
        Ok(())
    }
}
