//! Telling where data is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stillpoint_qcow2::map::{GuestMap, MapOptions};
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Source};

use super::{Outcome, Setting, has, with_libraries, without};
use crate::images::Shape;
use crate::side_by_side::{Comparison, Way};
use crate::{cost, peers};

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if !has("qemu-img") || !has("qemu-io") {
        return without("qemu-img and qemu-io");
    }
    let mut measured = Vec::new();
    for shape in [Shape::Ordered, Shape::Fragmented, Shape::Sparse] {
        let path = setting.images.path(shape)?;
        let mut ours = Command::new(&setting.stillpoint);
        ours.args(["map", "--output", "json"]).arg(&path);
        let mut peer = Command::new("qemu-img");
        peer.args(["map", "-U", "--output=json"]).arg(&path);
        let (a, b) = (ours.output()?, peer.output()?);
        ensure!(a.status.success() && a.stdout == b.stdout, "{}: the maps differ", path.display());
        let bytes = data(&path)?;
        for (name, map) in peers::MAPS {
            ensure!(map(&path)? == bytes, "{}: {name} has another map", path.display());
        }
        measured.push(Comparison::run(
            format!("map to JSON, a process: {}", shape.name()),
            None,
            setting.rounds.min(5),
            Way::new("stillpoint map --output json", || cost::of_command(&mut ours)),
            vec![Way::new("qemu-img map -U --output=json", || cost::of_command(&mut peer))],
        )?);
        measured.push(Comparison::run(
            format!("the same as a call of the library, file opened each time: {}", shape.name()),
            None,
            setting.rounds.min(5),
            Way::new("stillpoint-qcow2: GuestMap::extents", || cost::of_work(|| data(&path).map(drop))),
            with_libraries("qemu-img map -U --output=json", &mut peer, peers::MAPS, &path),
        )?);
    }
    Ok(Outcome::Measured(measured))
}

/// Goes through all extents, and tells how many bytes of the disk hold data.
fn data(path: &Path) -> Result<u64> {
    let source = Source::open(path).context("it can't be opened")?;
    let chain = Chain::open(source, None, &DenyAll, &ChainOptions::default())?;
    let map = GuestMap::open(&chain, &DenyAll, &MapOptions::default())?;
    let mut bytes = 0;
    for extent in map.extents() {
        let extent = extent?;
        bytes += if extent.data { extent.length } else { 0 };
    }
    Ok(bytes)
}
