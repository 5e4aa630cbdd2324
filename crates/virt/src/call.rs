//! What can go wrong in one call to a hypervisor.

use std::time::Duration;

/// One call to a hypervisor that failed.
///
/// The kind is what this crate decides by; the message is the hypervisor's own, as its users know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}{of}: {message}{hint}", of = self.of(), hint = self.kind.hint())]
pub struct CallError {
    /// What was asked, in libvirt's words, such as `blockcommit`.
    pub call: &'static str,
    /// The domain, by name, where the call was about one.
    pub domain: Option<String>,
    /// The kind of failure.
    pub kind: CallErrorKind,
    /// The hypervisor's own text.
    pub message: String,
}

/// The kinds of failure that are told apart. The numbers are libvirt's `virErrorNumber`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The hypervisor can't be reached (38, 39 and all failures to connect).
    Connection,
    /// There is no such domain (42).
    NoDomain,
    /// The domain is not running, or not in a state that allows the call (55).
    NotInState,
    /// A block job is not ready for its pivot yet (83): ask again.
    NotReady,
    /// Something else holds the domain's state change lock (68), or a resource is busy (87).
    Busy,
    /// There is no guest agent, or it doesn't answer (86).
    AgentUnavailable,
    /// The guest agent did not answer in time (112).
    AgentTimeout,
    /// The guest agent answered with an error (113).
    AgentFailed,
    /// A file that the call would create exists already (67 with that text).
    Exists,
    /// Access to a file or the call was denied (88, or any error with that text).
    Denied,
    /// No space is left.
    NoSpace,
    /// The hypervisor can't do this (3, 67, 84).
    Unsupported,
    /// The deadline of the call passed; whether it takes effect later is not known.
    Deadline,
    /// The answer could not be read.
    Answer,
    /// Anything else.
    Other,
}

impl CallErrorKind {
    /// Whether the same call can succeed later with nothing changed by anyone.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Connection | Self::NotReady | Self::Busy | Self::AgentTimeout | Self::Deadline)
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Connection => " (is libvirtd running, and is the connect URI right?)",
            Self::Denied => {
                " (the hypervisor may not open that file: with AppArmor and libvirt older than 12.1 a block commit \
                 is denied its base; upgrade libvirt, or allow the path in the abstraction. Do not delete the overlay)"
            }
            Self::NoSpace => " (free space on the file system named, then try again)",
            _ => "",
        }
    }
}

impl CallError {
    /// A failure of `call` on the domain of this name.
    #[must_use]
    pub fn new(
        call: &'static str,
        domain: Option<&str>,
        kind: CallErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self { call, domain: domain.map(str::to_owned), kind, message: message.into() }
    }

    /// The failure of a call that did not answer before its deadline.
    #[must_use]
    pub fn deadline(call: &'static str, domain: Option<&str>, after: Duration) -> Self {
        Self::new(call, domain, CallErrorKind::Deadline, format!("no answer within {after:.1?}"))
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    fn of(&self) -> String {
        self.domain.as_ref().map(|domain| format!(" of domain '{domain}'")).unwrap_or_default()
    }
}

/// The kind of an error, by libvirt's text in the C locale: what `virsh` leaves us, and what tells more than the number
/// where the library gives one.
pub(crate) fn classify(message: &str) -> CallErrorKind {
    use CallErrorKind as Kind;
    const TEXTS: &[(&str, CallErrorKind)] = &[
        ("not ready for pivot", Kind::NotReady),
        ("block copy still active", Kind::NotReady),
        ("failed to connect to the hypervisor", Kind::Connection),
        ("failed to connect socket", Kind::Connection),
        ("client socket is closed", Kind::Connection),
        ("end of file while reading data", Kind::Connection),
        ("cannot recv data", Kind::Connection),
        ("cannot write data", Kind::Connection),
        ("connection reset", Kind::Connection),
        ("domain not found", Kind::NoDomain),
        ("failed to get domain", Kind::NoDomain),
        ("guest agent command timed out", Kind::AgentTimeout),
        ("guest agent not available for now", Kind::AgentTimeout),
        ("guest agent didn't respond", Kind::AgentTimeout),
        ("guest agent is not responding", Kind::AgentUnavailable),
        ("guest agent is not connected", Kind::AgentUnavailable),
        ("guest agent is not configured", Kind::AgentUnavailable),
        ("unable to execute qemu agent command", Kind::AgentFailed),
        ("guest agent command failed", Kind::AgentFailed),
        ("state change lock", Kind::Busy),
        ("resource busy", Kind::Busy),
        ("another job is already", Kind::Busy),
        ("already exists", Kind::Exists),
        ("permission denied", Kind::Denied),
        ("access denied", Kind::Denied),
        ("no space left", Kind::NoSpace),
        ("domain is not running", Kind::NotInState),
        ("requested operation is not valid", Kind::NotInState),
        ("not supported", Kind::Unsupported),
        ("unsupported", Kind::Unsupported),
    ];
    let message = message.to_lowercase();
    TEXTS.iter().find(|(text, _)| message.contains(text)).map_or(Kind::Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirts_texts_fall_into_their_kinds() {
        use CallErrorKind as Kind;
        for (text, kind) in [
            ("block copy still active: disk 'vda' not ready for pivot yet", Kind::NotReady),
            ("Guest agent is not responding: QEMU guest agent is not connected", Kind::AgentUnavailable),
            ("Domain not found: no domain with matching uuid", Kind::NoDomain),
            (
                "unsupported configuration: external snapshot file for disk vda already exists and is not a block device",
                Kind::Exists,
            ),
            (
                "internal error: unable to execute QEMU command 'block-commit': Could not open base: Permission denied",
                Kind::Denied,
            ),
            ("Requested operation is not valid: domain is not running", Kind::NotInState),
            (
                "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainX)",
                Kind::Busy,
            ),
            ("Cannot write data: Broken pipe", Kind::Connection),
            ("something new", Kind::Other),
        ] {
            assert_eq!(classify(text), kind, "{text}");
        }
    }
}
