//! `stillpoint map`: what `qemu-img map` tells.

use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, Result};
use stillpoint_qcow2::map::{GuestMap, MapOptions, json, text};
use stillpoint_qcow2::{Error, with_causes};

use crate::cli::MapArgs;
use crate::command::number;
use crate::command::opened::{self, Opened};
use crate::command::source::qemu_text;
use crate::exit::Exit;
use crate::logging;
use crate::output;

pub(crate) fn run(args: &MapArgs) -> Result<Exit> {
    let asked = match Asked::parse(args) {
        Ok(asked) => asked,
        Err(complaint) => return Ok(failed(&complaint)),
    };
    let open_image = if args.one_layer { opened::open_alone } else { opened::open };
    let format = args.tell.format.as_deref();
    let opened = match open_image(&args.tables.volume, &args.tables.allow, &args.file, format)? {
        Ok(opened) => opened,
        Err(complaint) => return Ok(failed(&complaint)),
    };
    let map = match open(args, &opened) {
        Ok(map) => map,
        Err(complaint) => return Ok(failed(&complaint)),
    };
    Ok(match write(args, &map, &asked).context("can't write to stdout")? {
        Ok(()) => Exit::Done,
        Err(text::TextError::Map(error)) => {
            failed(&format!("Could not read file metadata: {}", with_causes(&error)))
        }
        Err(error) => failed(&error.to_string()),
    })
}

/// The range that is asked for.
struct Asked {
    start: u64,
    length: u64,
}

impl Asked {
    fn parse(args: &MapArgs) -> Result<Self, String> {
        if args.tables.image_opts {
            return Err("--image-opts is not supported: name the image's file".into());
        }
        let number = |what, text: &Option<String>, otherwise| {
            text.as_ref().map_or(Ok(otherwise), |text| number::bytes(what, text))
        };
        Ok(Self {
            start: number("start offset", &args.start_offset, 0)?,
            length: number("max length", &args.max_length, u64::MAX)?,
        })
    }
}

fn open(args: &MapArgs, opened: &Opened) -> Result<GuestMap, String> {
    let options = MapOptions::default().one_layer(args.one_layer);
    let could_not_open = |error: &Error| format!("Could not open '{}': {}", args.file, qemu_text(error));
    let map = match opened.snapshot(args.snapshot.as_deref())? {
        None => GuestMap::open(&opened.chain, &*opened.resolver, &options),
        Some(snapshot) => GuestMap::open_snapshot(&opened.chain, snapshot, &*opened.resolver, &options),
    };
    map.map_err(|error| could_not_open(&error))
}

fn write(args: &MapArgs, map: &GuestMap, asked: &Asked) -> std::io::Result<Result<(), text::TextError>> {
    let extents = map.extents_in(asked.start, asked.length);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let complete = match args.tell.output {
        output::Format::Json => json::write(extents, asked.start, &mut out)?.map_err(Into::into),
        output::Format::Human => text::write(map, extents, &mut out)?,
    };
    out.flush()?;
    Ok(complete)
}

fn failed(complaint: &str) -> Exit {
    logging::complain(complaint);
    Exit::Failed
}
