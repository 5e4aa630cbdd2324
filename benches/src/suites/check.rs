//! Looking for damage.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stillpoint_qcow2::check::{CheckOptions, CheckReport};
use stillpoint_storage::FileStorage;

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
        ours.args(["check", "--output", "json"]).arg(&path);
        let mut peer = Command::new("qemu-img");
        peer.args(["check", "-U", "--output=json"]).arg(&path);
        let (a, b) = (ours.output()?, peer.output()?);
        ensure!(a.status.success() && a.stdout == b.stdout, "{}: the reports differ", path.display());
        measured.push(Comparison::run(
            format!("check, a process: {}", shape.name()),
            None,
            setting.rounds.min(5),
            Way::new("stillpoint check --output json", || cost::of_command(&mut ours)),
            vec![Way::new("qemu-img check -U --output=json", || cost::of_command(&mut peer))],
        )?);
        measured.push(Comparison::run(
            format!("the same as a call of the library, file opened each time: {}", shape.name()),
            None,
            setting.rounds.min(5),
            Way::new("stillpoint-qcow2: CheckReport::gather", || cost::of_work(|| check(&path))),
            with_libraries("qemu-img check -U --output=json", &mut peer, peers::CHECKS, &path),
        )?);
    }
    Ok(Outcome::Measured(measured))
}

fn check(path: &Path) -> Result<()> {
    let storage = FileStorage::open(path).context("it can't be opened")?;
    let report = CheckReport::gather(&storage, &CheckOptions::default())?;
    ensure!(report.is_sound(), "{}: {:?}", path.display(), report.findings);
    Ok(())
}
