//! What the demo does, one part after the other.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use stillpoint_lab::{Guest, GuestCheck, Lab, LabConfig, SiteName, check_guest_disks};

use super::point::{Proof, Report};
use super::stages::Stages;
use crate::shell::Tee;
use crate::workspace::{Workspace, cargo};

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) report: Report,
    pub(super) proof: Proof,
    pub(super) check: GuestCheck,
    /// The guest's counter before the run and after it.
    pub(super) rounds: (u64, u64),
    pub(super) exported_mib: u64,
}

/// How far the guest writes before its still point is taken, so that there is something to lose.
const ROUNDS: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(120);
/// The run's state directory, as site A sees it.
const STATE_DIR: &str = "/var/lib/stillpoint";

pub(super) fn run(
    workspace: &Workspace,
    tee: &mut Tee,
    stages: &mut Stages,
    config: &LabConfig,
) -> Result<Done> {
    let stillpoint = stages.stage("build stillpoint", || build(workspace, tee))?;
    let lab = stages.stage("lab up: two sites, volumes, replication, a guest", || Ok(Lab::up(config)?))?;
    let guest = lab.guest().context("the lab has no guest")?;
    let before = stages.stage("the guest writes", || Ok(guest.wait_counter_above(ROUNDS, PATIENCE)?))?;
    tee.say(&format!("the guest has written {before} rounds of files and checksums"))?;

    stages.stage("stillpoint run", || tee.run(&mut run_command(&lab, &guest, &stillpoint)))?;
    let report = Report::latest(&lab.site(SiteName::A).stillpoint_dir())?;
    let proof = accepted(&report)?;

    let after = stages.stage("the overlay is gone, the guest goes on", || {
        overlay_is_gone(tee, &lab, &guest, &report)?;
        let now = guest.counter()?.unwrap_or(0);
        Ok(guest.wait_counter_above(now.max(before), PATIENCE)?)
    })?;

    let dir = Scratch::create(workspace.target().join("demo"))?;
    let images = stages
        .stage("export from the secondary's bricks", || export(tee, &lab, &guest, &stillpoint, &dir.0))?;
    let exported_mib = allocated(&images)? >> 20;
    let check = stages.stage("check the exported disk", || check(config, &images))?;
    Ok(Done { report, proof, check, rounds: (before, after), exported_mib })
}

fn build(workspace: &Workspace, tee: &mut Tee) -> Result<PathBuf> {
    tee.run(cargo().current_dir(workspace.root()).args(["build", "--release", "--package", "stillpoint"]))?;
    Ok(workspace.target().join("release/stillpoint"))
}

/// glusterd's directory of a site's volume.
fn volume_dir(lab: &Lab, site: SiteName) -> PathBuf {
    lab.site(site).glusterd_dir().join("vols").join(&lab.config().volume(site).name)
}

fn run_command(lab: &Lab, guest: &Guest<'_>, stillpoint: &Path) -> Command {
    let site = lab.site(SiteName::A);
    let mut command = site.command(stillpoint);
    command.args(["run", "--domain", guest.name(), "--session", &lab.session_name()]);
    command.arg("--mount").arg(site.mount());
    command.arg("--primary").arg(volume_dir(lab, SiteName::A));
    command.arg("--secondary").arg(volume_dir(lab, SiteName::B));
    command.args(["--state-dir", STATE_DIR, "--quiesce", "require", "--deadline", "10m"]);
    command
}

/// The proof of a report that says all that it must say.
fn accepted(report: &Report) -> Result<Proof> {
    ensure!(report.outcome == "proven", "the run's report says {:?}, not proven", report.outcome);
    let proof = report.proof.clone().context("the run's report has no proof")?;
    ensure!(proof.holds && proof.primary == proof.secondary, "the run's proof does not hold");
    Ok(proof)
}

/// No overlay in the chain, none on the volume, no job, and the guest runs.
fn overlay_is_gone(tee: &mut Tee, lab: &Lab, guest: &Guest<'_>, report: &Report) -> Result<()> {
    let disks = guest.virsh(&["domblklist", guest.name(), "--details"])?;
    tee.say(disks.trim_end())?;
    for disk in guest.disks() {
        ensure!(disks.contains(&*disk.to_string_lossy()), "the guest does not run on {}", disk.display());
    }
    for disk in report.domains.iter().flat_map(|domain| &domain.disks) {
        let here = lab.site(SiteName::A).host_path(&disk.overlay);
        ensure!(!here.exists(), "the overlay {} is still there", disk.overlay.display());
        let job = guest.virsh(&["blockjob", guest.name(), &disk.target, "--info"])?;
        ensure!(!job.contains("Block Commit"), "a block job is left on {}: {job}", disk.target);
    }
    let state = guest.state()?;
    ensure!(state == "running", "the guest is {state}");
    Ok(())
}

fn export(
    tee: &mut Tee,
    lab: &Lab,
    guest: &Guest<'_>,
    stillpoint: &Path,
    dir: &Path,
) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for path in guest.volume_paths() {
        let name = path.file_name().context("a disk has a name")?;
        let image = dir.join(name);
        let mut command = Command::new(stillpoint);
        command.arg("export").arg("--volume").arg(volume_dir(lab, SiteName::B)).arg(&path).arg(&image);
        tee.run(&mut command)?;
        tee.run(Command::new(stillpoint).arg("info").arg(&image))?;
        let raw = image.with_extension("raw");
        tee.run(
            Command::new("qemu-img").args(["convert", "-f", "qcow2", "-O", "raw"]).arg(&image).arg(&raw),
        )?;
        images.push(raw);
    }
    Ok(images)
}

fn allocated(files: &[PathBuf]) -> Result<u64> {
    files.iter().map(|file| Ok(std::fs::metadata(file.with_extension("qcow2"))?.blocks() * 512)).sum()
}

fn check(config: &LabConfig, images: &[PathBuf]) -> Result<GuestCheck> {
    let keep_files = config.guest.as_ref().context("the lab has no guest")?.keep_files;
    let check = check_guest_disks(images, keep_files)?;
    if !check.is_whole() {
        bail!("the exported disk is not what the guest wrote: {check:?}");
    }
    Ok(check)
}

/// A directory that is removed when the demo is over.
struct Scratch(PathBuf);

impl Scratch {
    fn create(path: PathBuf) -> Result<Self> {
        if path.exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("can't empty {}", path.display()))?;
        }
        std::fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
