//! What is wrong at the far side is found, and named.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stillpoint_lab::tamper::{self, Kept};
use stillpoint_lab::{Site, SiteName};

use crate::lab::{Stage, finish, shards_of};

/// The disk that is damaged, as a path in the volume.
fn disk(stage: &Stage) -> PathBuf {
    stage.guest().volume_paths().swap_remove(0)
}

fn far(stage: &Stage) -> &Site {
    stage.lab.site(SiteName::B)
}

/// Files at the far side that hold a shard's data, largest first: `(index, file)`.
fn far_shards(stage: &Stage) -> Result<Vec<(u64, PathBuf)>> {
    let disk = disk(stage);
    let mut found = Vec::new();
    for index in far(stage).shard_indices(&disk)? {
        let file = far(stage).shard_copies(&disk, index)?.swap_remove(0);
        found.push((fs::metadata(&file)?.len(), index, file));
    }
    found.sort_by_key(|&(len, ..)| std::cmp::Reverse(len));
    ensure!(found.len() >= 2, "the far side holds {} shards", found.len());
    Ok(found.into_iter().map(|(_, index, file)| (index, file)).collect())
}

/// Where replication is stopped, and nothing of the far side has been read yet.
const BEFORE_THE_PROOF: &str = "run.proof-began";

/// A run during which the far side is damaged must fail and name just these shards; the overlay goes all the same.
fn fails_by_name(
    stage: &Stage,
    expected: &mut Vec<u64>,
    damage: impl FnOnce(&mut Vec<u64>) -> Result<()>,
) -> Result<()> {
    let ended = stage.run_paused_after(BEFORE_THE_PROOF, || damage(expected))?;
    let mut named: Vec<u64> = ended.differing_shards()?.into_iter().map(|(index, _)| index).collect();
    named.sort_unstable();
    expected.sort_unstable();
    ensure!(named == *expected, "damaged: {expected:?}, named: {named:?}");
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    stage.ensure_guest_writes()
}

pub(crate) fn flipped_byte(stage: &Stage) -> Result<()> {
    let mut kept = None;
    fails_by_name(stage, &mut Vec::new(), |expected| {
        let (index, file) = far_shards(stage)?.swap_remove(0);
        kept = Some(Kept::of(&file)?);
        tamper::flip_byte(&file, fs::metadata(&file)?.len() / 2)?;
        expected.push(index);
        Ok(())
    })?;
    Ok(kept.context("nothing was damaged")?.put_back()?)
}

pub(crate) fn swapped_shards(stage: &Stage) -> Result<()> {
    let mut kept = Vec::new();
    fails_by_name(stage, &mut Vec::new(), |expected| {
        for (index, file) in far_shards(stage)?.into_iter().take(2) {
            expected.push(index);
            kept.push((Kept::of(&file)?, file));
        }
        let [(_, one), (_, other)] = kept.as_slice() else { anyhow::bail!("not two") };
        ensure!(fs::read(one)? != fs::read(other)?, "the two shards are equal");
        Ok(tamper::swap_contents(one, other)?)
    })?;
    kept.into_iter().try_for_each(|(kept, _)| Ok(kept.put_back()?))
}

pub(crate) fn older_shard(stage: &Stage) -> Result<()> {
    // The guest writes between this and the run's point, so that some shard has an older state.
    let older: Vec<(u64, Kept)> = far_shards(stage)?
        .into_iter()
        .map(|(index, file)| Ok((index, Kept::of(&file)?)))
        .collect::<Result<_>>()?;
    for _ in 0..5 {
        stage.ensure_guest_writes()?;
    }
    let mut newer = None;
    fails_by_name(stage, &mut Vec::new(), |expected| {
        for (index, kept) in &older {
            if kept.differs()? {
                let file = far(stage).shard_copies(&disk(stage), *index)?.swap_remove(0);
                newer = Some(Kept::of(&file)?);
                kept.put_back()?;
                expected.push(*index);
                return Ok(());
            }
        }
        anyhow::bail!("no shard of {} was replicated anew", older.len())
    })?;
    Ok(newer.context("nothing was damaged")?.put_back()?)
}

/// `stillpoint verify` of the disk, the guest off so that both sides are still.
fn verify(stage: &Stage) -> Result<crate::lab::Ended> {
    let mut command = stage.stillpoint();
    command.args(["verify", "--output", "json", "--primary"]).arg(stage.volume_spec(SiteName::A));
    command.arg("--secondary").arg(stage.volume_spec(SiteName::B)).arg(disk(stage));
    finish(&mut command)
}

pub(crate) fn verify_flipped_byte(stage: &Stage) -> Result<()> {
    // A file that nobody writes: replicated once, and still.
    let guest = stage.guest();
    guest.stop()?;
    let checked = (|| {
        replicate_as_is(stage)?;
        let proof = verify(stage)?.expect(0)?;
        ensure!(proof["holds"] == true, "{proof:#}");
        let (index, file) = far_shards(stage)?.swap_remove(0);
        let kept = Kept::of(&file)?;
        tamper::flip_byte(&file, 0)?;
        let proof = verify(stage)?.expect(1)?;
        kept.put_back()?;
        ensure!(proof["holds"] == false, "{proof:#}");
        let named = shards_of(&proof)?;
        ensure!(named == [(index, "different".to_owned())], "damaged: {index}, named: {named:?}");
        Ok(())
    })();
    guest.start()?;
    guest.wait_counter_above(0, std::time::Duration::from_secs(120))?;
    checked
}

/// Lets replication run until the far side has what the primary has, with nothing but Gluster's own programs.
fn replicate_as_is(stage: &Stage) -> Result<()> {
    let config = stage.lab.config();
    let site = stage.lab.site(SiteName::A);
    let session = format!("volume geo-replication {} siteB::{}", config.primary.name, config.secondary.name);
    let words = |tail: &str| format!("{session} {tail}").split(' ').map(str::to_owned).collect::<Vec<_>>();
    site.gluster(words("config checkpoint now"))?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    site.sh(&format!("touch {}", site.mount().display()))?;
    let rollover = config.session.as_ref().map_or(15, |session| session.rollover_seconds);
    std::thread::sleep(std::time::Duration::from_secs(u64::from(rollover) + 3));
    site.gluster(words("start"))?;
    let began = std::time::Instant::now();
    loop {
        let status = site.gluster(words("status detail"))?;
        let rows: Vec<&str> =
            status.lines().filter(|line| line.contains("Active") || line.contains("Passive")).collect();
        let active = rows.iter().filter(|row| row.contains("Active")).count();
        let done = rows.iter().filter(|row| row.contains("Yes")).count();
        if active > 0 && rows.len() == config.primary.layout.bricks() && active == done {
            break;
        }
        ensure!(
            began.elapsed() < std::time::Duration::from_secs(180),
            "not replicated after 180 s:\n{status}"
        );
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    site.gluster(words("stop"))?;
    Ok(())
}

/// Writes what the primary's shards hold into the far side's, where a report says that they differ.
fn mend(proof: &Value) -> Result<()> {
    let place = |places: &Value| -> Result<PathBuf> {
        let first = places.as_array().and_then(|places| places.first()).context("no place")?;
        Ok(Path::new(first["path"].as_str().context("a place without a path")?).to_owned())
    };
    for file in proof["differences"].as_array().context("no differences")? {
        for shard in file["shards"].as_array().context("no shards")? {
            let content = fs::read(place(&shard["primary_places"])?)?;
            let far = fs::File::options().write(true).open(place(&shard["secondary_places"])?)?;
            std::os::unix::fs::FileExt::write_all_at(&far, &content, 0)?;
            far.sync_all()?;
        }
    }
    Ok(())
}

pub(crate) fn silent_no_op(stage: &Stage) -> Result<()> {
    let faults = stage.lab.faults();
    // The setting is what makes rsync 3.5.0 a silent no-op. The preflight knows it and refuses first.
    faults.set_secondary_access_mount(false)?;
    let refused = finish(&mut stage.run_command())?;
    let told = refused.code == Some(1) && format!("{refused:?}").contains("secondary-access-mount");
    stage.ensure_no_overlay()?;

    for _ in 0..5 {
        stage.ensure_guest_writes()?;
    }
    let mut anyway = stage.run_command();
    anyway.args(["--override-check", "secondary-access-mount"]);
    let ended = finish(&mut anyway)?;
    faults.set_secondary_access_mount(true)?;
    ensure!(told, "the preflight did not refuse: {refused:#?}");
    let report = ended.expect(1)?;
    ensure!(
        report["verdict"]["gluster_says_complete"] == true,
        "Gluster did not report complete: {report:#}"
    );
    ensure!(report["outcome"] == "failed", "{report:#}");
    let shards = shards_of(&report["proof"])?;
    ensure!(!shards.is_empty(), "no shard is named: {report:#}");
    eprintln!("the no-op left {} shards wrong: {shards:?}", shards.len());
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    stage.ensure_guest_writes()?;

    // What was skipped is not sent again by itself once the setting is right, and that is found too.
    let again = finish(&mut stage.run_command())?;
    if again.code != Some(0) {
        let report = again.expect(1)?;
        ensure!(report["proof"]["holds"] == false, "{report:#}");
        stage.ensure_no_overlay()?;
        // Base and far side stay as they are from the proof on only while the guest is off.
        stage.guest().stop()?;
        replicate_as_is(stage)?;
        let proof = verify(stage)?.report.context("no proof")?;
        mend(&proof)?;
        let mended = verify(stage)?;
        stage.guest().start()?;
        stage.guest().wait_counter_above(0, std::time::Duration::from_secs(120))?;
        mended.expect(0)?;
    }
    stage.proven_run().map(|_| ())
}
