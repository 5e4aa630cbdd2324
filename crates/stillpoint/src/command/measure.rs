//! `stillpoint measure`: what `qemu-img measure` tells.

use anyhow::Result;
use stillpoint_qcow2::Name;
use stillpoint_qcow2::map::{GuestMap, MapOptions};
use stillpoint_qcow2::measure::{Layout, Measure};
use stillpoint_qcow2::tables::{ClusterSize, Snapshot, Version};

use crate::cli::MeasureArgs;
use crate::command::number;
use crate::command::opened::{self, Opened};
use crate::command::source::qemu_text;
use crate::exit::Exit;
use crate::logging;
use crate::output;

/// Formats that QEMU knows and can't measure.
const NOT_MEASURED: [&str; 10] =
    ["bochs", "cloop", "dmg", "parallels", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc"];

pub(crate) fn run(args: &MeasureArgs) -> Result<Exit> {
    match measure(args)? {
        Ok(measure) => {
            output::print(&match args.tell.output {
                output::Format::Json => measure.to_json() + "\n",
                output::Format::Human => measure.to_text(),
            })?;
            Ok(Exit::Done)
        }
        Err(complaint) => {
            logging::complain(&complaint);
            Ok(Exit::Failed)
        }
    }
}

fn measure(args: &MeasureArgs) -> Result<Result<Measure, String>> {
    let (target, size) = match asked(args) {
        Ok(asked) => asked,
        Err(complaint) => return Ok(Err(complaint)),
    };
    let (Some(name), None) = (&args.file, size) else {
        let size = size.unwrap_or_default();
        return Ok(match target {
            Target::Raw => Ok(Measure::raw(size)),
            Target::Qcow2 { layout, .. } => {
                Measure::of_size(size, &layout).map_err(|error| error.to_string())
            }
        });
    };
    let opened =
        match opened::open(&args.tables.volume, &args.tables.allow, name, args.tell.format.as_deref())? {
            Ok(opened) => opened,
            Err(complaint) => return Ok(Err(complaint)),
        };
    let snapshot = args.snapshot.as_deref().map(|wanted| find_snapshot(&opened, wanted)).transpose();
    Ok(snapshot.and_then(|snapshot| of_image(name, &opened, snapshot, &target)))
}

/// What is asked for, and the size if that is given in the place of an image.
fn asked(args: &MeasureArgs) -> Result<(Target, Option<u64>), String> {
    if args.tables.image_opts {
        return Err("--image-opts is not supported: name the image's file".into());
    }
    let size = match (&args.size, &args.file) {
        (Some(_), Some(_)) => return Err("--size N cannot be used together with a filename.".into()),
        (None, None) => return Err("Either --size N or one filename must be specified.".into()),
        (Some(_), None) if args.tell.format.is_some() || args.snapshot.is_some() => {
            return Err("--image-opts, -f, and -l require a filename argument.".into());
        }
        (size, _) => size.as_ref().map(|size| number::bytes("image size", size)).transpose()?,
    };
    Ok((Target::parse(&args.target_format, &args.options)?, size))
}

fn of_image(
    name: &str,
    opened: &Opened,
    snapshot: Option<&Snapshot>,
    target: &Target,
) -> Result<Measure, String> {
    let could_not_open =
        |error: stillpoint_qcow2::Error| format!("Could not open '{name}': {}", qemu_text(&error));
    let (options, resolver) = (MapOptions::default(), &*opened.resolver);
    let map = match snapshot {
        None => GuestMap::open(&opened.chain, resolver, &options),
        Some(snapshot) => GuestMap::open_snapshot(&opened.chain, snapshot, resolver, &options),
    };
    let map = map.map_err(could_not_open)?;
    let Target::Qcow2 { layout, backing } = target else { return Ok(Measure::raw(map.size())) };
    // What the new image and its backing file share is not known: as if it were nothing.
    let layout = Layout { preallocated: layout.preallocated || *backing, ..*layout };
    let image = opened.chain.layers().first().and_then(|layer| layer.image());
    let bitmaps = image.filter(|image| image.header().version() == Version::V3);
    let bitmaps = bitmaps.map(|image| image.bitmaps()).transpose().map_err(could_not_open)?;
    let measured = Measure::of_extents(map.size(), map.extents(), bitmaps.as_deref(), &layout)
        .map_err(|error| format!("Unable to get block status: {}", qemu_text(&error)))?;
    measured.map_err(|error| error.to_string())
}

/// The snapshot that `wanted` names: an ID or a NAME, or in qemu-img's long form
/// `snapshot.id=ID,snapshot.name=NAME`, of which either may be left out.
fn find_snapshot<'a>(opened: &'a Opened, wanted: &str) -> Result<&'a Snapshot, String> {
    let not_found = || "Failed to load snapshot: Can't find snapshot".to_owned();
    if !wanted.starts_with("snapshot.") {
        return opened.snapshot(Some(wanted)).ok().flatten().ok_or_else(not_found);
    }
    let (mut id, mut name) = (None, None);
    for option in wanted.split(',') {
        match option.split_once('=') {
            Some(("snapshot.id", value)) => id = Some(value),
            Some(("snapshot.name", value)) => name = Some(value),
            _ => {
                let key = option.split_once('=').map_or(option, |(key, _)| key);
                logging::complain(&format!("Invalid parameter '{key}'"));
                return Err(format!("Failed in parsing snapshot param '{wanted}'"));
            }
        }
    }
    let is = |is: &Name, wanted: Option<&str>| wanted.is_none_or(|wanted| is.as_bytes() == wanted.as_bytes());
    let image = opened.chain.layers().first().and_then(|layer| layer.image());
    let mut snapshots = image.map_or(&[][..], |image| image.snapshots()).iter();
    snapshots.find(|snapshot| is(&snapshot.id, id) && is(&snapshot.name, name)).ok_or_else(not_found)
}

/// What is converted to.
enum Target {
    Raw,
    Qcow2 { layout: Layout, backing: bool },
}

impl Target {
    fn parse(format: &str, options: &[String]) -> Result<Self, String> {
        let mut layout = Layout::default();
        let mut backing = false;
        let raw = match format {
            "raw" => true,
            "qcow2" => false,
            _ if NOT_MEASURED.contains(&format) => {
                return Err(format!("Block driver '{format}' does not support size measurement"));
            }
            _ => return Err(format!("Unknown file format '{format}'")),
        };
        for option in
            options.iter().flat_map(|options| options.split(',')).filter(|option| !option.is_empty())
        {
            let (name, value) = option.split_once('=').unwrap_or((option, "on"));
            match name {
                "size" | "preallocation" | "nocow" | "extent_size_hint" if raw => {}
                _ if raw => return Err(format!("Invalid parameter '{name}'")),
                "cluster_size" => layout.cluster_size = cluster_size(value)?,
                "compat" => {
                    layout.version = match value {
                        "0.10" => Version::V2,
                        "1.1" => Version::V3,
                        _ => return Err(format!("Invalid compatibility level: '{value}'")),
                    }
                }
                "refcount_bits" => {
                    layout.refcount_bits =
                        value.parse().map_err(|_| format!("Parameter '{name}' expects a number"))?;
                }
                "extended_l2" => layout.extended_l2 = switch(name, value)?,
                "preallocation" => {
                    layout.preallocated = match value {
                        "off" | "metadata" => false,
                        "falloc" | "full" => true,
                        _ => return Err(format!("Invalid parameter '{value}'")),
                    }
                }
                "backing_file" => backing = true,
                "size" | "backing_fmt" | "lazy_refcounts" | "compression_type" | "data_file"
                | "data_file_raw" => {}
                _ if name.starts_with("encrypt") => {
                    return Err("an image that is to be encrypted is not measured here".into());
                }
                _ => return Err(format!("Invalid parameter '{name}'")),
            }
        }
        Ok(if raw { Self::Raw } else { Self::Qcow2 { layout, backing } })
    }
}

fn cluster_size(value: &str) -> Result<ClusterSize, String> {
    let bytes = number::bytes("cluster size", value)?;
    let bits = bytes.is_power_of_two().then(|| bytes.trailing_zeros());
    bits.and_then(ClusterSize::from_bits)
        .ok_or_else(|| "Cluster size must be a power of two between 512 and 2048k".to_owned())
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("Parameter '{name}' expects 'on' or 'off'")),
    }
}
