//! Other Rust libraries that read qcow2: the same work, by each one's own interface.
//!
//! None of them opens what an image names; the images here name nothing.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, Mapping, StorageOpenOptions};
use img_qcow2::{ClusterStatus, Qcow2Reader};

/// So much is asked for at once where data is read.
pub const BUFFER: usize = 2 << 20;

/// What a library is for a comparison: its name, and how many bytes of the disk hold data by it.
pub type Work = fn(&Path) -> Result<u64>;

/// Who tells where data is.
pub const MAPS: &[(&str, Work)] =
    &[("imago 0.2: get_mapping", imago_map), ("rust-img-qcow2 0.6: extents", img_map)];

/// Who reads data, and only that, in the disk's order.
pub const READS: &[(&str, Work)] =
    &[("imago 0.2: get_mapping, read", imago_read), ("rust-img-qcow2 0.6: extents, read_at", img_read)];

/// Who holds refcounts against the tables. It counts only data without a refcount.
pub const CHECKS: &[(&str, Work)] = &[("qcow2-core 0.3: refcount_report", core_check)];

fn imago_open(path: &Path) -> Result<FormatAccess<File>> {
    let file = imago::Storage::open(StorageOpenOptions::new().filename(path));
    let file: File = file.with_context(|| format!("imago: {}", path.display()))?;
    Ok(FormatAccess::new(Qcow2::<File>::builder(file).open(DenyImplicitOpenGate::default())?))
}

/// Calls `data` with each part of the disk that holds data.
fn imago_extents(image: &FormatAccess<File>, mut data: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let mut at = 0;
    while at < image.size() {
        let (mapping, len) = image.get_mapping(at, image.size() - at)?;
        ensure!(len > 0, "imago: no mapping at {at}");
        if matches!(mapping, Mapping::Raw { .. } | Mapping::Special { .. }) {
            data(at, len)?;
        }
        at += len;
    }
    Ok(())
}

fn imago_map(path: &Path) -> Result<u64> {
    let mut bytes = 0;
    imago_extents(&imago_open(path)?, |_, len| {
        bytes += len;
        Ok(())
    })?;
    Ok(bytes)
}

fn imago_read(path: &Path) -> Result<u64> {
    let image = imago_open(path)?;
    let mut buf = vec![0; BUFFER];
    let mut bytes = 0;
    imago_extents(&image, |at, len| {
        bytes += len;
        in_parts(at, len, |at, n| {
            image.read(&mut buf[..n], at)?;
            std::hint::black_box(&buf);
            Ok(())
        })
    })?;
    Ok(bytes)
}

fn img_map(path: &Path) -> Result<u64> {
    let image = Qcow2Reader::open(path)?;
    let mut bytes = 0;
    for extent in image.extents() {
        let extent = extent?;
        if extent.status == ClusterStatus::Allocated {
            bytes += extent.length;
        }
    }
    Ok(bytes)
}

fn img_read(path: &Path) -> Result<u64> {
    let image = Qcow2Reader::open(path)?;
    let mut buf = vec![0; BUFFER];
    let mut bytes = 0;
    for extent in image.extents() {
        let extent = extent?;
        if extent.status != ClusterStatus::Allocated {
            continue;
        }
        bytes += extent.length;
        in_parts(extent.virt_offset, extent.length, |at, n| {
            image.read_at(at, &mut buf[..n])?;
            std::hint::black_box(&buf);
            Ok(())
        })?;
    }
    Ok(bytes)
}

fn core_check(path: &Path) -> Result<u64> {
    let report = qcow2::refcount_report(path)?;
    ensure!(report.orphan_clusters == 0, "qcow2-core: {report:?}");
    Ok(report.allocated_clusters)
}

/// Parts of at most [`BUFFER`] bytes.
pub fn in_parts(at: u64, len: u64, mut part: impl FnMut(u64, usize) -> Result<()>) -> Result<()> {
    let mut done = 0;
    while done < len {
        let n = usize::try_from(len - done).unwrap_or(usize::MAX).min(BUFFER);
        part(at + done, n)?;
        done += n as u64;
    }
    Ok(())
}
