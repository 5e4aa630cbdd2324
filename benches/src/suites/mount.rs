//! A file of a real volume, from its bricks and through its mount.

use std::fs::{File, OpenOptions as Open};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stillpoint_lab::{Lab, LabConfig, SiteName};
use stillpoint_shard::{BrickMap, OpenOptions, ShardedFile, Topology, Volume};
use stillpoint_storage::Storage;

use super::extract::afresh;
use super::shards::{BUFFER, read};
use super::volume::{CHUNK, fill};
use super::{Outcome, Setting};
use crate::cost::{self, Cost};
use crate::side_by_side::{Comparison, Way};

const BYTES: u64 = 2 << 30;
const INSTANCE: &str = "bench";
const FILE: &str = "disk.raw";

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if setting.quick {
        return Ok(Outcome::Skipped("no volume is mounted for --quick".to_owned()));
    }
    if let Some(why) = lacking() {
        return Ok(Outcome::Skipped(format!("a mount to measure against takes {why}")));
    }
    // What an earlier run left that was killed.
    Lab::down(INSTANCE)?;
    let measured = on_a_lab(setting);
    let down = Lab::down(INSTANCE);
    let measured = measured?;
    down?;
    Ok(Outcome::Measured(measured))
}

/// What the lab lacks here, if anything.
pub(super) fn lacking() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".to_owned());
    }
    match stillpoint_lab::missing_packages() {
        Ok(missing) => (!missing.is_empty()).then(|| missing.join(" ")),
        Err(error) => Some(format!("Debian ({error})")),
    }
}

/// All bricks and the exports lie on one XFS file system.
fn on_a_lab(setting: &Setting) -> Result<Vec<Comparison>> {
    let config =
        LabConfig { guest: None, session: None, install_packages: false, ..LabConfig::named(INSTANCE) };
    let lab = Lab::up(&config)?;
    let site = lab.site(SiteName::A);
    let mounted = site.host_mount().join(FILE);
    write(&mounted)?;
    let spec = site.glusterd_dir().join("vols").join(&config.primary.name);
    let file = open(&spec)?;
    ensure!(file.len() == BYTES, "the bricks have {} bytes of {BYTES}", file.len());
    let (mib, shards) = (BYTES >> 20, file.shard_count());
    let layout = config.primary.layout;

    let reading = Comparison::run(
        format!(
            "reading a file of {mib} MiB in {shards} shards on a volume of {layout}, opened each time, one thread"
        ),
        Some(BYTES),
        setting.rounds.min(3),
        Way::new("stillpoint-shard: Volume::open, ShardedFile::read_exact_at", || read_bricks(&spec)),
        vec![
            Way::new("the same reads through the mount, which has nothing of it cached", || {
                forget(&mounted)?;
                read_mount(&mounted)
            }),
            Way::new("the same out of the kernel's cache for the mount", || read_mount(&mounted)),
        ],
    )?;

    let out = site.bricks_file_system().join("exports");
    std::fs::create_dir(&out).with_context(|| format!("can't make {}", out.display()))?;
    let (ours_out, peers_out) = (out.join("ours"), out.join("theirs"));
    let mut ours = Command::new(&setting.stillpoint);
    ours.arg("export").arg("--volume").arg(&spec).arg(FILE).arg(&ours_out);
    // Ours has its name only once it is on disk.
    let mut peer = Command::new("sh");
    peer.args(["-c", r#"cp "$0" "$1" && sync "$1""#]).args([&mounted, &peers_out]);
    let exporting = Comparison::run(
        format!(
            "exporting that file, {mib} MiB, to the bricks' own file system, by sharing blocks, a process"
        ),
        Some(BYTES),
        setting.rounds.min(3),
        Way::new("stillpoint export", || afresh(&ours_out, &mut ours)),
        vec![Way::new("cp from the mount, which has nothing of it cached, and sync", || {
            forget(&mounted)?;
            afresh(&peers_out, &mut peer)
        })],
    )?;
    let same = Command::new("cmp").args([&ours_out, &peers_out]).status().context("cmp can't be started")?;
    ensure!(same.success(), "the exports differ");
    Ok(vec![reading, exporting])
}

fn write(path: &Path) -> Result<()> {
    let mut file = Open::new()
        .create_new(true)
        .write(true)
        .open(path)
        .with_context(|| format!("can't make {}", path.display()))?;
    let mut chunk = vec![0; CHUNK];
    for number in 0..BYTES / CHUNK as u64 {
        fill(&mut chunk, number);
        file.write_all(&chunk)?;
    }
    Ok(file.sync_all()?)
}

fn open(spec: &PathBuf) -> Result<ShardedFile> {
    let volume = Volume::open(Topology::load(spec, None)?, &BrickMap::default(), OpenOptions::default())?;
    Ok(volume.open_file(&FILE.parse()?)?)
}

fn read_bricks(spec: &PathBuf) -> Result<Cost> {
    let mut file = None;
    let opening = cost::of_work(|| {
        file = Some(open(spec)?);
        Ok(())
    })?;
    let reading = read(&file.context("it was opened")?)?;
    cost::sum([Ok(opening), Ok(reading)])
}

/// Has the kernel forget what it keeps of the mount's file; of the bricks' files, it goes on to keep all.
fn forget(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

fn read_mount(path: &Path) -> Result<Cost> {
    let mut buf = vec![0; BUFFER];
    cost::of_work(|| {
        let mut file = File::open(path)?;
        let mut bytes = 0;
        loop {
            match file.read(&mut buf)? {
                0 => break,
                n => bytes += n as u64,
            }
            std::hint::black_box(&buf);
        }
        ensure!(bytes == BYTES, "the mount has {bytes} bytes of {BYTES}");
        Ok(())
    })
}
