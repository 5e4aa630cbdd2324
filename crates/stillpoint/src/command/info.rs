//! `stillpoint info`: what `qemu-img info` tells.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use stillpoint_backup::image::{LocalImages, VolumeImages};
use stillpoint_qcow2::info::{ImageInfo, InfoOptions, chain_to_json, chain_to_text};
use stillpoint_qcow2::inspect::Account;
use stillpoint_qcow2::{
    AnyFile, Chain, ChainError, ChainOptions, Error, Format, Image, Resolver, Source, detect,
};

use crate::cli::InfoArgs;
use crate::command::inspect;
use crate::command::source::{self, not_opened, qemu_text};
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
    if args.tables.image_opts {
        return Ok(Err("--image-opts is not supported: name the image's file".into()));
    }
    let name = &args.file;
    let could_not_open = |why: String| Ok(Err(format!("Could not open '{name}': {why}")));
    let format = match &args.tell.format {
        None => None,
        Some(wanted) => match Format::from_name(&wanted.as_str().into()) {
            Ok(format) => Some(format),
            Err(_) => return could_not_open(format!("Unknown driver '{wanted}'")),
        },
    };
    let (source, resolver): (Source, Box<dyn Resolver>) = match source::volume(&args.tables.volume)? {
        Some(volume) => {
            let mut roots = args.tables.allow.allow_root.clone();
            roots.push(if args.tables.allow.allow_any { PathBuf::new() } else { directory_of(name) });
            let images = VolumeImages::new(volume, args.tables.volume.mounted_at.clone(), &roots);
            match images.open_with(name, &args.tables.volume.file_options()) {
                Ok(source) => (source, Box::new(images)),
                Err(error) => return could_not_open(error.to_string()),
            }
        }
        None => match Source::open(name) {
            Ok(source) => {
                let resolver: Box<dyn Resolver> = if args.tables.allow.allow_any {
                    Box::new(AnyFile)
                } else {
                    Box::new(LocalImages::below(
                        std::iter::once(directory_of(name)).chain(args.tables.allow.allow_root.clone()),
                    )?)
                };
                (source, resolver)
            }
            Err(error) => return could_not_open(not_opened(name, &error)),
        },
    };
    let complain = |error: Error| {
        if let Error::Chain(ChainError::Loop(again)) = &error {
            return format!("Backing file '{}' creates an infinite loop.", again.to_text());
        }
        // Here qemu-img opens each image by itself.
        if let Error::Chain(ChainError::Layer { name, source, .. }) = &error {
            return format!("Could not open '{}': {}", name.to_text(), qemu_text(source));
        }
        format!("Could not open '{name}': {}", qemu_text(&error))
    };
    if args.explain {
        return match accounts(args, source, format, &*resolver) {
            Ok(accounts) => explained(args, &accounts).map(Ok),
            Err(error) => Ok(Err(complain(error))),
        };
    }
    Ok(gather(args, source, format, &*resolver).map_err(complain))
}

/// The images in plain words, each with its name.
fn accounts(
    args: &InfoArgs,
    source: Source,
    format: Option<Format>,
    resolver: &dyn Resolver,
) -> Result<Vec<(String, Account)>, Error> {
    let raw = |source: &Source| Account::of_raw(source.storage.len());
    if args.backing_chain {
        let chain = Chain::open(source, format, resolver, &chain_options())?;
        let layers = chain.layers().iter().map(|layer| {
            let source = layer.source();
            let account =
                layer.image().map_or_else(|| Ok(raw(source)), |image| Account::of_image(image, &source.name));
            Ok((source.name.to_string(), account?))
        });
        return layers.collect();
    }
    let account = match format.map_or_else(|| detect(&source.storage), Ok)? {
        Format::Raw => raw(&source),
        Format::Qcow2 => Account::of_image(&Image::open(source.storage)?, &source.name)?,
    };
    Ok(vec![(args.file.clone(), account)])
}

/// What `--explain` writes: of a chain, one account after the other, or a list of them.
fn explained(args: &InfoArgs, accounts: &[(String, Account)]) -> Result<String> {
    let documents = accounts.iter().map(|(name, account)| inspect::Document::new(name, None, account));
    let documents: Vec<_> = documents.collect();
    Ok(match (args.tell.output, &documents[..]) {
        (output::Format::Json, [one]) if !args.backing_chain => one.to_json()?,
        (output::Format::Json, all) => output::json(all)?,
        (output::Format::Human, [one]) if !args.backing_chain => one.to_text(),
        (output::Format::Human, all) => {
            let texts = all.iter().map(|document| format!("{}:\n{}", document.filename, document.to_text()));
            texts.collect::<Vec<_>>().join("\n")
        }
    })
}

/// As qemu-img does, where an image doesn't say. What may be opened is limited all the same.
fn chain_options() -> ChainOptions {
    ChainOptions::default().detect_backing_format(true)
}

fn gather(
    args: &InfoArgs,
    source: Source,
    format: Option<Format>,
    resolver: &dyn Resolver,
) -> Result<String, Error> {
    let json = args.tell.output == output::Format::Json;
    let mut text = if args.backing_chain {
        let infos = ImageInfo::of_chain(&Chain::open(source, format, resolver, &chain_options())?)?;
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
