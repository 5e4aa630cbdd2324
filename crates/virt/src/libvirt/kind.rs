//! Libvirt's error numbers as our kinds.

use ::virt::error::{Error, ErrorDomain, ErrorNumber};
use ::virt::sys;

use crate::call::{CallErrorKind as Kind, classify};

/// The kind, by `virErrorNumber`, and by the text where the number says too little.
pub(super) fn of(error: &Error) -> Kind {
    match error.code().to_raw() {
        sys::VIR_ERR_NO_DOMAIN => Kind::NoDomain,
        sys::VIR_ERR_BLOCK_COPY_ACTIVE => Kind::NotReady,
        sys::VIR_ERR_AGENT_UNRESPONSIVE => match classify(error.message()) {
            Kind::AgentTimeout => Kind::AgentTimeout,
            _ => Kind::AgentUnavailable,
        },
        sys::VIR_ERR_AGENT_UNSYNCED => Kind::AgentUnavailable,
        sys::VIR_ERR_AGENT_COMMAND_TIMEOUT => Kind::AgentTimeout,
        sys::VIR_ERR_AGENT_COMMAND_FAILED => Kind::AgentFailed,
        sys::VIR_ERR_OPERATION_TIMEOUT | sys::VIR_ERR_RESOURCE_BUSY => Kind::Busy,
        sys::VIR_ERR_ACCESS_DENIED => Kind::Denied,
        sys::VIR_ERR_RPC | sys::VIR_ERR_NO_CONNECT => Kind::Connection,
        // Raised on this side when the daemon goes away.
        _ if error.domain().is(ErrorDomain::Rpc) => Kind::Connection,
        number => match (classify(error.message()), number) {
            (Kind::Other, sys::VIR_ERR_OPERATION_INVALID) => Kind::NotInState,
            (
                Kind::Other,
                sys::VIR_ERR_NO_SUPPORT
                | sys::VIR_ERR_CONFIG_UNSUPPORTED
                | sys::VIR_ERR_OPERATION_UNSUPPORTED
                | sys::VIR_ERR_ARGUMENT_UNSUPPORTED,
            ) => Kind::Unsupported,
            (kind, _) => kind,
        },
    }
}

pub(super) fn is_missing_metadata(error: &Error) -> bool {
    error.code().is(ErrorNumber::NoDomainMetadata)
}
