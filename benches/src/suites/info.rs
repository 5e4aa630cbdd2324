//! Telling what an image is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_storage::FileStorage;
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};

use super::{Outcome, Setting, has, without};
use crate::cost;
use crate::side_by_side::{Comparison, Way};

/// Runs that are summed up, so that what is short can be measured.
const PROCESSES: u32 = 50;
const CALLS: u32 = 1000;

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if !has("qemu-img") {
        return without("qemu-img");
    }
    let path = setting.dir.path().join("snapshots.qcow2");
    let mut image = ImageBuilder::v3().size(100 << 30);
    for number in 1..=8 {
        image = image.snapshot(SnapshotSpec::new(&number.to_string(), &format!("nightly-{number}")));
    }
    std::fs::write(&path, image.build()).context("the image can't be written")?;

    let mut ours = Command::new(&setting.stillpoint);
    ours.args(["info", "--output", "json"]).arg(&path);
    let mut peer = Command::new("qemu-img");
    peer.args(["info", "-U", "--output=json"]).arg(&path);
    same_answer(&mut ours, &mut peer)?;

    let process = Comparison::run(
        format!("info of an image with 8 snapshots, a process each ({PROCESSES} in a row, per process)"),
        None,
        setting.rounds,
        processes("stillpoint info --output json", ours),
        vec![processes("qemu-img info -U --output=json", peer)],
    )?;
    let mut ours = Command::new(&setting.stillpoint);
    ours.arg("info").arg(&path);
    let mut peer = Command::new("qemu-img");
    peer.args(["info", "-U"]).arg(&path);
    let text = Comparison::run(
        format!("the same as text ({PROCESSES} in a row, per process)"),
        None,
        setting.rounds,
        processes("stillpoint info", ours),
        vec![processes("qemu-img info -U", peer)],
    )?;
    let mut peer = Command::new("qemu-img");
    peer.args(["info", "-U", "--output=json"]).arg(&path);
    let call = Comparison::run(
        format!("the same as a call of the library, file opened each time ({CALLS} in a row, per call)"),
        None,
        setting.rounds,
        Way::new("stillpoint-qcow2: ImageInfo::gather, to_json", move || calls(&path)),
        vec![processes("qemu-img info -U --output=json", peer)],
    )?;
    Ok(Outcome::Measured(vec![process, text, call]))
}

/// A comparison of times means something only where both say the same.
fn same_answer(ours: &mut Command, peer: &mut Command) -> Result<()> {
    let answer = |command: &mut Command| -> Result<serde_json::Value> {
        let output = command.output().with_context(|| format!("{command:?} can't be started"))?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let (a, b) = (answer(ours)?, answer(peer)?);
    ensure!(a == b, "the answers differ:\n{a}\n{b}");
    Ok(())
}

fn processes(name: &str, mut command: Command) -> Way<'static> {
    Way::new(name, move || {
        let sum = cost::sum((0..PROCESSES).map(|_| cost::of_command(&mut command)))?;
        Ok(sum.of_each(PROCESSES))
    })
}

fn calls(path: &Path) -> Result<cost::Cost> {
    let sum = cost::of_work(|| {
        for _ in 0..CALLS {
            let storage = FileStorage::open(path)?;
            let info = ImageInfo::gather(&storage, &path.into(), &InfoOptions::default())?;
            std::hint::black_box(info.to_json());
        }
        Ok(())
    })?;
    Ok(sum.of_each(CALLS))
}
