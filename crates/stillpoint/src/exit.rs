//! Exit codes: part of the interface.

/// How the program ends. The reading commands that mirror `qemu-img` use its codes instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Failed, and nothing is left to be cleaned up.
    Failed,
    /// The command line was wrong.
    Usage,
    /// Done in part.
    Partial,
    /// Something is left that `stillpoint recover` has to finish.
    NeedsRecovery,
    /// Somebody else holds the session's lock.
    Locked,
    /// Something is left that takes a person's decision.
    NeedsOperator,
    /// One of `qemu-img`'s own codes.
    QemuImg(u8),
}

/// A command line that can be parsed and can't be meant. Own verbs end with [`Exit::Usage`] then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrongUsage(pub(crate) &'static str);

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// What is said where a volume has to be named.
pub(crate) const WHICH_VOLUME: WrongUsage = WrongUsage("which volume? Name it with --volume or --brick");

impl Exit {
    /// The code that the program ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::NeedsRecovery => 4,
            Self::Locked => 5,
            Self::NeedsOperator => 6,
            Self::QemuImg(code) => code,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
