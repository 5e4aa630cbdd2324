//! What each call does.

use std::time::Duration;

use stillpoint_virt::domain::Domain;
use stillpoint_virt::{
    Backend, BlockJob, CallError, CallErrorKind as Kind, CommitSpec, DomainId, DomainState, Hypervisor,
    PauseReason, Versions, Which,
};

use super::domain::Guest;
use super::drive::{Drive, Job, Phase};
use super::faults::Call;
use super::process::{SimHypervisor, active};
use super::{overlay, snapshot, xml};

fn drive<'a>(guest: &'a mut Guest, target: &str) -> Result<&'a mut Drive, (Kind, String)> {
    active(guest)?;
    guest.disk(target).ok_or_else(|| (Kind::Other, format!("invalid argument: no disk {target}")))
}

impl Hypervisor for SimHypervisor {
    fn backend(&self) -> Backend {
        Backend::Simulated
    }

    fn uri(&self) -> &str {
        "sim:///"
    }

    fn versions(&self) -> Result<Versions, CallError> {
        self.call(Call::Versions, "version", |world| Ok(world.versions))
    }

    fn domains(&self) -> Result<Vec<DomainId>, CallError> {
        self.call(Call::Domains, "list", |world| {
            Ok(world.guests.iter().map(|guest| guest.id.clone()).collect())
        })
    }

    fn find(&self, name_or_uuid: &str) -> Result<DomainId, CallError> {
        let domains = self.domains()?;
        let found = domains.iter().find(|domain| domain.name == name_or_uuid);
        let found = found.or_else(|| domains.iter().find(|domain| domain.uuid.to_string() == name_or_uuid));
        found
            .cloned()
            .ok_or_else(|| CallError::new("list", Some(name_or_uuid), Kind::NoDomain, "Domain not found"))
    }

    fn state(&self, domain: &DomainId) -> Result<DomainState, CallError> {
        self.on(Call::State, "domstate", domain, |guest| Ok(guest.state))
    }

    fn is_persistent(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.on(Call::Persistent, "dominfo", domain, |guest| Ok(guest.persistent))
    }

    fn xml(&self, domain: &DomainId, which: Which) -> Result<String, CallError> {
        self.call(Call::Xml, "dumpxml", |world| {
            let behaviour = world.behaviour.clone();
            let model = world.security_model.clone();
            let Some(guest) = world.guest(domain) else {
                return Err(CallError::new(
                    "dumpxml",
                    Some(&domain.name),
                    Kind::NoDomain,
                    "Domain not found",
                ));
            };
            if which == Which::Live {
                for disk in &mut guest.disks {
                    if disk.advance(behaviour.never_ready, behaviour.job_fails) {
                        disk.pivot(!behaviour.definition_lags);
                    }
                }
            }
            Ok(xml::domain(guest, which, model.as_deref()))
        })
    }

    fn set_agent_timeout(&self, domain: &DomainId, _: Duration) -> Result<(), CallError> {
        self.on(Call::AgentTimeout, "guest-agent-timeout", domain, |guest| {
            active(guest)?;
            guest.agent_timeout = true;
            Ok(())
        })
    }

    fn freeze(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.agent(Call::Freeze, "domfsfreeze", domain, |guest, count| {
            guest.frozen = count;
            count
        })
    }

    fn thaw(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.agent(Call::Thaw, "domfsthaw", domain, |guest, _| std::mem::take(&mut guest.frozen))
    }

    fn snapshot(&self, domain: &DomainId, xml: &str) -> Result<(), CallError> {
        let wanted = snapshot::wanted(xml)
            .map_err(|message| CallError::new("snapshot-create", Some(&domain.name), Kind::Other, message))?;
        self.call(Call::Snapshot, "snapshot-create", |world| {
            let define = !world.behaviour.snapshot_skips_definition;
            let failed =
                |kind, message: String| CallError::new("snapshot-create", Some(&domain.name), kind, message);
            let guest =
                world.guest(domain).ok_or_else(|| failed(Kind::NoDomain, "Domain not found".into()))?;
            active(guest).map_err(|(kind, message)| failed(kind, message))?;
            snapshot::make(guest, &wanted, define).map_err(|(kind, message)| failed(kind, message))
        })
    }

    fn snapshot_internal(&self, domain: &DomainId, xml: &str, _: Duration) -> Result<(), CallError> {
        let failed =
            |kind, message: String| CallError::new("snapshot-create", Some(&domain.name), kind, message);
        let name = snapshot::name(xml).map_err(|message| failed(Kind::Other, message))?;
        let paused = self.host.world().behaviour.internal_leaves_paused;
        self.on(Call::Internal, "snapshot-create", domain, |guest| {
            if let Some(disk) = guest.disks.iter().find(|disk| !disk.holds_internal_snapshots()) {
                let message = format!("internal snapshot for disk {} unsupported", disk.target);
                return Err((Kind::Unsupported, message));
            }
            if guest.internal.contains(&name) {
                return Err((Kind::Other, format!("domain moment {name} already exists")));
            }
            guest.internal.push(name);
            if paused && guest.runs() {
                guest.state = DomainState::from_numbers(3, 14);
            }
            Ok(())
        })
    }

    fn snapshots(&self, domain: &DomainId) -> Result<Vec<String>, CallError> {
        self.on(Call::Counts, "snapshot-list", domain, |guest| {
            let others = (0..guest.snapshots).map(|number| format!("another {number}"));
            Ok(others.chain(guest.internal.iter().cloned()).collect())
        })
    }

    fn delete_snapshot(&self, domain: &DomainId, name: &str) -> Result<(), CallError> {
        self.on(Call::DeleteSnapshot, "snapshot-delete", domain, |guest| {
            let at = guest.internal.iter().position(|listed| listed == name);
            let at =
                at.ok_or_else(|| (Kind::Other, format!("no domain snapshot with matching name '{name}'")))?;
            guest.internal.remove(at);
            Ok(())
        })
    }

    fn commit(&self, domain: &DomainId, spec: &CommitSpec) -> Result<(), CallError> {
        let polls = self.host.world().behaviour.polls_until_ready;
        self.on(Call::Commit, "blockcommit", domain, |guest| {
            let disk = drive(guest, &spec.target)?;
            if disk.job.is_some() {
                return Err((
                    Kind::NotInState,
                    format!("disk '{}' already in active block job", spec.target),
                ));
            }
            let at = |path| disk.layers.iter().position(|layer| &layer.path == path);
            match (at(&spec.top), at(&spec.base)) {
                (Some(0), Some(base)) if base > 0 => {
                    let end = disk
                        .layers
                        .first()
                        .map_or(0, |top| top.writes.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
                    disk.job = Some(Job { base, phase: Phase::Copying(polls), end });
                    Ok(())
                }
                _ => Err((Kind::Other, "invalid argument: top or base not found in the chain".into())),
            }
        })
    }

    fn block_job(&self, domain: &DomainId, target: &str) -> Result<Option<BlockJob>, CallError> {
        self.on(Call::BlockJob, "blockjob", domain, |guest| {
            Ok(drive(guest, target)?.job.as_ref().map(|job| match job.phase {
                Phase::Copying(left) => BlockJob { current: job.end / (u64::from(left) + 2), end: job.end },
                _ => BlockJob { current: job.end, end: job.end },
            }))
        })
    }

    fn pivot(&self, domain: &DomainId, target: &str) -> Result<(), CallError> {
        let behaviour = self.host.world().behaviour.clone();
        self.on(Call::Pivot, "blockjob", domain, |guest| {
            let disk = drive(guest, target)?;
            match disk.job.as_mut() {
                None => return Err((Kind::NotInState, format!("no current block job on {target}"))),
                Some(Job { phase: Phase::Copying(_), .. }) => {
                    let message = format!("block copy still active: disk '{target}' not ready for pivot yet");
                    return Err((Kind::NotReady, message));
                }
                Some(Job { phase: Phase::Pivoting(_), .. }) => {
                    let message = format!("disk '{target}' is still being ended");
                    return Err((Kind::NotInState, message));
                }
                Some(_) if behaviour.pivot_kills => {}
                Some(job) if behaviour.polls_until_pivoted > 0 => {
                    job.phase = Phase::Pivoting(behaviour.polls_until_pivoted - 1);
                    return Ok(());
                }
                Some(_) => {
                    disk.pivot(!behaviour.definition_lags);
                    return Ok(());
                }
            }
            guest.power_off();
            Err((Kind::Other, "internal error: QEMU exited during the pivot".into()))
        })
    }

    fn cancel_job(&self, domain: &DomainId, target: &str) -> Result<(), CallError> {
        self.on(Call::CancelJob, "blockjob", domain, |guest| {
            let gone = drive(guest, target)?.job.take();
            gone.map(drop).ok_or_else(|| (Kind::NotInState, format!("no current block job on {target}")))
        })
    }

    fn suspend(&self, domain: &DomainId) -> Result<(), CallError> {
        self.on(Call::Suspend, "suspend", domain, |guest| {
            active(guest)?;
            guest.state = DomainState::Paused(PauseReason::User);
            Ok(())
        })
    }

    fn resume(&self, domain: &DomainId) -> Result<(), CallError> {
        self.on(Call::Resume, "resume", domain, |guest| {
            active(guest)?;
            if guest.runs() {
                return Err((Kind::NotInState, "domain is already running".into()));
            }
            guest.state = DomainState::Running;
            Ok(())
        })
    }

    fn define(&self, xml: &str) -> Result<(), CallError> {
        let failed = |kind, message: String| CallError::new("define", None, kind, message);
        let new = Domain::parse(xml).map_err(|error| failed(Kind::Other, error.to_string()))?;
        self.call(Call::Define, "define", |world| {
            let id = DomainId { uuid: new.uuid, name: new.name.clone() };
            let guest = world
                .guest(&id)
                .ok_or_else(|| failed(Kind::Unsupported, "the simulation defines only what it has".into()))?;
            for disk in &new.disks {
                if let (Some(drive), Some(path)) = (guest.disk(&disk.target), disk.source.file()) {
                    let known = drive.layers.iter().find(|layer| layer.path == path).cloned();
                    drive.define(known, path, disk.format.as_deref().unwrap_or("raw"));
                }
            }
            Ok(())
        })
    }

    fn set_metadata(&self, domain: &DomainId, namespace: &str, xml: Option<&str>) -> Result<(), CallError> {
        self.on(Call::Metadata, "metadata", domain, |guest| {
            guest.metadata.retain(|(found, _)| found != namespace);
            guest.metadata.extend(xml.map(|xml| (namespace.to_owned(), xml.to_owned())));
            Ok(())
        })
    }

    fn metadata(&self, domain: &DomainId, namespace: &str) -> Result<Option<String>, CallError> {
        self.on(Call::Metadata, "metadata", domain, |guest| {
            Ok(guest.metadata.iter().find(|(found, _)| found == namespace).map(|(_, xml)| xml.clone()))
        })
    }

    fn has_task(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.on(Call::Task, "domjobinfo", domain, |guest| active(guest).map(|()| guest.task))
    }

    fn capacity(&self, domain: &DomainId, target: &str) -> Result<u64, CallError> {
        self.on(Call::Capacity, "domblkinfo", domain, |guest| {
            let disk = guest.disk(target).ok_or_else(|| (Kind::Other, format!("no disk {target}")))?;
            let path = disk.layers.first().map_or(&disk.defined.path, |active| &active.path);
            overlay::virtual_size(path).map_err(|error| (Kind::Other, format!("{}: {error}", path.display())))
        })
    }

    fn has_saved_state(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.on(Call::SavedState, "dominfo", domain, |guest| Ok(guest.saved))
    }

    fn snapshot_count(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.on(Call::Counts, "snapshot-list", domain, |guest| {
            Ok(guest.snapshots + u32::try_from(guest.internal.len()).unwrap_or(u32::MAX))
        })
    }

    fn checkpoint_count(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.on(Call::Counts, "checkpoint-list", domain, |guest| Ok(guest.checkpoints))
    }
}
