//! Reading all guest data.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, Error, ScanOptions, Source};
use stillpoint_storage::Storage;

use super::{Outcome, Setting, has, without};
use crate::cost;
use crate::images::Shape;
use crate::side_by_side::{Comparison, Way};

/// So much is asked for at once where a disk is read from its beginning to its end.
const BUFFER: usize = 2 << 20;

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if !has("qemu-img") || !has("qemu-io") {
        return without("qemu-img and qemu-io");
    }
    let shapes = [Shape::Ordered, Shape::Fragmented, Shape::Sparse, Shape::Plain, Shape::Zlib, Shape::Zstd];
    let mut measured = Vec::new();
    for shape in shapes {
        let path = setting.images.path(shape)?;
        let disk = open(&path)?;
        let bytes = scan(&disk, 1)?;
        let mut peer = Command::new("qemu-img");
        let target = format!("driver=null-co,size={}", disk.len());
        // Without --target-is-zero it would write zeros to where nothing is, which nobody asked for.
        peer.args(["convert", "-U", "-n", "-W", "-m", "16", "--target-is-zero", "-f", "qcow2"]);
        peer.args(["--target-image-opts"]).arg(&path).arg(&target);
        for threads in [1, 2] {
            measured.push(Comparison::run(
                format!("reading all data, {threads} of our threads: {}", shape.name()),
                Some(bytes),
                setting.rounds.min(3),
                Way::new("stillpoint-qcow2: Disk::scan", || {
                    cost::of_work(|| scan(&open(&path)?, threads).map(drop))
                }),
                Way::new("qemu-img convert -m 16 -W to nothing", || cost::of_command(&mut peer)),
            )?);
        }
        if shape != Shape::Sparse {
            measured.push(Comparison::run(
                format!("reading from the beginning to the end, one thread: {}", shape.name()),
                Some(bytes),
                setting.rounds.min(3),
                Way::new("stillpoint-qcow2: Disk::read_at", || cost::of_work(|| in_order(&open(&path)?))),
                Way::new("qemu-img convert -m 16 -W to nothing", || cost::of_command(&mut peer)),
            )?);
        }
    }
    Ok(Outcome::Measured(measured))
}

fn open(path: &Path) -> Result<Disk> {
    let source = Source::open(path).context("it can't be opened")?;
    let chain = Chain::open(source, None, &DenyAll, &ChainOptions::default())?;
    Ok(Disk::open(&chain, &DenyAll)?)
}

/// Reads what is stored, and tells how many bytes of the disk that are.
fn scan(disk: &Disk, threads: usize) -> Result<u64> {
    let sum = AtomicU64::new(0);
    disk.scan(&ScanOptions::default().threads(threads), |_, bytes| {
        std::hint::black_box(bytes);
        sum.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok::<_, Error>(())
    })?;
    let sum = sum.into_inner();
    ensure!(sum > 0, "nothing was read");
    Ok(sum)
}

fn in_order(disk: &Disk) -> Result<()> {
    let mut buf = vec![0; BUFFER];
    let mut at = 0;
    while at < disk.len() {
        let n = disk.read_at(at, &mut buf)?;
        std::hint::black_box(&buf);
        at += n as u64;
    }
    Ok(())
}
