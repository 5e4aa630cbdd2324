//! What records say.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::manifest::Digest;
use crate::report::Outcome;

/// What a record says: a step of one of the parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", content = "of", rename_all = "kebab-case")]
pub enum Entry {
    /// Of the cycle itself.
    Run(RunStep),
    /// Of a domain's still point.
    Virt(virt::Step),
    /// Of a session of replication.
    Georep(georep::Step),
}

impl Entry {
    /// The part and the step's name in it, such as `virt.pivot-requested`.
    #[must_use]
    pub fn name(&self) -> String {
        let (part, step) = match self {
            Self::Run(step) => ("run", serde_json::to_value(step)),
            Self::Virt(step) => ("virt", serde_json::to_value(step)),
            Self::Georep(step) => ("georep", serde_json::to_value(step)),
        };
        match step.as_ref().ok().and_then(|step| step.get("step")).and_then(serde_json::Value::as_str) {
            Some(name) => format!("{part}.{name}"),
            None => part.to_owned(),
        }
    }
}

/// One step of the cycle itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunStep {
    /// The run begins; nothing was done yet.
    Began(RunBegan),
    /// Replication was found to be running (or not) before anything was done, which `after_run` needs.
    Found {
        /// Whether it was running.
        replication_running: bool,
    },
    /// Replication is stopped and the proof of the point begins.
    ProofBegan,
    /// The proof was made and the run judged.
    Proved {
        /// How the run ends if everything that is left to be undone is undone.
        outcome: Outcome,
        /// Whether the far side holds exactly the point.
        holds: bool,
        /// How many shards differ.
        differing_shards: u64,
        /// The digest over the primary's manifest.
        primary: Digest,
        /// The digest over the secondary's manifest.
        secondary: Digest,
    },
    /// Replication is about to be started again, since it was found running and is to be left so.
    LeaveRunningIntended,
    /// Somebody began to recover from this journal.
    RecoveryBegan {
        /// The process.
        pid: u32,
    },
    /// The last line had been cut short by a crash, and was removed.
    TornTailCut {
        /// Where it began, in bytes.
        offset: u64,
        /// How long it was, in bytes.
        len: u64,
    },
    /// Nothing of the run is left to be done.
    Ended(Ended),
}

/// How a run was asked for: what recovery needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBegan {
    /// The version of the program that writes this.
    pub version: String,
    /// The session of replication.
    pub session: georep::SessionName,
    /// The hypervisor's connect URI.
    pub connect: String,
    /// How the hypervisor is reached.
    pub backend: virt::Backend,
    /// The domains.
    pub domains: Vec<virt::DomainId>,
    /// Where the primary volume is mounted.
    pub mount: PathBuf,
    /// How replication is to be left.
    pub after_run: AfterRun,
}

/// How a run leaves replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterRun {
    /// Stopped, so that the far side stays at the point.
    #[default]
    Stopped,
    /// Running if it was found running.
    AsFound,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The outcome.
    pub outcome: Outcome,
    /// Whether recovery ended it, rather than the run itself.
    pub by_recovery: bool,
}
