//! Both of a domain's XML descriptions, read together.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{Disk, Domain, Mirror, Ready};
use crate::{CallError, DomainId, Error, Hypervisor, Instance, IntendedDisk, Which};

/// What the XML says, live and inactive.
pub(crate) struct View {
    pub(crate) live: Domain,
    pub(crate) inactive: Domain,
}

/// Where one disk is, by both.
pub(crate) enum Place<'a> {
    /// The guest writes to the base, no job.
    Home {
        /// The definition names the base too.
        defined: bool,
    },
    /// The guest writes to the overlay right above the base, no job.
    Away,
    /// A commit of the overlay into the base.
    Moving(&'a Mirror),
    /// Anything else.
    Strange(String),
}

impl View {
    pub(crate) fn read(hypervisor: &dyn Hypervisor, domain: &DomainId) -> Result<Self, Error> {
        Ok(Self {
            live: Domain::parse(&hypervisor.xml(domain, Which::Live)?)?,
            inactive: Domain::parse(&hypervisor.xml(domain, Which::Inactive)?)?,
        })
    }

    /// Reads, through failures that pass, until `until`.
    pub(crate) fn read_patiently(
        hypervisor: &dyn Hypervisor,
        domain: &DomainId,
        until: Instant,
    ) -> Result<Self, Error> {
        loop {
            match Self::read(hypervisor, domain) {
                Err(error) if error.is_retryable() && Instant::now() < until => {
                    tracing::warn!(%domain, %error, "can't read the domain's XML yet");
                    thread::sleep(Duration::from_millis(500));
                }
                read => return read,
            }
        }
    }

    /// Where this disk is, in a domain that runs.
    pub(crate) fn place(&self, disk: &IntendedDisk) -> Place<'_> {
        let Some(live) = self.live.disk(&disk.target) else {
            return Place::Strange("the domain has no such disk any more".into());
        };
        match &live.mirror {
            Some(mirror) if live.source.is_file(&disk.overlay) => {
                let into = mirror.source.as_deref();
                if mirror.job == "active-commit" && into.is_none_or(|into| into == disk.base) {
                    Place::Moving(mirror)
                } else {
                    Place::Strange(format!("a block job that isn't ours ({}) is on it", mirror.job))
                }
            }
            Some(mirror) => Place::Strange(format!(
                "it is {}, with a block job that isn't ours ({})",
                live.source, mirror.job
            )),
            None if live.source.is_file(&disk.base) => match self.inactive.disk(&disk.target) {
                Some(defined) if defined.source.is_file(&disk.base) => Place::Home { defined: true },
                Some(defined) if defined.source.is_file(&disk.overlay) => Place::Home { defined: false },
                Some(defined) => {
                    Place::Strange(format!("it runs on its base, but its definition is {}", defined.source))
                }
                None => Place::Strange("it runs on its base, but is not in the definition".into()),
            },
            None if live.source.is_file(&disk.overlay) => match below(live) {
                Some(below) if below == disk.base => Place::Away,
                below => Place::Strange(format!(
                    "below its overlay is {} instead of its base",
                    below.map_or_else(|| "nothing".into(), |path| path.display().to_string())
                )),
            },
            None if live.backing.iter().any(|layer| layer.source.is_file(&disk.overlay)) => {
                Place::Strange(format!("another overlay lies on top of ours: {}", live.source))
            }
            None => Place::Strange(format!("it is {}", live.source)),
        }
    }

    /// Which start of the domain this is.
    pub(crate) fn instance(&self) -> Instance {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Instance { id: self.live.id, boot: boot.map(|text| text.trim().to_owned()) }
    }
}

fn below(disk: &Disk) -> Option<&Path> {
    disk.backing.first().and_then(|layer| layer.source.file())
}

impl Place<'_> {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Moving(Mirror { ready: Ready::Yes, .. }))
    }
}

/// Whether an error leaves open that the call takes effect later.
pub(crate) fn may_take_effect_later(error: &CallError) -> bool {
    error.is_retryable() && error.kind != crate::CallErrorKind::Busy
}
