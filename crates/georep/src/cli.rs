//! Gluster's complaints, told apart by their texts, since its exit codes tell nothing.

use crate::runner::Output;

/// Gluster refused to do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{command:?}: {message}{}", kind.advice())]
pub struct CliError {
    /// The command.
    pub command: String,
    /// What kind of refusal it is.
    pub kind: CliErrorKind,
    /// Gluster's own words, at most 512 characters of them.
    pub message: String,
}

impl CliError {
    /// Whether the same command can succeed later with nothing set right.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, CliErrorKind::Busy)
    }
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CliErrorKind {
    /// Another transaction holds the cluster's lock; later it won't.
    Busy,
    /// The volume or the session does not exist.
    Absent,
    /// The session runs already.
    AlreadyStarted,
    /// The session does not run.
    NotRunning,
    /// The session is paused.
    Paused,
    /// Something is not set up as it has to be; trying again can't help.
    Misconfigured,
    /// glusterd can't be reached at the node where the command ran.
    GlusterdDown,
    /// The far side, or a node of the primary, could not be reached.
    Unreachable,
    /// A text that is not known here.
    Other,
}

impl CliErrorKind {
    fn advice(self) -> &'static str {
        match self {
            Self::Busy => " (another command holds the cluster's lock; this is retried)",
            Self::Absent => " (see 'gluster volume geo-replication status' for the sessions that exist)",
            Self::GlusterdDown => " (start glusterd on this node)",
            Self::Misconfigured => " (set this right first; trying again won't help)",
            Self::Unreachable => " (see that the node answers, and try again)",
            Self::AlreadyStarted | Self::NotRunning | Self::Paused | Self::Other => "",
        }
    }

    /// From Gluster's text, which may have been wrapped as `Staging failed on HOST. Error: …`.
    ///
    /// The texts are those of glusterd's geo-replication and of the command line, 3.7 to 11.1.
    #[must_use]
    pub fn classify(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
        if has(&[
            "another transaction is in progress",
            "another transaction could be in progress",
            "locking failed",
        ]) {
            Self::Busy
        } else if has(&[
            "connection failed. please check if gluster daemon",
            "connection failed. please check if gluster",
            "failed to connect to glusterd",
            "please check if gluster daemon is operational",
        ]) {
            Self::GlusterdDown
        } else if has(&["already started", "already running"]) {
            Self::AlreadyStarted
        } else if has(&["is not running", "not started", "is not active"])
            && !has(&["volume %s needs to be started"])
            && text.contains("session")
        {
            Self::NotRunning
        } else if has(&["is paused", "already paused"]) {
            Self::Paused
        } else if has(&["does not exist", "no active geo-replication sessions"]) {
            Self::Absent
        } else if has(&[
            " not reachable",
            "is not connected",
            "peer disconnected",
            "some of the peers are down",
        ]) {
            Self::Unreachable
        } else if has(&[
            "needs to be started",
            "is not started",
            "not been started",
            "passwordless ssh login",
            "gluster command not found",
            "required for push-pem",
            "unable to get statefile",
            "unable to get remote volume uuid",
            "check gsync config file",
            "invalid checkpoint label",
            "reserved option",
            "invalid option",
            "config corrupted",
        ]) {
            Self::Misconfigured
        } else {
            Self::Other
        }
    }
}

/// An answer of Gluster's that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{command:?} gave an answer that can't be read: {problem}; it began {excerpt:?}")]
pub struct AnswerError {
    /// The command.
    pub command: String,
    /// What is wrong with it.
    pub problem: AnswerProblem,
    /// Its beginning, at most 200 characters.
    pub excerpt: String,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerProblem {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is longer than is read.
    #[error("it is longer than {} bytes", crate::runner::MAX_OUTPUT)]
    TooLong,
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    Encoding,
    /// It is not XML, or XML that was cut.
    #[error("it is not whole XML ({0})")]
    Xml(String),
    /// An element is missing.
    #[error("it has no <{0}>")]
    Missing(&'static str),
    /// An element's text is not what it has to be.
    #[error("<{element}> is {text:?}")]
    Value {
        /// The element.
        element: &'static str,
        /// Its text, at most 100 characters.
        text: String,
    },
}

/// Cuts `text` to `characters`.
pub(crate) fn clip(text: &str, characters: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The plain-text complaint in an answer that holds no XML, if there is one.
pub(crate) fn plain_complaint(output: &Output) -> Option<String> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    [stdout.trim(), stderr.trim()]
        .into_iter()
        .find(|t| !t.is_empty() && !t.starts_with('<'))
        .map(|t| clip(t, 512))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glusters_texts_are_told_apart() {
        use CliErrorKind as K;
        for (text, kind) in [
            ("Another transaction is in progress for gv1. Please try again after some time.", K::Busy),
            ("Another transaction could be in progress. Please try again after some time.", K::Busy),
            ("Staging failed on siteA2. Error: Another transaction is in progress", K::Busy),
            ("Connection failed. Please check if gluster daemon is operational.", K::GlusterdDown),
            ("Geo-replication session between gv1 and siteB::gv2 does not exist.", K::Absent),
            ("No active geo-replication sessions between gv1 and siteB::gv2", K::Absent),
            ("Volume gv9 does not exist", K::Absent),
            ("Geo-replication session between gv1 & siteB::gv2 already started", K::AlreadyStarted),
            (
                "Geo-replication session between gv1 and siteB::gv2 is not running on this node.",
                K::NotRunning,
            ),
            ("Volume gv1 needs to be started before geo-replication start", K::Misconfigured),
            ("Passwordless ssh login has not been setup with siteB for user root.", K::Misconfigured),
            ("Please check gsync config file. Unable to get statefile's name", K::Misconfigured),
            ("siteB not reachable.", K::Unreachable),
            ("something new", K::Other),
        ] {
            assert_eq!(K::classify(text), kind, "{text}");
        }
    }

    #[test]
    fn only_busy_is_worth_trying_again() {
        let error = |message: &str| CliError {
            command: "gluster".into(),
            kind: CliErrorKind::classify(message),
            message: message.into(),
        };
        assert!(error("Another transaction is in progress").is_retryable());
        assert!(!error("does not exist").is_retryable());
    }

    #[test]
    fn clipping_never_splits_a_character() {
        assert_eq!(clip("äöü", 2), "äö…");
        assert_eq!(clip("äöü", 3), "äöü");
    }
}
