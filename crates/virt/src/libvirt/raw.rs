//! What the `virt` crate does not wrap, or wraps so that errors are lost.
//!
//! The only unsafe code of this crate. Every function takes a `&Domain`, whose pointer is valid for as long as that is
//! borrowed, and strings that end in NUL; none keeps a pointer. Errors are the calling thread's last, read at once.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::ptr;

use ::virt::domain::Domain;
use ::virt::error::Error;
use ::virt::sys;

/// A count or 0 when it is not negative, else the thread's last error.
fn checked(answer: c_int) -> Result<u32, Error> {
    u32::try_from(answer).map_err(|_| Error::last_error())
}

/// `virDomainGetState`: the state and its reason. (The crate's own loses errors.)
pub(super) fn state(domain: &Domain) -> Result<(u32, u32), Error> {
    let (mut state, mut reason): (c_int, c_int) = (0, 0);
    // SAFETY: the domain is valid (see above), and both integers outlive the call.
    checked(unsafe { sys::virDomainGetState(domain.as_ptr(), &mut state, &mut reason, 0) })?;
    Ok((u32::try_from(state).unwrap_or(0), u32::try_from(reason).unwrap_or(0)))
}

/// `virDomainAgentSetResponseTimeout`, in seconds.
pub(super) fn set_agent_timeout(domain: &Domain, seconds: c_int) -> Result<(), Error> {
    // SAFETY: the domain is valid.
    checked(unsafe { sys::virDomainAgentSetResponseTimeout(domain.as_ptr(), seconds, 0) }).map(drop)
}

/// `virDomainFSFreeze` of all file systems: how many.
pub(super) fn freeze(domain: &Domain) -> Result<u32, Error> {
    // SAFETY: the domain is valid; no mount points means all.
    checked(unsafe { sys::virDomainFSFreeze(domain.as_ptr(), ptr::null_mut(), 0, 0) })
}

/// `virDomainFSThaw` of all file systems: how many.
pub(super) fn thaw(domain: &Domain) -> Result<u32, Error> {
    // SAFETY: as for `freeze`.
    checked(unsafe { sys::virDomainFSThaw(domain.as_ptr(), ptr::null_mut(), 0, 0) })
}

/// `virDomainBlockCommit`.
pub(super) fn block_commit(
    domain: &Domain,
    target: &CStr,
    base: &CStr,
    top: &CStr,
    bandwidth: c_ulong,
    flags: c_uint,
) -> Result<(), Error> {
    let (target, base, top) = (target.as_ptr(), base.as_ptr(), top.as_ptr());
    // SAFETY: the domain is valid, and the three strings outlive the call.
    checked(unsafe { sys::virDomainBlockCommit(domain.as_ptr(), target, base, top, bandwidth, flags) })
        .map(drop)
}

/// `virDomainGetBlockJobInfo`: how far it is and where it ends, if there is a job.
pub(super) fn block_job(domain: &Domain, target: &CStr) -> Result<Option<(u64, u64)>, Error> {
    let mut info = sys::virDomainBlockJobInfo { type_: 0, bandwidth: 0, cur: 0, end: 0 };
    let flags = sys::VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES;
    // SAFETY: the domain is valid, the string and the structure outlive the call.
    let found = checked(unsafe {
        sys::virDomainGetBlockJobInfo(domain.as_ptr(), target.as_ptr(), &mut info, flags)
    })?;
    Ok((found > 0).then_some((info.cur, info.end)))
}

/// `virDomainGetBlockInfo`: the disk's size in bytes. (The crate's own loses errors.)
pub(super) fn capacity(domain: &Domain, target: &CStr) -> Result<u64, Error> {
    let mut info = sys::virDomainBlockInfo { capacity: 0, allocation: 0, physical: 0 };
    // SAFETY: the domain is valid, the string and the structure outlive the call.
    checked(unsafe { sys::virDomainGetBlockInfo(domain.as_ptr(), target.as_ptr(), &mut info, 0) })?;
    Ok(info.capacity)
}

/// `virDomainBlockJobAbort`, which also pivots.
pub(super) fn end_block_job(domain: &Domain, target: &CStr, flags: c_uint) -> Result<(), Error> {
    // SAFETY: the domain is valid, and the string outlives the call.
    checked(unsafe { sys::virDomainBlockJobAbort(domain.as_ptr(), target.as_ptr(), flags) }).map(drop)
}

/// `virDomainListAllCheckpoints` without asking for the list: how many.
pub(super) fn checkpoint_count(domain: &Domain) -> Result<u32, Error> {
    // SAFETY: the domain is valid; a null list asks for the number alone.
    checked(unsafe { sys::virDomainListAllCheckpoints(domain.as_ptr(), ptr::null_mut(), 0) })
}
