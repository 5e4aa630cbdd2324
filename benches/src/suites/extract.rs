//! Extracting to a raw file on the image's own file system: where that can't share blocks (ext4), it is a copy.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Outcome, Setting, has, without};
use crate::cost;
use crate::images::Shape;
use crate::side_by_side::{Comparison, Way};

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if !has("qemu-img") || !has("qemu-io") {
        return without("qemu-img and qemu-io");
    }
    let mut measured = Vec::new();
    for shape in [Shape::Ordered, Shape::Fragmented, Shape::Plain, Shape::Zlib, Shape::Zstd] {
        let path = setting.images.path(shape)?;
        let (ours_out, peers_out) = (path.with_extension("ours"), path.with_extension("theirs"));
        let mut ours = Command::new(&setting.stillpoint);
        ours.args(["extract", "--force", "-f", "qcow2"]).args([&path, &ours_out]);
        // Ours has its name only once it is on disk.
        let mut peer = Command::new("sh");
        peer.args(["-c", r#"qemu-img convert -U -f qcow2 -O raw "$0" "$1" && sync "$1""#]);
        peer.args([&path, &peers_out]);
        let compared = Comparison::run(
            format!("extract to raw, a process: {}", shape.name()),
            None,
            setting.rounds.min(3),
            Way::new("stillpoint extract", || afresh(&ours_out, &mut ours)),
            vec![Way::new("qemu-img convert -O raw, and sync of the file", || afresh(&peers_out, &mut peer))],
        );
        let mut same = Command::new("qemu-img");
        same.args(["compare", "-f", "raw", "-F", "raw"]).args([&ours_out, &peers_out]);
        let same = same.output()?.status.success();
        fs::remove_file(&ours_out)?;
        fs::remove_file(&peers_out)?;
        ensure!(same, "{}: the disks differ", path.display());
        measured.push(compared?);
    }
    Ok(Outcome::Measured(measured))
}

/// Each run writes a new file.
pub(super) fn afresh(out: &Path, command: &mut Command) -> Result<cost::Cost> {
    if out.exists() {
        fs::remove_file(out)?;
    }
    cost::of_command(command)
}
