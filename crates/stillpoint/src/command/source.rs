//! Opening what the reading commands are given.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use stillpoint_backup::image::VolumeImages;
use stillpoint_backup::unused_mapping;
use stillpoint_qcow2::{Error, Source, with_causes};
use stillpoint_shard::{Doubt, FileRef, ShardedFile, Volume};

use crate::cli::VolumeArgs;

/// The volume that the arguments name, if they name one.
pub(crate) fn volume(args: &VolumeArgs) -> Result<Option<Volume>> {
    let Some(site) = args.site() else {
        if !args.map.is_empty() || args.mounted_at.is_some() || args.volume_name.is_some() {
            bail!(
                "--map, --mounted-at and --volume-name belong to a volume: name it with --volume or --brick"
            );
        }
        return Ok(None);
    };
    let volume = site.open()?;
    if let Some(brick) = unused_mapping(&site.mappings, &[volume.topology()]) {
        bail!("--map names the brick {brick}, which volume {} doesn't have", volume.topology().volume);
    }
    for doubt in volume.topology().doubts() {
        match doubt {
            Doubt::NotGiven { .. } => tracing::warn!("{doubt}"),
            _ => tracing::info!("{doubt}"),
        }
    }
    Ok(Some(volume))
}

/// A file in a volume, which must be named.
pub(crate) fn file(args: &VolumeArgs, path: &str) -> Result<ShardedFile> {
    let volume = volume(args)?.context("which volume? Name it with --volume or --brick")?;
    Ok(volume.open_file(&reference(path, args.mounted_at.as_deref())?)?)
}

/// A file by the path from the volume's root on, by its path below where the volume is mounted, or by its gfid.
pub(crate) fn reference(path: &str, mounted_at: Option<&Path>) -> Result<FileRef> {
    let reference = path.parse()?;
    if let (FileRef::Path(path), Some(mount)) = (&reference, mounted_at)
        && let Ok(inside) = path.strip_prefix(mount)
    {
        return Ok(FileRef::Path(PathBuf::from(inside)));
    }
    Ok(reference)
}

/// An image in a local file or a volume, of which nothing else is opened; or why it can't be opened, in qemu-img's
/// words where it has some.
pub(crate) fn image(args: &VolumeArgs, name: &str) -> Result<Result<Source, String>> {
    Ok(match volume(args)? {
        Some(volume) => {
            let images = VolumeImages::new(volume, args.mounted_at.clone(), &[]);
            images.open(name).map_err(|error| error.to_string())
        }
        None => {
            Source::open(name).map_err(|error| format!("Could not open '{name}': {}", system_text(&error)))
        }
    })
}

/// An error of the operating system as C's `strerror` words it.
pub(crate) fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// What qemu-img says of an error, where it has words for it; else what we do.
pub(crate) fn qemu_text(error: &Error) -> String {
    error.qemu_text().unwrap_or_else(|| with_causes(error))
}
