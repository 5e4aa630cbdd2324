//! What recovery tells.

use std::fmt;

use serde::{Deserialize, Serialize};
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::journal::{Contents, RunBegan};
use crate::lock::Holder;
use crate::{Error, Outcome, RunId};

/// What became of a run that wasn't over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecovery {
    /// The run.
    pub run: RunId,
    /// Its session; `None` where its journal can't be read.
    pub session: Option<georep::SessionName>,
    /// The last step that its journal had.
    pub last_step: Option<String>,
    /// What became of it.
    pub outcome: Recovered,
    /// How the run ended, once it is finished: a run whose proof was accepted before it was interrupted is proven.
    pub ended: Option<Outcome>,
    /// Its still points.
    pub domains: Vec<DomainRecovery>,
    /// Whether replication was found running; `None` where the run never started it, or it was not looked at.
    pub replication_running: Option<bool>,
    /// What stands in the way, or is still to be done.
    pub problems: Vec<String>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Recovered {
    /// Nothing of it is left.
    Finished,
    /// It was only looked at.
    Looked,
    /// It is under way: another process holds its lock.
    InProgress,
    /// Something failed; trying again may help.
    NeedsRecovery,
    /// Something takes a person's decision.
    NeedsOperator,
}

/// What became of one still point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRecovery {
    /// The domain.
    pub domain: virt::DomainId,
    /// The still point.
    pub tag: virt::Tag,
    /// What was found first: each disk, and what it was at.
    pub found: Vec<String>,
    /// What was done, or would be done next in a dry run.
    pub actions: Vec<String>,
}

impl RunRecovery {
    pub(super) fn new(contents: &Contents, began: &RunBegan, outcome: Recovered) -> Self {
        Self {
            run: contents.header.run.clone(),
            session: Some(began.session.clone()),
            last_step: contents.records.last().map(|record| record.entry.name()),
            outcome,
            ended: None,
            domains: Vec::new(),
            replication_running: None,
            problems: Vec::new(),
        }
    }

    pub(super) fn failed(contents: &Contents, began: &RunBegan, error: &Error) -> Self {
        let mut recovery = Self::new(contents, began, Recovered::NeedsRecovery);
        recovery.problems.push(error.to_string());
        recovery
    }

    pub(super) fn in_progress(contents: &Contents, began: &RunBegan, holder: Option<Holder>) -> Self {
        let mut recovery = Self::new(contents, began, Recovered::InProgress);
        let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
        recovery.problems.push(format!("{holder} holds the session's lock"));
        recovery
    }

    pub(super) fn unreadable(run: RunId, error: &Error) -> Self {
        Self {
            run,
            session: None,
            last_step: None,
            outcome: Recovered::NeedsOperator,
            ended: None,
            domains: Vec::new(),
            replication_running: None,
            problems: vec![error.to_string()],
        }
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "nothing of it is left",
            Self::Looked => "looked at, nothing was done",
            Self::InProgress => "in progress",
            Self::NeedsRecovery => "not recovered, try again",
            Self::NeedsOperator => "needs an operator",
        })
    }
}

impl fmt::Display for RunRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}: {}", self.run, self.outcome)?;
        for domain in &self.domains {
            write!(f, "; domain {}: {}", domain.domain.name, domain.found.join(", "))?;
            if !domain.actions.is_empty() {
                write!(f, " -> {}", domain.actions.join(", "))?;
            }
        }
        match self.replication_running {
            Some(true) => f.write_str("; replication is running -> stop it first")?,
            Some(false) => f.write_str("; replication is stopped")?,
            None => {}
        }
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        Ok(())
    }
}
