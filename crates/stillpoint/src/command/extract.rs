//! `stillpoint extract`.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use stillpoint_qcow2::extract::{ExtractOptions, Extracted, extract, extract_bytes};
use stillpoint_qcow2::tables::Compression;
use stillpoint_qcow2::{DiskOptions, Format as ImageFormat, GuestView, VmState};

use crate::cli::{CompressionType, DiskFormat, ExtractArgs, Global};
use crate::command::keys;
use crate::command::opened::{self, Opened};
use crate::exit::Exit;
use crate::logging;
use crate::output::{self, Format};
use crate::progress::Progress;

/// What was extracted.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema_version: u32,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<&'a str>,
    /// `raw`, `qcow2` or `vmstate`.
    kind: &'static str,
    out: String,
    /// Size of the disk, or of the VM state, in bytes.
    size: u64,
    /// Bytes that the kernel copied, or had both files share.
    bytes_by_kernel: u64,
    /// Bytes that were written, compressed or not; the others are holes.
    bytes_written: u64,
    /// Length of the file in bytes.
    file_size: u64,
    /// Whether the whole new disk was compared with the old one.
    verified: bool,
}

pub(crate) fn run(args: &ExtractArgs, global: &Global) -> Result<Exit> {
    if args.compress && args.target_format == DiskFormat::Raw {
        bail!("a raw disk can't be compressed: -c goes with -O qcow2");
    }
    let opened = match opened::open(&args.volume, &args.allow, &args.file, args.format.as_deref())? {
        Ok(opened) => opened,
        Err(complaint) => {
            logging::complain(&complaint);
            return Ok(Exit::Failed);
        }
    };
    let mut progress = Progress::new(global);
    let done =
        write(args, &opened, &mut progress).with_context(|| format!("{} wasn't extracted", args.file))?;
    drop(progress);
    let kind = match args.target_format {
        _ if args.vmstate => "vmstate",
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let report = Report {
        schema_version: 1,
        image: &args.file,
        snapshot: args.snapshot.as_deref(),
        kind,
        out: args.out.display().to_string(),
        size: done.size,
        bytes_by_kernel: done.by_kernel,
        bytes_written: done.written,
        file_size: done.file_size,
        verified: args.verify,
    };
    match args.output {
        Format::Json => output::print_json(&report)?,
        Format::Human => output::print(&format!(
            "{}{}: {} bytes to {}: {} copied or shared by the kernel, {} written, {} in the file{}\n",
            report.image,
            report.snapshot.map(|snapshot| format!(" at {snapshot}")).unwrap_or_default(),
            report.size,
            report.out,
            report.bytes_by_kernel,
            report.bytes_written,
            report.file_size,
            if report.verified { ", the same as the disk" } else { "" },
        ))?,
    }
    Ok(Exit::Done)
}

fn write(args: &ExtractArgs, opened: &Opened, progress: &mut Progress) -> Result<Extracted> {
    let (chain, resolver) = (&opened.chain, &*opened.resolver);
    let snapshot = opened.snapshot(args.snapshot.as_deref()).map_err(anyhow::Error::msg)?;
    let keys = keys::keyring(&args.keys).map_err(anyhow::Error::msg)?;
    let disk_options = DiskOptions::default().keys(&keys);
    if let Some(snapshot) = snapshot.filter(|_| args.vmstate) {
        let state = VmState::open(chain, snapshot, resolver, &disk_options)?;
        let state = state.context("the snapshot has no VM state")?;
        let mut step = |at: stillpoint_qcow2::extract::Step| progress.bytes("extracting", at.done, at.total);
        return Ok(extract_bytes(&state, &args.out, args.force, &mut step)?);
    }
    let view = GuestView::open(chain, snapshot, resolver, &disk_options)?;
    let compression = args.compress.then_some(match args.compression_type {
        CompressionType::Zlib => Compression::Zlib,
        CompressionType::Zstd => Compression::Zstd,
    });
    let format = match args.target_format {
        DiskFormat::Raw => ImageFormat::Raw,
        DiskFormat::Qcow2 => ImageFormat::Qcow2,
    };
    let options = ExtractOptions::default()
        .format(format)
        .overwrite(args.force)
        .cluster_bits(args.cluster_size)
        .compression(compression)
        .verify(args.verify);
    let mut step = |at: stillpoint_qcow2::extract::Step| progress.bytes("extracting", at.done, at.total);
    Ok(extract(&view, &args.out, &options, &mut step)?)
}
