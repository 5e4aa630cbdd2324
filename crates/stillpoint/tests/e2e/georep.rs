//! Geo-replication's verbs on the real session, and what they may do to a guest's disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use stillpoint_lab::SiteName;

use crate::lab::{Stage, finish};

/// A verb for the lab's session, with JSON.
fn verb(stage: &Stage, verb: &str) -> Command {
    let config = stage.lab.config();
    let session = format!("{} siteB::{}", config.primary.name, config.secondary.name);
    let mut command = stage.stillpoint();
    command.args(["georep", verb, "--output", "json", "--session", &session]);
    if verb != "status" {
        command.arg("--mount").arg(stage.lab.site(SiteName::A).mount());
    }
    if ["sync", "resync"].contains(&verb) {
        command.arg("--state-dir").arg(stage.state());
    }
    command
}

/// `georep resync` of the guest's first disk, or of some of its shards.
fn resync(stage: &Stage, more: &[&str]) -> Command {
    let mut command = verb(stage, "resync");
    command.args(["--domain", stage.guest().name()]).args(more);
    command.args(stage.guest().volume_paths().into_iter().take(1));
    command
}

pub(crate) fn looks(stage: &Stage) -> Result<()> {
    let status = finish(&mut verb(stage, "status"))?.expect(0)?;
    ensure!(status["rows"].as_array().map(Vec::len) == Some(4), "{status:#}");

    let mut doctor = verb(stage, "doctor");
    doctor.args(["--secondary-via", "ssh -o BatchMode=yes root@siteB"]);
    let ended = finish(&mut doctor)?;
    // rsync's version, and what earlier tests did to the session, is told; nothing is refused.
    ensure!(matches!(ended.code, Some(0 | 3)), "{ended:#?}");
    let report = ended.report.unwrap_or_default();
    let names = |key: &str| -> Vec<String> {
        let list = report[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|v| v["what"].as_str().or(v.as_str()).unwrap_or_default().to_owned()).collect()
    };
    for check in ["secondary-rsync", "secondary-clock", "secondary-heal-clean", "earlier-no-op", "mount"] {
        ensure!(names("looked_at").iter().any(|c| c == check), "{check} was not looked at: {report:#}");
    }
    for check in ["secondary-clock", "workers", "clock", "mount", "changelog"] {
        ensure!(!names("findings").iter().any(|c| c == check), "{check}: {report:#}");
    }
    Ok(())
}

/// While the guest writes to its disk, nothing of it is written back. Below an overlay that a run left, it is, and the
/// next run of replication sends it.
pub(crate) fn resync_only_below_an_overlay(stage: &Stage) -> Result<()> {
    let refused = finish(&mut resync(stage, &[]))?;
    ensure!(refused.code == Some(6), "a disk that is written to was written back: {refused:#?}");
    ensure!(refused.stderr.contains("writes to it"), "it is not said why: {refused:#?}");

    // A run that dies with its overlay in place.
    let died = finish(stage.run_command().env("STILLPOINT_CRASH_AFTER_STEP", "virt.snapshot-verified"))?;
    ensure!(died.code.is_none(), "it did not die: {died:#?}");
    let base = stage.lab.site(SiteName::A).host_mount().join(&stage.guest().volume_paths()[0]);
    let before = (fs::metadata(&base)?.mtime(), digest(&base)?);
    let done = finish(&mut resync(stage, &[]))?.expect(0)?;
    ensure!(done["files"][0]["shards"].as_u64() > Some(1), "{done:#}");
    ensure!(done["files"][0]["still"].to_string().contains(".stillpoint-"), "{done:#}");
    let few = finish(&mut resync(stage, &["--shards", "0-1"]))?.expect(0)?;
    ensure!(few["files"][0]["shards"] == 2, "{few:#}");
    let after = (fs::metadata(&base)?.mtime(), digest(&base)?);
    ensure!(after.1 == before.1, "the base holds something else");
    ensure!(after.0 > before.0, "nothing was written: {before:?}, {after:?}");

    // Overlays change while they are sent, so that the log may tell of a batch that was tried again.
    let ended = finish(&mut verb(stage, "sync"))?;
    ensure!(matches!(ended.code, Some(0 | 3)), "{ended:#?}");
    let report: Value = ended.report.unwrap_or_default();
    ensure!(report["verdict"]["gluster_says_complete"] == true, "{report:#}");
    ensure!(report["replication"] == "stopped", "{report:#}");
    stage.ensure_stopped()?;
    let far = stage.lab.site(SiteName::B).host_mount().join(&stage.guest().volume_paths()[0]);
    ensure!(digest(&far)? == after.1, "the far side has another base");

    stage.recover()?.expect(0)?;
    stage.ensure_no_overlay()?;
    stage.ensure_guest_writes()
}

/// A file's content as one number.
fn digest(path: &std::path::Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(hasher.finalize())
}
