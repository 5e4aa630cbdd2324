//! `stillpoint extract`.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use stillpoint_backup::Cancel;
use stillpoint_qcow2::extract::{ExtractOptions, Extracted, Step, extract, extract_bytes};
use stillpoint_qcow2::tables::Compression;
use stillpoint_qcow2::{
    Disk, DiskOptions, Error, Format as ImageFormat, GuestView, LenientDisk, SkipReport, Skipped, VmState,
    with_causes,
};

use crate::cli::{CompressionType, DiskFormat, ExtractArgs, Global};
use crate::command::keys;
use crate::command::opened::{self, Opened};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::{logging, signals};

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
    /// What `--lenient` went past; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
}

/// What was gone past.
#[derive(Debug, Serialize)]
struct Damage {
    /// What could not be opened, or was opened past its damage.
    unopened: Vec<String>,
    /// Parts of the disk that could not be read, and are zeros in the file.
    skipped: Vec<Part>,
    /// Bytes in further parts, too many to list.
    skipped_untold: u64,
}

#[derive(Debug, Serialize)]
struct Part {
    offset: u64,
    length: u64,
    reason: String,
}

impl Damage {
    fn is_empty(&self) -> bool {
        self.unopened.is_empty() && self.skipped.is_empty() && self.skipped_untold == 0
    }

    /// Says it on stderr.
    fn complain(&self) {
        for damage in &self.unopened {
            logging::complain(damage);
        }
        for part in &self.skipped {
            logging::complain(&format!(
                "{} bytes at {} are zeros now: {}",
                part.length, part.offset, part.reason
            ));
        }
        if self.skipped_untold > 0 {
            logging::complain(&format!("{} bytes more are zeros now", self.skipped_untold));
        }
    }
}

pub(crate) fn run(args: &ExtractArgs, global: &Global) -> Result<Exit> {
    if args.compress && args.target_format == DiskFormat::Raw {
        bail!("a raw disk can't be compressed: -c goes with -O qcow2");
    }
    let format = args.format.as_deref();
    let opened = if args.lenient {
        opened::open_lenient(&args.disk.volume, &args.disk.allow, &args.file, format)?
    } else {
        opened::open(&args.disk.volume, &args.disk.allow, &args.file, format)?
            .map(|opened| (opened, Vec::new()))
    };
    let (opened, mut damaged) = match opened {
        Ok(opened) => opened,
        Err(complaint) => {
            logging::complain(&complaint);
            return Ok(Exit::Failed);
        }
    };
    let (done, skipped) =
        write(args, &opened, global).with_context(|| format!("{} wasn't extracted", args.file))?;
    let damage = skipped.map(|(found, report)| Damage {
        unopened: damaged.drain(..).chain(found).map(|error| with_causes(&error)).collect(),
        skipped: report.parts.into_iter().map(Part::from).collect(),
        skipped_untold: report.untold,
    });
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
        damage,
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
    match report.damage.filter(|damage| !damage.is_empty()) {
        None => Ok(Exit::Done),
        Some(damage) => {
            damage.complain();
            Ok(Exit::Partial)
        }
    }
}

impl From<Skipped> for Part {
    fn from(part: Skipped) -> Self {
        Self { offset: part.guest.0, length: part.len, reason: part.reason }
    }
}

/// How far it is, and who may end it.
struct Watched {
    progress: Mutex<Progress>,
    cancel: Arc<Cancel>,
}

impl Watched {
    /// From now on a signal asks for a clean end.
    fn begin(global: &Global) -> Result<Self> {
        let cancel = signals::cancel_on_signals(signals::READ)?;
        Ok(Self { progress: Mutex::new(Progress::new(global)), cancel })
    }

    fn step(&self, at: Step) -> ControlFlow<()> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.bytes("extracting", at.done, at.total);
        if self.cancel.is_wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// What was damaged when a disk was opened, and what was skipped of it.
type Skips = (Vec<Error>, SkipReport);

/// Writes what is asked for, and tells what was skipped, where that is allowed.
fn write(args: &ExtractArgs, opened: &Opened, global: &Global) -> Result<(Extracted, Option<Skips>)> {
    let (chain, resolver) = (&opened.chain, &*opened.resolver);
    let snapshot = opened.snapshot(args.snapshot.as_deref()).map_err(anyhow::Error::msg)?;
    let keys = keys::keyring(&args.disk.keys).map_err(anyhow::Error::msg)?;
    let disk_options = DiskOptions::default().keys(&keys);
    if let Some(snapshot) = snapshot.filter(|_| args.vmstate) {
        let state = VmState::open(chain, snapshot, resolver, &disk_options)?;
        let state = state.context("the snapshot has no VM state")?;
        let watched = Watched::begin(global)?;
        return Ok((extract_bytes(&state, &args.out, args.force, &|at| watched.step(at))?, None));
    }
    if args.lenient {
        let (disk, damaged) = Disk::open_lenient(chain, snapshot, resolver, &disk_options)?;
        let disk = LenientDisk::new(chain, disk);
        let watched = Watched::begin(global)?;
        let done = extract_bytes(&disk, &args.out, args.force, &|at| watched.step(at))?;
        return Ok((done, Some((damaged, disk.skipped()))));
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
    let watched = Watched::begin(global)?;
    Ok((extract(&view, &args.out, &options, &|at| watched.step(at))?, None))
}
