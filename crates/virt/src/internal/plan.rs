//! Whether an internal snapshot can be made.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::domain::{Disk, Domain, Source, escape};
use crate::plan::{Findings, Neighbours, is_inside};
use crate::{
    Check, DomainId, DomainState, Error, Finding, Hypervisor, PauseReason, PlanOptions, Tag, Version,
    Versions, Which,
};

/// What will be done to one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InternalPlan {
    /// The domain.
    pub domain: DomainId,
    /// The snapshot's name.
    pub tag: Tag,
    /// The disks' targets and files, all of which the snapshot is in.
    pub disks: Vec<(String, PathBuf)>,
    /// Whether the guest's memory is part of it: the domain runs.
    pub with_memory: bool,
    /// What was found that does not forbid it.
    pub warnings: Vec<Finding>,
}

impl InternalPlan {
    /// The `<domainsnapshot>` that is asked for.
    #[must_use]
    pub fn snapshot_xml(&self) -> String {
        format!(
            "<domainsnapshot>\n  <name>{}</name>\n  <description>{}</description>\n</domainsnapshot>\n",
            self.tag,
            escape("made by stillpoint, which deletes it when enough newer ones are there")
        )
    }
}

/// Checks the domain, which may run or be off. Touches nothing. Of the options, `overlay_dir` and `trust_apparmor` mean
/// nothing here, and `disks` must name all disks that the guest may write.
///
/// # Errors
/// [`Error::Refused`] with everything found, or a failed call.
pub fn plan_internal(
    hypervisor: &dyn Hypervisor,
    id: &DomainId,
    options: &PlanOptions,
) -> Result<InternalPlan, Error> {
    let live = Domain::parse(&hypervisor.xml(id, Which::Live)?)?;
    let inactive = Domain::parse(&hypervisor.xml(id, Which::Inactive)?)?;
    let versions = hypervisor.versions()?;
    let neighbours = Neighbours::read(hypervisor)?;
    let mut findings = Findings::default();
    let state = hypervisor.state(id)?;
    let runs = state.is_active();
    self::state(&mut findings, hypervisor, id, state)?;
    moments(&mut findings, hypervisor, id, &options.tag)?;
    machine(&mut findings, &live, &versions, runs);
    let mut disks = Vec::new();
    for disk in live.disks.iter().filter(|disk| disk.is_data() && !disk.readonly) {
        if let Some(path) = self::disk(&mut findings, disk, &inactive, options) {
            if let Some(user) = neighbours.user_of(&path, id) {
                let what = format!("{} is written to, and {user}", path.display());
                let remedy =
                    "give each domain an image of its own on top of a template that nobody writes to";
                findings.refuse(Check::Template, Some(&disk.target), what, remedy);
            }
            disks.push((disk.target.clone(), path));
        }
    }
    match disks.first() {
        Some((_, first)) if runs => room(&mut findings, first, live.memory),
        Some(_) => {}
        None => findings.refuse(
            Check::Disks,
            None,
            "it has no disk that could hold a snapshot",
            "use qcow2 files",
        ),
    }
    let findings = findings.settled(id)?;
    Ok(InternalPlan {
        domain: id.clone(),
        tag: options.tag.clone(),
        disks,
        with_memory: runs,
        warnings: findings,
    })
}

fn state(
    findings: &mut Findings,
    hypervisor: &dyn Hypervisor,
    id: &DomainId,
    state: DomainState,
) -> Result<(), Error> {
    match state {
        DomainState::Running | DomainState::Paused(PauseReason::User) => {
            if hypervisor.has_task(id)? {
                let what = "a save, migration, dump or backup of it is under way";
                findings.refuse(Check::NoTask, None, what, "wait for it, or end it with 'virsh domjobabort'");
            }
        }
        DomainState::Off if hypervisor.has_saved_state(id)? => findings.refuse(
            Check::Running,
            None,
            "it is off, and goes on from saved memory, to which the disks belong as they are",
            "start it, or drop its memory with 'virsh managedsave-remove'",
        ),
        DomainState::Off => {}
        state => findings.refuse(
            Check::Running,
            None,
            format!("it is in the state {state:?}"),
            "wait until it runs or is off, or wake it",
        ),
    }
    if !hypervisor.is_persistent(id)? {
        let what = "it is transient: nothing would know of its snapshots once it ends";
        findings.refuse(Check::Persistent, None, what, "make it persistent with 'virsh define'");
    }
    Ok(())
}

/// Snapshots and checkpoints that are there.
fn moments(
    findings: &mut Findings,
    hypervisor: &dyn Hypervisor,
    id: &DomainId,
    tag: &Tag,
) -> Result<(), Error> {
    let snapshots = hypervisor.snapshots(id)?;
    if snapshots.iter().any(|name| name == tag.as_str()) {
        let what = format!("it has a snapshot {tag} already");
        findings.refuse(Check::NoSnapshots, None, what, "run recover, or use another tag");
    }
    // Before libvirt 11.0 deleting one kind where both are deleted disks.
    let others = snapshots.iter().filter(|name| !name.starts_with("stillpoint-")).count();
    if others > 0 {
        findings.refuse(
            Check::NoSnapshots,
            None,
            format!("libvirt keeps records of {others} snapshot(s) of it that are not ours"),
            "delete them, or only the records of them with 'virsh snapshot-delete --metadata'",
        );
    }
    let checkpoints = hypervisor.checkpoint_count(id)?;
    if checkpoints > 0 {
        let what = format!("it has {checkpoints} checkpoint(s), with which libvirt forbids snapshots");
        let remedy = "finish the other backup tool's chain, then delete them with 'virsh checkpoint-delete'";
        findings.refuse(Check::NoCheckpoints, None, what, remedy);
    }
    Ok(())
}

/// What of the machine forbids saving its memory, in this version of libvirt.
fn machine(findings: &mut Findings, live: &Domain, versions: &Versions, runs: bool) {
    let libvirt = versions.libvirt.unwrap_or(Version::new(0, 0, 0));
    if runs && live.passthrough {
        let what = "a device of the host is passed through to it, whose state can't be saved";
        findings.refuse(Check::Machine, None, what, "take an external snapshot instead");
    }
    if live.firmware.flash && runs && libvirt < Version::new(10, 9, 0) {
        let what = "it boots by UEFI, whose state libvirt before 10.9 can't save";
        findings.refuse(
            Check::Versions,
            None,
            what,
            "upgrade libvirt to 10.10, or take an external snapshot",
        );
    } else if live.firmware.flash && runs && live.firmware.variables.as_deref() != Some("qcow2") {
        let what = "it boots by UEFI, and its variables are not kept in qcow2, so that they can't be saved";
        let remedy = "convert them, and set format='qcow2' at <nvram>; or take an external snapshot";
        findings.refuse(Check::Machine, None, what, remedy);
    } else if live.firmware.flash && libvirt < Version::new(10, 10, 0) {
        let what = "it boots by UEFI, and its variables are no part of the snapshot";
        findings.warn(Check::Versions, what, "upgrade libvirt to 10.10");
    }
    match versions.libvirt {
        None => findings.warn(
            Check::Versions,
            "libvirt did not tell its version",
            "make sure that it is 11.4 or newer",
        ),
        Some(libvirt) if libvirt < Version::new(6, 0, 0) => {
            findings.refuse(
                Check::Versions,
                None,
                format!("libvirt {libvirt} is too old"),
                "upgrade to 11.4 or newer",
            );
        }
        Some(libvirt) if libvirt.major == 11 && matches!(libvirt.minor, 2 | 3) => findings.warn(
            Check::Versions,
            format!("libvirt {libvirt} can't revert a domain to an internal snapshot"),
            "restore with 'qemu-img convert -l', or upgrade to 11.4",
        ),
        Some(_) => {}
    }
}

fn disk(findings: &mut Findings, disk: &Disk, inactive: &Domain, options: &PlanOptions) -> Option<PathBuf> {
    let target = Some(disk.target.as_str());
    let mut refuse = |check, what: String, remedy| findings.refuse(check, target, what, remedy);
    if options.disks.as_ref().is_some_and(|targets| !targets.contains(&disk.target)) {
        let what = "it was not asked for, and an internal snapshot is of all disks".into();
        refuse(Check::Disks, what, "ask for all of them, or take an external snapshot");
    }
    if let Some(mirror) = &disk.mirror {
        let what = format!("a block job ({}) is on it", mirror.job);
        refuse(Check::NoJob, what, "wait for it, or end it with 'virsh blockjob --abort'");
    }
    if disk.device == "lun" || disk.shareable || disk.transient {
        refuse(
            Check::Disks,
            "it is passed through, shared or transient".into(),
            "give the guest an image of its own",
        );
    }
    if disk.format.as_deref() != Some("qcow2") {
        let what = format!("its format is {}", disk.format.as_deref().unwrap_or("not told"));
        refuse(Check::Disks, what, "use qcow2 for all its disks, or take an external snapshot");
    }
    let Source::File(path) = &disk.source else {
        refuse(Check::Disks, format!("it is {}, not a file", disk.source), "use an image file");
        return None;
    };
    let layers =
        || std::iter::once(path.as_path()).chain(disk.backing.iter().filter_map(|l| l.source.file()));
    if let Some(inside) = &options.inside {
        for layer in layers().filter(|layer| !is_inside(layer, inside)) {
            let what = format!("{} is outside of {}", layer.display(), inside.display());
            refuse(Check::Inside, what, "move it to the replicated volume: else the point would lack it");
        }
    }
    if inactive.disk(&disk.target).is_none_or(|defined| defined.source != disk.source) {
        let what = "the running domain and its definition disagree on it".into();
        refuse(Check::Chain, what, "make the definition name what is in use ('virsh edit')");
    }
    Some(path.clone())
}

/// Room for the memory, which is written into the first disk.
fn room(findings: &mut Findings, first: &Path, memory: Option<u64>) {
    let free = rustix::fs::statvfs(first).map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    if let (Ok(free), Some(memory)) = (free, memory)
        && free < memory
    {
        let what = format!(
            "its {} MiB of memory don't fit into the {} MiB free at {}",
            memory >> 20,
            free >> 20,
            first.display()
        );
        findings.refuse(Check::Space, None, what, "free space there");
    }
}
