//! The backend over libvirt's C library, through the `virt` crate.
//!
//! The library's calls have no deadline of their own, so each runs on a thread that is given up, with its connection,
//! when the deadline passes. A connection that breaks is made anew at the next call.

mod kind;
mod raw;

use std::ffi::CString;
use std::fmt;
use std::sync::{Mutex, Once, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use ::virt::connect::Connect;
use ::virt::domain::Domain;
use ::virt::sys;

use crate::call::{CallError, CallErrorKind};
use crate::virsh::pick;
use crate::{
    Backend, BlockJob, CommitSpec, DomainId, DomainState, Error, Hypervisor, Version, Versions, Which,
};

/// How long a call gets by default.
const DEADLINE: Duration = Duration::from_secs(120);
/// The prefix under which metadata elements are stored in the XML.
const METADATA_KEY: &str = "stillpoint";

/// A hypervisor reached through libvirt's C library.
pub struct Libvirt {
    uri: String,
    deadline: Duration,
    connection: Mutex<Option<Connect>>,
}

/// What a call on the library's side can fail with.
enum Failure {
    Libvirt(::virt::error::Error),
    /// An argument has a NUL byte or is out of range.
    Argument(String),
}

impl From<::virt::error::Error> for Failure {
    fn from(error: ::virt::error::Error) -> Self {
        Self::Libvirt(error)
    }
}

impl From<std::ffi::NulError> for Failure {
    fn from(error: std::ffi::NulError) -> Self {
        Self::Argument(error.to_string())
    }
}

impl Libvirt {
    /// Connects to this URI.
    ///
    /// # Errors
    /// When it can't be reached.
    pub fn connect(uri: impl Into<String>) -> Result<Self, Error> {
        static QUIET: Once = Once::new();
        // The library prints every error to stderr unless told not to.
        QUIET.call_once(::virt::error::clear_error_callback);
        let libvirt = Self { uri: uri.into(), deadline: DEADLINE, connection: Mutex::new(None) };
        libvirt.domains()?;
        Ok(libvirt)
    }

    /// Gives each call this long before it is given up.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn call<T: Send + 'static>(
        &self,
        call: &'static str,
        domain: Option<&str>,
        run: impl FnOnce(&Connect) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, CallError> {
        self.call_within(self.deadline, call, domain, run)
    }

    fn call_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        call: &'static str,
        domain: Option<&str>,
        run: impl FnOnce(&Connect) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, CallError> {
        let held = || self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = held().clone();
        let uri = self.uri.clone();
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let connection = match connection {
                Some(connection) => Ok(connection),
                None => Connect::open(Some(&uri)).map_err(|error| {
                    let message = error.message().to_owned();
                    CallError::new("connect", None, CallErrorKind::Connection, message)
                }),
            };
            let (connection, result) = match connection {
                Ok(connection) => {
                    let result = run(&connection);
                    (Some(connection), Ok(result))
                }
                Err(error) => (None, Err(error)),
            };
            let _ = send.send((connection, result));
        });
        match receive.recv_timeout(deadline) {
            Ok((connection, Ok(Ok(value)))) => {
                *held() = connection;
                Ok(value)
            }
            Ok((connection, Ok(Err(failure)))) => {
                let error = match failure {
                    Failure::Libvirt(error) => {
                        CallError::new(call, domain, kind::of(&error), error.message())
                    }
                    Failure::Argument(message) => CallError::new(call, domain, CallErrorKind::Other, message),
                };
                *held() = connection.filter(|_| error.kind != CallErrorKind::Connection);
                Err(error)
            }
            Ok((_, Err(error))) => Err(error),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                *held() = None;
                Err(CallError::deadline(call, domain, deadline))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                *held() = None;
                Err(CallError::new(call, domain, CallErrorKind::Other, "libvirt's binding gave up"))
            }
        }
    }

    fn on<T: Send + 'static>(
        &self,
        call: &'static str,
        domain: &DomainId,
        run: impl FnOnce(&Domain) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, CallError> {
        let uuid = domain.uuid.to_string();
        self.call(call, Some(&domain.name), move |connection| {
            run(&connection.lookup_domain_by_uuid_string(&uuid)?)
        })
    }
}

impl fmt::Debug for Libvirt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Libvirt").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Hypervisor for Libvirt {
    fn backend(&self) -> Backend {
        Backend::Libvirt
    }

    fn uri(&self) -> &str {
        &self.uri
    }

    fn versions(&self) -> Result<Versions, CallError> {
        self.call("version", None, |connection| {
            let version = |number: u32| Version::from_number(u64::from(number));
            Ok(Versions {
                libvirt: connection.lib_version().ok().map(version),
                hypervisor: connection.hyp_version().ok().map(version),
            })
        })
    }

    fn domains(&self) -> Result<Vec<DomainId>, CallError> {
        self.call("list", None, |connection| {
            let domains = connection.list_all_domains(0)?;
            let id = |domain: &Domain| Ok(DomainId { uuid: domain.uuid()?, name: domain.name()? });
            domains.iter().map(id).collect()
        })
    }

    fn find(&self, name_or_uuid: &str) -> Result<DomainId, CallError> {
        pick("list", self.domains()?, name_or_uuid)
    }

    fn state(&self, domain: &DomainId) -> Result<DomainState, CallError> {
        self.on("domstate", domain, |domain| {
            let (state, reason) = raw::state(domain)?;
            Ok(DomainState::from_numbers(state, reason))
        })
    }

    fn is_persistent(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.on("dominfo", domain, |domain| Ok(domain.is_persistent()?))
    }

    fn xml(&self, domain: &DomainId, which: Which) -> Result<String, CallError> {
        let flags = match which {
            Which::Live => 0,
            Which::Inactive => sys::VIR_DOMAIN_XML_INACTIVE,
            Which::InactiveWithSecrets => sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE,
        };
        self.on("dumpxml", domain, move |domain| Ok(domain.xml_desc(flags)?))
    }

    fn set_agent_timeout(&self, domain: &DomainId, timeout: Duration) -> Result<(), CallError> {
        let seconds = i32::try_from(timeout.as_secs().max(1)).unwrap_or(i32::MAX);
        self.on("guest-agent-timeout", domain, move |domain| Ok(raw::set_agent_timeout(domain, seconds)?))
    }

    fn freeze(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.on("domfsfreeze", domain, |domain| Ok(raw::freeze(domain)?))
    }

    fn thaw(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.on("domfsthaw", domain, |domain| Ok(raw::thaw(domain)?))
    }

    fn snapshot(&self, domain: &DomainId, xml: &str) -> Result<(), CallError> {
        let xml = xml.to_owned();
        let flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
            | sys::VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
            | sys::VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
            | sys::VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE;
        self.on("snapshot-create", domain, move |domain| {
            domain.create_snapshot_xml(&xml, flags)?;
            Ok(())
        })
    }

    fn snapshot_internal(&self, domain: &DomainId, xml: &str, deadline: Duration) -> Result<(), CallError> {
        let (uuid, xml) = (domain.uuid.to_string(), xml.to_owned());
        self.call_within(deadline, "snapshot-create", Some(&domain.name), move |connection| {
            let domain = connection.lookup_domain_by_uuid_string(&uuid)?;
            domain.create_snapshot_xml(&xml, sys::VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE)?;
            Ok(())
        })
    }

    fn snapshots(&self, domain: &DomainId) -> Result<Vec<String>, CallError> {
        self.on("snapshot-list", domain, |domain| {
            domain.list_all_snapshots(0)?.iter().map(|snapshot| Ok(snapshot.name()?)).collect()
        })
    }

    fn delete_snapshot(&self, domain: &DomainId, name: &str) -> Result<(), CallError> {
        let name = name.to_owned();
        self.on("snapshot-delete", domain, move |domain| {
            // The binding panics on a NUL byte.
            CString::new(name.as_str())?;
            Ok(Domain::lookup_snapshot_by_name(domain, &name, 0)?.delete(0)?)
        })
    }

    fn commit(&self, domain: &DomainId, spec: &CommitSpec) -> Result<(), CallError> {
        let spec = spec.clone();
        self.on("blockcommit", domain, move |domain| {
            let target = CString::new(spec.target)?;
            let base = CString::new(spec.base.into_os_string().into_encoded_bytes())?;
            let top = CString::new(spec.top.into_os_string().into_encoded_bytes())?;
            #[allow(clippy::useless_conversion, reason = "a C long has 32 bits on some machines")]
            let bandwidth = spec.bandwidth.unwrap_or(0).try_into().map_err(|_| {
                Failure::Argument("the bandwidth is more than this machine's words hold".into())
            })?;
            let flags = sys::VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | sys::VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES;
            Ok(raw::block_commit(domain, &target, &base, &top, bandwidth, flags)?)
        })
    }

    fn block_job(&self, domain: &DomainId, target: &str) -> Result<Option<BlockJob>, CallError> {
        let target = target.to_owned();
        self.on("blockjob", domain, move |domain| {
            let found = raw::block_job(domain, &CString::new(target)?)?;
            Ok(found.map(|(current, end)| BlockJob { current, end }))
        })
    }

    fn pivot(&self, domain: &DomainId, target: &str) -> Result<(), CallError> {
        let target = target.to_owned();
        self.on("blockjob", domain, move |domain| {
            Ok(raw::end_block_job(domain, &CString::new(target)?, sys::VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)?)
        })
    }

    fn cancel_job(&self, domain: &DomainId, target: &str) -> Result<(), CallError> {
        let target = target.to_owned();
        self.on("blockjob", domain, move |domain| Ok(raw::end_block_job(domain, &CString::new(target)?, 0)?))
    }

    fn suspend(&self, domain: &DomainId) -> Result<(), CallError> {
        self.on("suspend", domain, |domain| Ok(domain.suspend()?))
    }

    fn resume(&self, domain: &DomainId) -> Result<(), CallError> {
        self.on("resume", domain, |domain| Ok(domain.resume()?))
    }

    fn define(&self, xml: &str) -> Result<(), CallError> {
        let xml = xml.to_owned();
        self.call("define", None, move |connection| {
            connection.define_domain_xml_flags(&xml, 0)?;
            Ok(())
        })
    }

    fn set_metadata(&self, domain: &DomainId, namespace: &str, xml: Option<&str>) -> Result<(), CallError> {
        let namespace = namespace.to_owned();
        let xml = xml.map(str::to_owned);
        self.on("metadata", domain, move |domain| {
            // The binding panics on a NUL byte in these.
            CString::new(namespace.as_str())?;
            CString::new(xml.as_deref().unwrap_or_default())?;
            let mut flags = sys::VIR_DOMAIN_AFFECT_CONFIG;
            if domain.is_active()? {
                flags |= sys::VIR_DOMAIN_AFFECT_LIVE;
            }
            let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or(i32::MAX);
            Ok(domain.set_metadata(kind, xml.as_deref(), Some(METADATA_KEY), Some(&namespace), flags)?)
        })
    }

    fn metadata(&self, domain: &DomainId, namespace: &str) -> Result<Option<String>, CallError> {
        let namespace = namespace.to_owned();
        self.on("metadata", domain, move |domain| {
            CString::new(namespace.as_str())?;
            let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or(i32::MAX);
            match domain.metadata(kind, Some(&namespace), sys::VIR_DOMAIN_AFFECT_CONFIG) {
                Ok(xml) => Ok(Some(xml.trim().to_owned())),
                Err(error) if kind::is_missing_metadata(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn has_task(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.on("domjobinfo", domain, |domain| Ok(domain.job_info()?.r#type != sys::VIR_DOMAIN_JOB_NONE as _))
    }

    fn capacity(&self, domain: &DomainId, target: &str) -> Result<u64, CallError> {
        let target = target.to_owned();
        self.on("domblkinfo", domain, move |domain| Ok(raw::capacity(domain, &CString::new(target)?)?))
    }

    fn has_saved_state(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.on("dominfo", domain, |domain| Ok(domain.has_managed_save(0)?))
    }

    fn snapshot_count(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.on("snapshot-list", domain, |domain| Ok(domain.num_snapshots(0)?))
    }

    fn checkpoint_count(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.on("checkpoint-list", domain, |domain| Ok(raw::checkpoint_count(domain)?))
    }
}
