//! Opening an image with all that it stands on.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stillpoint_backup::image::{LocalImages, VolumeImages};
use stillpoint_qcow2::tables::Snapshot;
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Error, Format, Resolver, Source};

use crate::cli::{AllowArgs, VolumeArgs};
use crate::command::source::{self, not_opened, qemu_text};

/// An image and its backing files, and who opens what they name.
pub(crate) struct Opened {
    pub(crate) chain: Chain,
    pub(crate) resolver: Box<dyn Resolver>,
}

/// Opens the image `name`, in a volume or here, with its backing files; or tells why that can't be done, in qemu-img's
/// words where it has some.
pub(crate) fn open(
    volume: &VolumeArgs,
    allow: &AllowArgs,
    name: &str,
    format: Option<&str>,
) -> Result<Result<Opened, String>> {
    let follow = |source, format, resolver: &dyn Resolver, options: &_| {
        Chain::open(source, format, resolver, options).map(|chain| (chain, Vec::new()))
    };
    Ok(open_with(volume, allow, name, format, follow)?.map(|(opened, _)| opened))
}

/// As [`open`], but for the image alone: nothing that it names is opened.
pub(crate) fn open_alone(
    volume: &VolumeArgs,
    allow: &AllowArgs,
    name: &str,
    format: Option<&str>,
) -> Result<Result<Opened, String>> {
    let follow = |source, format, resolver: &dyn Resolver, options: &ChainOptions| {
        let (chain, _) = Chain::open_readable(source, format, resolver, &options.clone().max_depth(1))?;
        Ok((chain, Vec::new()))
    };
    Ok(open_with(volume, allow, name, format, follow)?.map(|(opened, _)| opened))
}

/// As [`open`], but goes on past damage and missing backing files, and tells of them.
pub(crate) fn open_lenient(
    volume: &VolumeArgs,
    allow: &AllowArgs,
    name: &str,
    format: Option<&str>,
) -> Result<Result<(Opened, Vec<Error>), String>> {
    open_with(volume, allow, name, format, Chain::open_lenient)
}

fn open_with(
    volume: &VolumeArgs,
    allow: &AllowArgs,
    name: &str,
    format: Option<&str>,
    follow: impl FnOnce(
        Source,
        Option<Format>,
        &dyn Resolver,
        &ChainOptions,
    ) -> Result<(Chain, Vec<Error>), Error>,
) -> Result<Result<(Opened, Vec<Error>), String>> {
    let could_not_open = |why: String| Ok(Err(format!("Could not open '{name}': {why}")));
    let format = match format {
        None => None,
        Some(wanted) => match Format::from_name(&wanted.into()) {
            Ok(format) => Some(format),
            Err(_) => return could_not_open(format!("Unknown driver '{wanted}'")),
        },
    };
    let (source, resolver): (Source, Box<dyn Resolver>) = match source::volume(volume)? {
        Some(opened) => {
            let mut roots = allow.allow_root.clone();
            roots.push(if allow.allow_any { PathBuf::new() } else { directory_of(name) });
            let images = VolumeImages::new(opened, volume.mounted_at.clone(), &roots);
            match images.open_with(name, &volume.file_options()) {
                Ok(source) => (source, Box::new(images)),
                Err(error) => return could_not_open(error.to_string()),
            }
        }
        None => match Source::open(name) {
            Ok(source) if allow.allow_any => (source, Box::new(AnyFile)),
            Ok(source) => {
                let roots = std::iter::once(directory_of(name)).chain(allow.allow_root.clone());
                (source, Box::new(LocalImages::below(roots)?))
            }
            Err(error) => return could_not_open(not_opened(name, &error)),
        },
    };
    // As qemu-img does, where an image doesn't say. What may be opened is limited all the same.
    let options = ChainOptions::default().detect_backing_format(true);
    match follow(source, format, &*resolver, &options) {
        Ok((chain, damage)) => Ok(Ok((Opened { chain, resolver }, damage))),
        Err(error) => could_not_open(qemu_text(&error)),
    }
}

impl Opened {
    /// The snapshot of the image of that id or, if there is none, name.
    pub(crate) fn snapshot(&self, wanted: Option<&str>) -> Result<Option<&Snapshot>, String> {
        let Some(wanted) = wanted else { return Ok(None) };
        let image = self.chain.layers().first().and_then(|layer| layer.image());
        let found = image.and_then(|image| image.snapshot(wanted));
        found.map(Some).ok_or_else(|| format!("the image has no snapshot '{wanted}'"))
    }
}

fn directory_of(name: &str) -> PathBuf {
    Path::new(name).parent().map(Path::to_path_buf).unwrap_or_default()
}
