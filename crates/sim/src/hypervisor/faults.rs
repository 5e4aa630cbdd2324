//! What can be made to go wrong.

use stillpoint_virt::{CallError, CallErrorKind};

/// How the machine behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// How often the XML is read before a commit is ready.
    pub polls_until_ready: u32,
    /// How often the XML is read before a pivot that was asked for shows.
    pub polls_until_pivoted: u32,
    /// Commits never become ready.
    pub never_ready: bool,
    /// Commits end by themselves, without effect, when they would become ready.
    pub job_fails: bool,
    /// A pivot changes the live XML only.
    pub definition_lags: bool,
    /// QEMU ends during a pivot: the base is written to the last, the definition is not changed.
    pub pivot_kills: bool,
    /// A snapshot doesn't change the definition.
    pub snapshot_skips_definition: bool,
    /// An internal snapshot of a guest that runs leaves it paused by an API error.
    pub internal_leaves_paused: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            polls_until_ready: 3,
            polls_until_pivoted: 0,
            never_ready: false,
            job_fails: false,
            definition_lags: false,
            pivot_kills: false,
            snapshot_skips_definition: false,
            internal_leaves_paused: false,
        }
    }
}

/// The calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the methods of Hypervisor are")]
pub enum Call {
    Versions,
    Domains,
    State,
    Persistent,
    Xml,
    AgentTimeout,
    Freeze,
    Thaw,
    Snapshot,
    Commit,
    BlockJob,
    Pivot,
    CancelJob,
    Suspend,
    Resume,
    Define,
    Metadata,
    Counts,
    SavedState,
    Task,
    Internal,
    DeleteSnapshot,
    Capacity,
}

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It has no effect.
    Refused(CallErrorKind),
    /// It has its effect, and the answer is an error all the same.
    AnswerLost(CallErrorKind),
}

#[derive(Debug)]
pub(super) struct Injection {
    pub(super) call: Call,
    pub(super) left: u32,
    pub(super) failure: Failure,
}

impl Failure {
    pub(super) fn error(&self, call: &'static str) -> CallError {
        let (kind, message) = match self {
            Self::Refused(kind) => (*kind, "injected: refused"),
            Self::AnswerLost(kind) => (*kind, "injected: the answer was lost"),
        };
        CallError::new(call, None, kind, message)
    }
}
