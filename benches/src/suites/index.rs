//! Opening a volume with very many shards, and mapping one file of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
use stillpoint_storage::extents;
use stillpoint_testkit::volume::{BrickTrees, KeptIn, Shape};

use super::{Outcome, Setting};
use crate::cost::{self, Cost};
use crate::side_by_side::{Comparison, Way};

/// Shards of the file that is mapped.
const ITS_OWN: u64 = 1000;

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Outcome::Skipped("a volume whose xattrs are on the file system takes root".to_owned()));
    }
    let shards: u64 = if setting.quick { 10_000 } else { 100_000 };
    let dir = setting.dir.path().join("index");
    std::fs::create_dir(&dir).context("no directory for the volume")?;
    let shape = Shape { subvolumes: 2, shard_size: 512, kept_in: KeptIn::FileSystem, ..Shape::default() };
    let mut trees = BrickTrees::create(&dir, shape)?;
    for (name, count) in [("one", ITS_OWN), ("all", shards - ITS_OWN)] {
        trees.create_file(name)?;
        for index in 0..count {
            trees.write(name, index * 512, &[1])?;
        }
    }
    let spec = dir.join("glusterd");
    trees.write_glusterd_directory(&spec)?;
    let bricks: Vec<PathBuf> = (0..2).map(|number| trees.brick(number).to_owned()).collect();

    let mut measured = Vec::new();
    for (name, own) in [("one", ITS_OWN), ("all", shards - ITS_OWN)] {
        measured.push(Comparison::run(
            format!("opening a volume of {shards} shards and mapping a file of {own} of them"),
            None,
            setting.rounds,
            Way::new("stillpoint-shard: Volume::open, extents", || map(&spec, name, own)),
            vec![Way::new("reading all names of .shard, and a stat for each", || stat_all(&bricks))],
        )?);
    }
    Ok(Outcome::Measured(measured))
}

fn map(spec: &PathBuf, name: &str, own: u64) -> Result<Cost> {
    cost::of_work(|| {
        let volume = Volume::open(Topology::load(spec, None)?, &BrickMap::default(), OpenOptions::default())?;
        let file = volume.open_file(&name.parse()?)?;
        let mut last = 0;
        for extent in extents(&file) {
            last = extent?.end();
        }
        ensure!(last == file.size() && file.shard_count() == own, "the file is not the one that was built");
        Ok(())
    })
}

/// What no way of finding out where every shard is can do without.
fn stat_all(bricks: &[PathBuf]) -> Result<Cost> {
    cost::of_work(|| {
        let mut names = BTreeSet::new();
        for brick in bricks {
            for entry in std::fs::read_dir(brick.join(".shard"))? {
                let entry = entry?;
                if entry.metadata()?.is_file() {
                    names.insert(entry.file_name());
                }
            }
        }
        std::hint::black_box(&names);
        Ok(())
    })
}
