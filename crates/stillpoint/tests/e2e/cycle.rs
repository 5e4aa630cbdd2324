//! Runs that go well, and runs that the world interrupts.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use stillpoint_backup::manifest::{Layer, Manifest, TrimmedHasher};
use stillpoint_lab::SiteName;

use crate::lab::{Ended, Stage, finish, paused};

pub(crate) fn healthy(stage: &Stage) -> Result<()> {
    let report = stage.proven_run()?;
    eprintln!("durations: {}", report["durations"]);
    let point = &report["domains"][0]["point"];
    eprintln!("point: {point}");
    // The lab's guest has an agent.
    ensure!(point["frozen_ms"].as_f64() > Some(0.0), "the guest was not frozen: {point}");
    ensure!(report["domains"][0]["undone"] == true, "{report:#}");
    ensure!(report["verdict"]["gluster_says_complete"] == true, "{report:#}");
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    stage.ensure_guest_writes()
}

/// Exports the disk from the secondary's bricks, where replication is stopped and the point still stands, and lets
/// e2fsck and the guest's own checksums judge it.
pub(crate) fn far_side_is_whole(stage: &Stage) -> Result<()> {
    stage.proven_run()?;
    let paths = stage.guest().volume_paths();
    let mut images = Vec::new();
    let mut raws = Vec::new();
    for (place, path) in paths.iter().enumerate() {
        let qcow2 = stage.scratch.path().join(format!("far-{place}.qcow2"));
        let raw = stage.scratch.path().join(format!("far-{place}.raw"));
        export_far(stage, path, &qcow2)?;
        let convert =
            Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&qcow2).arg(&raw).output()?;
        ensure!(convert.status.success(), "{}", String::from_utf8_lossy(&convert.stderr));
        images.push(qcow2);
        raws.push(raw);
    }
    let keep = stage.lab.config().guest.as_ref().context("no guest")?.keep_files;
    let check = stillpoint_lab::check_guest_disks(&raws, keep)?;
    let as_proven: Result<Vec<()>> =
        paths.iter().zip(&images).map(|(path, image)| ensure_as_proven(stage, path, image)).collect();
    if !check.is_whole() || as_proven.is_err() {
        // Whose fault: the export's, if it is not what was proven, or reads otherwise now or than the mount; else what
        // was proven is not what the guest had.
        for (path, image) in paths.iter().zip(&images) {
            let again = image.with_extension("again");
            export_far(stage, path, &again)?;
            eprintln!("exported again: {}", difference(image, &again)?);
            let mount = stage.lab.site(SiteName::B).host_mount().join(path);
            eprintln!("through the mount: {}", difference(image, &mount)?);
        }
    }
    for file in raws.iter().chain(&images) {
        std::fs::remove_file(file)?;
    }
    as_proven?;
    ensure!(check.is_whole(), "{check:#?}");
    ensure!(check.disks.iter().all(|disk| disk.good > 0), "nothing was checked: {check:#?}");
    // The point was taken frozen: nothing is left in the journal.
    ensure!(check.disks.iter().all(|disk| !disk.journal_replayed), "{check:#?}");
    Ok(())
}

fn export_far(stage: &Stage, path: &Path, to: &Path) -> Result<()> {
    let mut export = stage.stillpoint();
    export
        .args(["export", "--output", "json", "--volume"])
        .arg(stage.volume_spec(SiteName::B))
        .arg(path)
        .arg(to);
    finish(&mut export)?.expect(0).map(drop)
}

/// An exported file is, shard by shard, what the newest run proved.
fn ensure_as_proven(stage: &Stage, path: &Path, exported: &Path) -> Result<()> {
    let manifest: Manifest =
        serde_json::from_slice(&std::fs::read(stage.newest_run_dir()?.join("secondary.json"))?)?;
    let layers = manifest.disks.iter().flat_map(|disk| &disk.layers);
    let proven = layers
        .filter_map(|layer| if let Layer::Found(file) = layer { Some(file) } else { None })
        .find(|file| Path::new(&file.path) == path)
        .with_context(|| format!("{} was not proven", path.display()))?;
    let bytes = std::fs::read(exported)?;
    ensure!(bytes.len() as u64 == proven.size, "{} bytes of {}", bytes.len(), proven.size);
    let differ: Vec<usize> = bytes
        .chunks(usize::try_from(proven.shard_size)?)
        .zip(&proven.shards)
        .enumerate()
        .filter(|(_, (bytes, shard))| {
            let mut hasher = TrimmedHasher::new();
            hasher.update(bytes);
            hasher.finish().0 != shard.digest
        })
        .map(|(index, _)| index)
        .collect();
    ensure!(
        differ.is_empty(),
        "the export of {} is not what was proven in shards {differ:?}",
        path.display()
    );
    Ok(())
}

/// Where two files of some hundred MiB differ, for a person who looks for the cause.
fn difference(one: &Path, other: &Path) -> Result<String> {
    let (one, other) = (std::fs::read(one)?, std::fs::read(other)?);
    let differs = |place: &usize| one.get(*place) != other.get(*place);
    let places = || 0..one.len().max(other.len());
    let Some(first) = places().find(differs) else { return Ok("the same".to_owned()) };
    let last = places().rfind(differs).unwrap_or(first);
    let zeros = |bytes: &[u8]| bytes.get(first..=last).is_some_and(|part| part.iter().all(|&byte| byte == 0));
    Ok(format!(
        "lengths {} and {}, different from {first} to {last}; all zeros there: {} and {}",
        one.len(),
        other.len(),
        zeros(&one),
        zeros(&other)
    ))
}

pub(crate) fn second_run_is_locked_out(stage: &Stage) -> Result<()> {
    let ended = stage.run_paused_after("georep.checkpoint-intended", || {
        let second = finish(&mut stage.run_command())?;
        ensure!(second.code == Some(5), "the second run was not locked out: {second:#?}");
        Ok(())
    })?;
    ended.proven()?;
    stage.ensure_no_overlay()
}

/// The guest is paused while the option is on, or its own disk could be what gets damaged.
pub(crate) fn write_behind_is_refused(stage: &Stage) -> Result<()> {
    let (site, guest) = (stage.lab.site(SiteName::A), stage.guest());
    let volume = &stage.lab.config().primary.name;
    let switch = |to: &str| site.gluster(["volume", "set", volume, "performance.write-behind", to]);
    guest.virsh(&["suspend", guest.name()])?;
    let ended = switch("on").map_err(anyhow::Error::from).and_then(|_| finish(&mut stage.run_command()));
    switch("off")?;
    guest.virsh(&["resume", guest.name()])?;
    let report = ended?.expect(1)?;
    let why = format!("performance.write-behind is on for {volume}");
    ensure!(report["failures"].to_string().contains(&why), "it is not said why: {report:#}");
    let begun: Vec<&str> = report["durations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| part["stage"].as_str())
        .collect();
    ensure!(begun == ["preflight"], "more was done than looking: {begun:?}");
    stage.ensure_no_overlay()?;
    stage.ensure_guest_writes()?;
    // As the remedy says: what was being written when the option changed is to be healed. Later tests make runs again.
    healed(stage, Duration::from_secs(120))
}

/// Heals the primary, and waits until nothing is listed as to be healed.
fn healed(stage: &Stage, limit: Duration) -> Result<()> {
    let (site, volume) = (stage.lab.site(SiteName::A), &stage.lab.config().primary.name);
    let until = Instant::now() + limit;
    loop {
        site.gluster(["volume", "heal", volume])?;
        let summary = site.gluster(["volume", "heal", volume, "info", "summary"])?;
        let mut counts = summary.lines().filter_map(|line| line.strip_prefix("Total Number of entries: "));
        if counts.all(|count| count.trim() == "0") {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{volume} is not healed:\n{summary}");
        std::thread::sleep(Duration::from_secs(2));
    }
}

pub(crate) fn cut_link(stage: &Stage) -> Result<()> {
    stage.ensure_guest_writes()?;
    let faults = stage.lab.faults();
    let limit = Duration::from_secs(60);
    let began = Instant::now();
    let ended = paused(
        stage.run_command_within("60s"),
        "georep.start-intended",
        || Ok(faults.cut_link()?),
        // The guest neither stops nor waits while replication waits for the far side.
        || stage.ensure_guest_writes(),
    );
    faults.mend_link()?;
    let ended = ended?;
    let took = began.elapsed();
    // Committing comes on top of the limit.
    ensure!(took < limit + Duration::from_secs(90), "it took {took:?}");
    ensure!(matches!(ended.code, Some(1 | 4)), "a cut link was not noticed: {ended:#?}");
    ensure!(
        ended.stderr.contains("siteB")
            || ended.report.as_ref().is_some_and(|report| report.to_string().contains("siteB")),
        "the error does not say which side was not reached: {ended:#?}"
    );
    stage.ensure_guest_writes()?;
    if ended.code == Some(4) {
        stage.recover()?.expect(0)?;
    }
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    // And once the link is back, so is the proof.
    stage.proven_run().map(|_| ())
}

/// A worker that stands still keeps its row `Active`, `failures` 0: only what it has not done tells of it.
pub(crate) fn starved_worker(stage: &Stage) -> Result<()> {
    let faults = stage.lab.faults();
    let options = |text: &str| stage.lab.session_command(&["config", "rsync-options", text]);
    let before = options_of(&stage.lab.session_command(&["config"])?)?;
    // So slow that no worker is through before it stands still.
    options(&format!(" --bwlimit=100 {before}"))?;
    let limit = Duration::from_secs(60);
    let began = Instant::now();
    let starve = || {
        let until = Instant::now() + Duration::from_secs(60);
        // Of the bricks of a replica set, one worker or both are Active: both stand still.
        while stage.lab.session_states()?.iter().take(2).all(|state| state != "Active") {
            ensure!(Instant::now() < until, "no worker turned Active: {:?}", stage.lab.session_states()?);
            std::thread::sleep(Duration::from_millis(50));
        }
        let stopped = (0..2).map(|brick| Ok(faults.starve_worker(brick)?)).sum::<Result<usize>>()?;
        ensure!(stopped >= 2, "{stopped} processes were stopped");
        Ok(())
    };
    let ended = paused(stage.run_command_within("60s"), "georep.started", starve, || {
        stage.ensure_guest_writes()?;
        let states = stage.lab.session_states()?;
        ensure!(states.iter().take(2).any(|state| state == "Active"), "it does not say Active: {states:?}");
        Ok(())
    });
    let took = began.elapsed();
    for brick in 0..2 {
        faults.feed_worker(brick)?;
    }
    options(&format!(" {before}"))?;
    let ended = ended?;
    // Stopping replication and committing come on top of the limit.
    ensure!(took < limit + Duration::from_secs(90), "it took {took:?}");
    ensure!(matches!(ended.code, Some(1 | 4)), "a starved worker was not noticed: {ended:#?}");
    ensure!(
        ended.stderr.contains("gv1-b0") || ended.stderr.contains("gv1-b1"),
        "the error does not name the brick whose worker stands still: {ended:#?}"
    );
    stage.ensure_guest_writes()?;
    if ended.code == Some(4) {
        stage.recover()?.expect(0)?;
    }
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    stage.proven_run().map(|_| ())
}

/// The rsync options in what `config` lists.
fn options_of(config: &str) -> Result<String> {
    let line = config.lines().find_map(|line| line.strip_prefix("rsync_options:"));
    Ok(line.with_context(|| format!("no rsync_options in:\n{config}"))?.trim().to_owned())
}

pub(crate) fn interrupted(stage: &Stage) -> Result<()> {
    let began = Instant::now();
    let mut child = stage.run_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    while !stage.newest_journal().is_ok_and(|records| {
        records.iter().any(|record| record.entry.name() == "georep.started")
            && !records.iter().any(|record| record.entry.name() == "run.ended")
    }) {
        ensure!(began.elapsed() < Duration::from_secs(120), "replication was not started");
        ensure!(child.try_wait()?.is_none(), "it ended before it was interrupted");
        std::thread::sleep(Duration::from_millis(50));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let ended = Ended::from(child.wait_with_output()?, began.elapsed());
    ended.expect(1)?;
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    stage.ensure_guest_writes()
}

pub(crate) fn guest_checks_itself(stage: &Stage) -> Result<()> {
    stage.ensure_guests_checksums()
}
