//! `stillpoint measure`: what `qemu-img measure` tells.

mod target;

use anyhow::Result;
use stillpoint_qcow2::Name;
use stillpoint_qcow2::map::{GuestMap, MapOptions};
use stillpoint_qcow2::measure::{Layout, Measure};
use stillpoint_qcow2::tables::{Snapshot, Version};

use crate::cli::MeasureArgs;
use crate::command::number;
use crate::command::opened::{self, Opened};
use crate::command::source::qemu_text;
use crate::exit::Exit;
use crate::logging;
use crate::output;
use target::Target;

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
