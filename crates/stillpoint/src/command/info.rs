//! `stillpoint info`: what `qemu-img info` tells.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use stillpoint_backup::image::{LocalImages, VolumeImages};
use stillpoint_qcow2::info::{ImageInfo, InfoOptions, chain_to_json, chain_to_text};
use stillpoint_qcow2::inspect::Account;
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Error, Format, Image, Resolver, Source, detect};

use crate::cli::InfoArgs;
use crate::command::inspect;
use crate::command::source::{self, system_text, with_causes};
use crate::exit::Exit;
use crate::logging;
use crate::output;

pub(crate) fn run(args: &InfoArgs) -> Result<Exit> {
    match tell(args)? {
        Ok(text) => {
            output::print(&text)?;
            Ok(Exit::Done)
        }
        Err(complaint) => {
            logging::complain(&complaint);
            Ok(Exit::Failed)
        }
    }
}

/// The text to print, or the complaint, in qemu-img's words where it has some.
fn tell(args: &InfoArgs) -> Result<Result<String, String>> {
    let name = &args.file;
    let could_not_open = |why: String| Ok(Err(format!("Could not open '{name}': {why}")));
    let format = match &args.format {
        None => None,
        Some(wanted) => match Format::from_name(&wanted.as_str().into()) {
            Ok(format) => Some(format),
            Err(_) => return could_not_open(format!("Unknown driver '{wanted}'")),
        },
    };
    let (source, resolver): (Source, Box<dyn Resolver>) = match source::volume(&args.volume)? {
        Some(volume) => {
            let mut roots = args.allow_root.clone();
            roots.push(if args.allow_any { PathBuf::new() } else { directory_of(name) });
            let images = VolumeImages::new(volume, args.volume.mounted_at.clone(), &roots);
            match images.open(name) {
                Ok(source) => (source, Box::new(images)),
                Err(error) => return could_not_open(error.to_string()),
            }
        }
        None => match Source::open(name) {
            Ok(source) => {
                let resolver: Box<dyn Resolver> = if args.allow_any {
                    Box::new(AnyFile)
                } else {
                    Box::new(LocalImages::below(
                        std::iter::once(directory_of(name)).chain(args.allow_root.clone()),
                    )?)
                };
                (source, resolver)
            }
            Err(error) => return could_not_open(format!("Could not open '{name}': {}", system_text(&error))),
        },
    };
    let complain = |error: Error| {
        let why = error.qemu_text().unwrap_or_else(|| with_causes(&error));
        format!("Could not open '{name}': {why}")
    };
    if args.explain {
        return match account(source, format) {
            Ok(account) => inspect::document(name, None, &account, args.output).map(Ok),
            Err(error) => Ok(Err(complain(error))),
        };
    }
    Ok(gather(args, source, format, &*resolver).map_err(complain))
}

/// The image in plain words.
fn account(source: Source, format: Option<Format>) -> Result<Account, Error> {
    match format.map_or_else(|| detect(&source.storage), Ok)? {
        Format::Raw => Ok(Account::of_raw(source.storage.len())),
        Format::Qcow2 => Account::of_image(&Image::open(source.storage)?, &source.name),
    }
}

fn gather(
    args: &InfoArgs,
    source: Source,
    format: Option<Format>,
    resolver: &dyn Resolver,
) -> Result<String, Error> {
    let json = args.output == output::Format::Json;
    let mut text = if args.backing_chain {
        // As qemu-img does, where an image doesn't say. What may be opened is limited all the same.
        let options = ChainOptions::default().detect_backing_format(true);
        let infos = ImageInfo::of_chain(&Chain::open(source, format, resolver, &options)?)?;
        if json { chain_to_json(&infos) } else { chain_to_text(&infos) }
    } else {
        let options = InfoOptions::default().format(format);
        let info = ImageInfo::gather(&Arc::clone(&source.storage), &source.name, &options)?;
        if json { info.to_json() } else { info.to_text() }
    };
    if json {
        text.push('\n');
    }
    Ok(text)
}

fn directory_of(name: &str) -> PathBuf {
    Path::new(name).parent().map(Path::to_path_buf).unwrap_or_default()
}
