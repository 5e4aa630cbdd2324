//! Exit codes: part of the interface.

/// How the program ends. The reading commands that mirror `qemu-img` use its codes instead: 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed, and nothing is left to be cleaned up.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Done in part.
    Partial = 3,
    /// Something is left that `stillpoint recover` has to finish.
    NeedsRecovery = 4,
    /// Somebody else holds the session's lock.
    Locked = 5,
    /// Something is left that takes a person's decision.
    NeedsOperator = 6,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
