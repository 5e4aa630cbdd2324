//! Comparing an image with itself through two paths.

use std::fs;
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
    for shape in [Shape::Ordered, Shape::Fragmented, Shape::Sparse, Shape::Plain, Shape::Zlib] {
        let path = setting.images.path(shape)?;
        let other = path.with_extension("link");
        if !other.exists() {
            fs::hard_link(&path, &other)?;
        }
        let formats = ["-f", "qcow2", "-F", "qcow2"];
        let mut ours = Command::new(&setting.stillpoint);
        ours.arg("compare").args(formats).args([&path, &other]);
        let mut peer = Command::new("qemu-img");
        peer.args(["compare", "-U"]).args(formats).args([&path, &other]);
        let (a, b) = (ours.output()?, peer.output()?);
        ensure!(a.status.success() && a.stdout == b.stdout, "{}: the verdicts differ", path.display());
        measured.push(Comparison::run(
            format!("compare with itself, a process: {}", shape.name()),
            None,
            setting.rounds.min(3),
            Way::new("stillpoint compare", || cost::of_command(&mut ours)),
            vec![Way::new("qemu-img compare -U", || cost::of_command(&mut peer))],
        )?);
    }
    Ok(Outcome::Measured(measured))
}
