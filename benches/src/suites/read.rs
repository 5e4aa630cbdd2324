//! Reading all guest data.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, Error, ScanOptions, Source};
use stillpoint_storage::{ExtentKind, Storage, extents};

use super::{Outcome, Setting, has, without};
use crate::images::Shape;
use crate::peers::Work;
use crate::side_by_side::{Comparison, Way};
use crate::{cost, peers};

/// A way of ours to read all data, and what it is called.
type Ours<'a> = (String, Box<dyn Fn() -> Result<()> + 'a>);

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
        // Other libraries read what they can.
        let can = |read: &Work| read(&path).is_ok_and(|read| read == bytes);
        let libraries: Vec<_> = peers::READS.iter().filter(|(_, read)| can(read)).collect();
        let mut ours: Vec<Ours<'_>> = Vec::new();
        for threads in [1, 2] {
            let path = path.clone();
            let name = format!("Disk::scan, {threads} of our threads");
            ours.push((name, Box::new(move || scan(&open(&path)?, threads).map(drop))));
        }
        let name = "Disk::next_extent and read_at, one thread".to_owned();
        ours.push((name, Box::new(|| ensure_read(in_order(&open(&path)?)?, bytes))));
        for (name, work) in ours {
            let mut ways =
                vec![Way::new("qemu-img convert -m 16 -W to nothing", || cost::of_command(&mut peer))];
            ways.extend(
                libraries.iter().map(|(name, read)| {
                    Way::new(*name, || cost::of_work(|| ensure_read(read(&path)?, bytes)))
                }),
            );
            measured.push(Comparison::run(
                format!("reading all data, {name}: {}", shape.name()),
                Some(bytes),
                setting.rounds.min(5),
                Way::new("stillpoint-qcow2", || cost::of_work(&*work)),
                ways,
            )?);
        }
    }
    Ok(Outcome::Measured(measured))
}

fn ensure_read(read: u64, bytes: u64) -> Result<()> {
    ensure!(read == bytes, "{read} of {bytes} bytes were read");
    Ok(())
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

/// Reads what is stored in the disk's order, and tells how many bytes that are.
fn in_order(disk: &Disk) -> Result<u64> {
    let mut buf = vec![0; peers::BUFFER];
    let mut bytes = 0;
    for extent in extents(disk) {
        let extent = extent?;
        if extent.kind != ExtentKind::Data {
            continue;
        }
        bytes += extent.len;
        peers::in_parts(extent.offset, extent.len, |at, n| {
            disk.read_exact_at(at, &mut buf[..n])?;
            std::hint::black_box(&buf);
            Ok(())
        })?;
    }
    Ok(bytes)
}
