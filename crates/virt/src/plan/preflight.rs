//! The checks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::neighbours::Neighbours;
use super::{
    Check, DomainsBelow, Finding, Plan, PlanOptions, PlannedDisk, Severity, apparmor, selinux, space,
};
use crate::domain::{Disk, Domain, Source};
use crate::{DomainId, DomainState, Error, Hypervisor, IntendedDisk, PauseReason, Version, Versions, Which};

/// Formats that an overlay can be put on and committed into.
const FORMATS: [&str; 2] = ["qcow2", "raw"];

/// So many layers, and libvirt before 12.0 may fail to start the domain.
const MANY_LAYERS: usize = 25;

pub(super) fn plan(
    hypervisor: &dyn Hypervisor,
    id: &DomainId,
    options: &PlanOptions,
    neighbours: &Neighbours,
) -> Result<Plan, Error> {
    let live = Domain::parse(&hypervisor.xml(id, Which::Live)?)?;
    let inactive = Domain::parse(&hypervisor.xml(id, Which::Inactive)?)?;
    let versions = hypervisor.versions()?;
    let mut findings = Findings::default();
    state(&mut findings, hypervisor, id)?;
    moments(&mut findings, hypervisor, id)?;
    let deepest = live.disks.iter().map(|disk| disk.backing.len() + 1).max().unwrap_or(0);
    known_faults(&mut findings, &versions, deepest);
    if apparmor::denies_commit(&live, &versions) {
        let what = "AppArmor confines it, and libvirt older than 12.1 denies a block commit its base";
        let remedy = "upgrade libvirt to 12.1; or, where your libvirt carries the fix or your profile allows it, say so";
        let severity = if options.trust_apparmor { Severity::Warning } else { Severity::Refusal };
        findings.add(Check::AppArmor, severity, None, what, remedy);
    }
    let mut disks = Vec::new();
    let mut left_out = Vec::new();
    let wanted = |disk: &Disk| options.disks.as_ref().is_none_or(|targets| targets.contains(&disk.target));
    for disk in &live.disks {
        if !takes_part(disk) {
            left_out.push(disk.target.clone());
        } else if !wanted(disk) {
            left_out.push(disk.target.clone());
            let what =
                format!("disk {} was not asked for: what it holds is not part of the point", disk.target);
            findings.warn(Check::Disks, what, "ask for all disks that belong together");
        } else if let Some(base) = self::disk(&mut findings, disk, &inactive, options) {
            disks.push(PlannedDisk {
                disk: IntendedDisk {
                    target: disk.target.clone(),
                    overlay: overlay(id, disk, &base, options),
                    base,
                    base_format: disk.format.clone().unwrap_or_default(),
                },
                below: disk.backing.iter().filter_map(|layer| layer.source.file().map(Into::into)).collect(),
            });
        }
    }
    for target in options.disks.iter().flatten() {
        if !live.disks.iter().any(|disk| takes_part(disk) && disk.target == *target) {
            findings.refuse(
                Check::Disks,
                Some(target),
                "it has no such disk that could be taken",
                "name disks by their targets in the domain's XML, such as vda",
            );
        }
    }
    if !live.disks.iter().any(takes_part) {
        findings.refuse(
            Check::Disks,
            None,
            "it has no disk that could be taken",
            "there is nothing to be done",
        );
    }
    names(&mut findings, &disks);
    shared(&mut findings, &disks, id, neighbours);
    for PlannedDisk { disk, .. } in disks.iter().filter(|planned| selinux::denies(&live, &planned.disk.base))
    {
        findings.refuse(
            Check::SeLinux,
            Some(&disk.target),
            "SELinux forbids QEMU images on a FUSE mount",
            "allow it with 'setsebool -P virt_use_fusefs on'",
        );
    }
    for short in space::short(hypervisor, id, &disks) {
        let severity = if short.refused { Severity::Refusal } else { Severity::Warning };
        let remedy =
            "free space there, or have overlays made elsewhere; a guest whose overlay can't grow is paused";
        findings.add(Check::Space, severity, None, short.what, remedy);
    }
    let warnings = findings.settled(id)?;
    Ok(Plan { domain: id.clone(), tag: options.tag.clone(), disks, left_out, warnings })
}

#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// What was found, unless it forbids it.
    pub(crate) fn settled(self, id: &DomainId) -> Result<Vec<Finding>, Error> {
        if self.0.iter().any(|finding| finding.severity == Severity::Refusal) {
            return Err(Error::Refused { domain: id.name.clone(), findings: self.0 });
        }
        Ok(self.0)
    }

    fn add(
        &mut self,
        check: Check,
        severity: Severity,
        target: Option<&str>,
        what: impl Into<String>,
        remedy: &str,
    ) {
        let (target, what, remedy) = (target.map(str::to_owned), what.into(), remedy.to_owned());
        self.0.push(Finding { check, severity, target, what, remedy });
    }

    pub(crate) fn refuse(
        &mut self,
        check: Check,
        target: Option<&str>,
        what: impl Into<String>,
        remedy: &str,
    ) {
        self.add(check, Severity::Refusal, target, what, remedy);
    }

    pub(crate) fn warn(&mut self, check: Check, what: impl Into<String>, remedy: &str) {
        self.add(check, Severity::Warning, None, what, remedy);
    }
}

fn state(findings: &mut Findings, hypervisor: &dyn Hypervisor, id: &DomainId) -> Result<(), Error> {
    match hypervisor.state(id)? {
        DomainState::Running => {}
        DomainState::Paused(PauseReason::IoError) => findings.refuse(
            Check::Running,
            None,
            "it is paused by an I/O error of a disk",
            "free space or mend the storage, then resume it with 'virsh resume'",
        ),
        DomainState::Paused(_) => findings.warn(
            Check::Running,
            "it is paused, so its guest agent can't answer",
            "resume it if its file systems are to be frozen for the point",
        ),
        DomainState::Off => {
            findings.refuse(Check::Running, None, "it is off", "start it: a live commit needs it running");
        }
        state => findings.refuse(
            Check::Running,
            None,
            format!("it is in the state {state:?}"),
            "wait until it runs, or wake it",
        ),
    }
    if hypervisor.state(id)?.is_active() && hypervisor.has_task(id)? {
        findings.refuse(
            Check::NoTask,
            None,
            "a save, migration, dump or backup of it is under way",
            "wait for it, or end it with 'virsh domjobabort'",
        );
    }
    if !hypervisor.is_persistent(id)? {
        findings.refuse(
            Check::Persistent,
            None,
            "it is transient: were it to end, nothing would say that its newest data is in an overlay",
            "make it persistent with 'virsh define'",
        );
    }
    Ok(())
}

/// Snapshots and checkpoints.
fn moments(findings: &mut Findings, hypervisor: &dyn Hypervisor, id: &DomainId) -> Result<(), Error> {
    let snapshots = hypervisor.snapshot_count(id)?;
    if snapshots > 0 {
        findings.refuse(
            Check::NoSnapshots,
            None,
            format!(
                "libvirt keeps records of {snapshots} snapshot(s) of it, whose chains a commit would break"
            ),
            "delete them, or only the records of them with 'virsh snapshot-delete --metadata'",
        );
    }
    let checkpoints = hypervisor.checkpoint_count(id)?;
    if checkpoints > 0 {
        findings.refuse(
            Check::NoCheckpoints,
            None,
            format!("it has {checkpoints} checkpoint(s) for incremental backup, with which libvirt forbids snapshots"),
            "finish the other backup tool's chain, then delete them with 'virsh checkpoint-delete'",
        );
    }
    Ok(())
}

/// Whether other domains depend on what the guest, and a commit, write to.
fn shared(findings: &mut Findings, disks: &[PlannedDisk], id: &DomainId, neighbours: &Neighbours) {
    for PlannedDisk { disk, .. } in disks {
        if let Some(user) = neighbours.user_of(&disk.base, id) {
            findings.refuse(
                Check::Template,
                Some(&disk.target),
                format!("{} is written to, and {user}", disk.base.display()),
                "give each domain an image of its own on top of a template that nobody writes to",
            );
        }
    }
}

pub(super) fn domains_below(hypervisor: &dyn Hypervisor, directory: &Path) -> Result<DomainsBelow, Error> {
    if !directory.is_dir() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(Error::File { what: "find the directory", path: directory.to_owned(), source });
    }
    let mut below = DomainsBelow::default();
    for (id, domain) in Neighbours::read(hypervisor)?.iter() {
        let disks = domain.disks.iter().filter(|disk| takes_part(disk));
        if disks.filter_map(|disk| disk.source.file()).any(|path| is_inside(path, directory)) {
            let list = if domain.id.is_some() { &mut below.active } else { &mut below.off };
            list.push(id.clone());
        }
    }
    for list in [&mut below.active, &mut below.off] {
        list.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(below)
}

fn known_faults(findings: &mut Findings, versions: &Versions, deepest: usize) {
    let Some(libvirt) = versions.libvirt else {
        findings.warn(
            Check::Versions,
            "libvirt did not tell its version",
            "make sure that it is 9.1 or newer",
        );
        return;
    };
    if libvirt < Version::new(12, 0, 0) && deepest + 1 > MANY_LAYERS {
        let what = format!("libvirt {libvirt} may not start a domain with a disk of {} layers", deepest + 1);
        findings.warn(Check::Versions, what, "upgrade to 12.0, or flatten the disk");
    }
    if libvirt < Version::new(6, 0, 0) {
        let what = format!("libvirt {libvirt} is too old");
        findings.refuse(Check::Versions, None, what, "upgrade to 9.1 or newer");
    } else if libvirt.major == 9 && libvirt.minor == 0 {
        let what = format!("libvirt {libvirt} ends some block jobs wrongly");
        findings.warn(Check::Versions, what, "upgrade to 9.1 or newer");
    }
}

fn takes_part(disk: &Disk) -> bool {
    disk.is_data() && !(disk.readonly && disk.device == "disk")
}

/// Checks one disk and gives its base, unless there is none to be had.
fn disk(findings: &mut Findings, disk: &Disk, inactive: &Domain, options: &PlanOptions) -> Option<PathBuf> {
    let target = Some(disk.target.as_str());
    let mut refuse = |check, what: String, remedy| findings.refuse(check, target, what, remedy);
    if disk.device == "lun" {
        refuse(Check::Disks, "it is a SCSI device passed through".into(), "give the guest an image instead");
    }
    if disk.shareable {
        refuse(Check::Disks, "other domains may write it too".into(), "give each domain a disk of its own");
    }
    if disk.transient {
        refuse(Check::Disks, "what is written to it is thrown away".into(), "make it a lasting disk");
    }
    if let Some(mirror) = &disk.mirror {
        let what = format!("a block job ({}) is on it", mirror.job);
        refuse(Check::NoJob, what, "wait for it, or end it with 'virsh blockjob --abort'");
    }
    if !disk.format.as_deref().is_some_and(|format| FORMATS.contains(&format)) {
        let what = format!("its format is {}", disk.format.as_deref().unwrap_or("not told"));
        refuse(Check::Disks, what, "use qcow2 or raw, and name it in the domain's XML");
    }
    let Source::File(base) = &disk.source else {
        let what = format!("it is {}, not a file", disk.source);
        refuse(Check::Disks, what, "use an image file on the replicated volume's mount");
        return None;
    };
    if let Some(other) = disk.backing.iter().find(|layer| layer.source.file().is_none()) {
        let what = format!("a layer below it is {}, not a file", other.source);
        refuse(Check::Disks, what, "use image files on the replicated volume's mount");
    }
    let layers =
        || std::iter::once(base.as_path()).chain(disk.backing.iter().filter_map(|l| l.source.file()));
    if let Some(inside) = &options.inside {
        for layer in layers().filter(|layer| !is_inside(layer, inside)) {
            let what = format!("{} is outside of {}", layer.display(), inside.display());
            refuse(Check::Inside, what, "move it to the replicated volume: else the point would lack it");
        }
    }
    if base.to_str().is_none() {
        refuse(Check::Disks, format!("the path {} is not UTF-8", base.display()), "rename it");
    }
    if let Some(name) = layers().find_map(looks_like_overlay) {
        let what = format!("{name} looks like an overlay that an earlier run left");
        refuse(Check::Chain, what, "run recover, or commit it with 'virsh blockcommit --active --pivot'");
    }
    match inactive.disk(&disk.target) {
        Some(defined) if defined.source == disk.source => {}
        Some(defined) => refuse(
            Check::Chain,
            format!("the running domain uses {}, its definition {}", base.display(), defined.source),
            "make the definition name what is in use ('virsh edit'): else the next start would lose data",
        ),
        None => refuse(
            Check::Chain,
            "it is plugged in, but not in the definition".into(),
            "add it to the definition ('virsh attach-disk --config'), or unplug it",
        ),
    }
    Some(base.clone())
}

/// Whether the path lies below the directory, by real paths where both exist.
pub(crate) fn is_inside(path: &Path, directory: &Path) -> bool {
    match (path.canonicalize(), directory.canonicalize()) {
        (Ok(path), Ok(directory)) => path.starts_with(directory),
        _ => path.starts_with(directory),
    }
}

/// Whether the file's name is of the form that our overlays have by convention.
fn looks_like_overlay(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let (_, tag) = name.strip_suffix(".qcow2")?.rsplit_once('.')?;
    tag.starts_with("stillpoint-").then_some(name)
}

fn overlay(id: &DomainId, disk: &Disk, base: &Path, options: &PlanOptions) -> PathBuf {
    let tag = &options.tag;
    match &options.overlay_dir {
        // Overlays of many domains may meet there, and disks of many domains have the same file names.
        Some(directory) => {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let name: String = id.name.chars().map(plain).take(64).collect();
            let uuid = id.uuid.simple().to_string();
            let short = uuid.get(..8).unwrap_or(&uuid);
            directory.join(format!("{name}-{short}-{}.{tag}.qcow2", disk.target))
        }
        None => {
            let stem = base.file_stem().unwrap_or_default().to_string_lossy();
            base.with_file_name(format!("{stem}.{tag}.qcow2"))
        }
    }
}

fn names(findings: &mut Findings, disks: &[PlannedDisk]) {
    let mut overlays = HashSet::new();
    let mut bases = HashSet::new();
    for PlannedDisk { disk, .. } in disks {
        let target = Some(disk.target.as_str());
        let overlay = disk.overlay.display();
        let mut refuse = |check, what: String, remedy| findings.refuse(check, target, what, remedy);
        if !overlays.insert(&disk.overlay) {
            let what = format!("its overlay would have the same name as another's, {overlay}");
            refuse(Check::OverlayNames, what, "rename one of the two disks' files");
        }
        if !bases.insert(&disk.base) {
            let what = format!("its file is another disk's too: {}", disk.base.display());
            refuse(Check::Disks, what, "give each disk a file of its own");
        }
        match disk.overlay.symlink_metadata() {
            Ok(_) => {
                let what = format!("{overlay} exists already");
                refuse(Check::OverlayNames, what, "run recover, or use another tag");
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("can't see whether {overlay} exists: {error}");
                refuse(Check::OverlayNames, what, "mend the access to that directory");
            }
        }
        let directory = disk.overlay.parent().unwrap_or(Path::new("/"));
        if !directory.is_dir() {
            let what = format!("the directory {} for its overlay is not there", directory.display());
            refuse(Check::OverlayNames, what, "make it, or run where the disks are mounted");
        }
        if !disk.base.exists() {
            let what = format!("its file {} can't be seen from here", disk.base.display());
            refuse(Check::Disks, what, "run on the domain's host, in a mount namespace that has its disks");
        }
    }
}
