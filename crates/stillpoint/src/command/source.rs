//! Opening what the reading commands are given.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use stillpoint_backup::image::VolumeImages;
use stillpoint_backup::unused_mapping;
use stillpoint_qcow2::{Error, Source, with_causes};
use stillpoint_shard::{BrickDir, BrickMap, Doubt, FileOptions, FileRef, OpenOptions, Topology, Volume};

use crate::cli::VolumeArgs;
use crate::exit::WrongUsage;

/// The volume that the arguments name, if they name one.
pub(crate) fn volume(args: &VolumeArgs) -> Result<Option<Volume>> {
    volume_with(args, args.options())
}

/// The same, read in another way.
pub(crate) fn volume_with(args: &VolumeArgs, options: OpenOptions) -> Result<Option<Volume>> {
    if !args.is_named() {
        if let Some(option) = args.belonging() {
            bail!("{option} belongs to a volume: name it with --volume or --brick");
        }
        return Ok(None);
    }
    let name = args.volume_name.as_deref();
    let topology = match &args.volume {
        Some(spec) => Topology::load_earlier(spec, name, args.log_volfile.unwrap_or(0))?,
        None => Topology::from_brick_dirs(&brick_dirs(args)?, name)?,
    };
    if let Some(brick) = unused_mapping(&args.map, &[&topology]) {
        bail!("--map names the brick {brick}, which volume {} doesn't have", topology.volume);
    }
    let map = brick_map(args, &topology)?;
    let volume = Volume::open(topology, &map, options)?;
    if args.volume.is_some() {
        for missing in volume.missing_bricks() {
            tracing::warn!("a brick can't be looked at, and what only it holds isn't known: {missing}");
        }
    }
    for doubt in volume.topology().doubts() {
        match doubt {
            Doubt::NotGiven { .. } | Doubt::OrderGiven { .. } => tracing::warn!("{doubt}"),
            _ => tracing::info!("{doubt}"),
        }
    }
    Ok(Some(volume))
}

/// The directories of bricks, each with the dump that it was given.
fn brick_dirs(args: &VolumeArgs) -> Result<Vec<BrickDir>> {
    let same = |a: &Path, b: &Path| std::path::absolute(a).ok() == std::path::absolute(b).ok();
    if let Some((dir, _)) =
        args.xattrs.iter().find(|(dir, _)| !args.brick.iter().any(|brick| same(brick, dir)))
    {
        bail!("--xattrs names {}, which is no --brick", dir.display());
    }
    let with_dump = |path: &PathBuf| {
        let dump = args.xattrs.iter().find(|(dir, _)| same(dir, path));
        BrickDir { path: path.clone(), xattr_dump: dump.map(|(_, file)| file.clone()) }
    };
    Ok(args.brick.iter().map(with_dump).collect())
}

/// Where the bricks are, and which dumps hold the xattrs of which.
fn brick_map(args: &VolumeArgs, topology: &Topology) -> Result<BrickMap> {
    let mut map: BrickMap = args.map.iter().cloned().collect();
    for (dir, file) in &args.xattrs {
        let dir = std::path::absolute(dir)?;
        let mapped = args.map.iter().find(|mapping| {
            mapping.local.as_ref().and_then(|local| std::path::absolute(local).ok()).as_ref() == Some(&dir)
        });
        let brick = match mapped {
            Some(mapping) => mapping.brick.clone(),
            None => {
                let mut own = topology.bricks().filter(|brick| brick.name.path == dir);
                match (own.next(), own.next()) {
                    (Some(only), None) => only.name.clone(),
                    // Of those of another volume nothing is read.
                    _ if args
                        .brick
                        .iter()
                        .any(|brick| std::path::absolute(brick).ok().as_ref() == Some(&dir)) =>
                    {
                        continue;
                    }
                    _ => bail!(
                        "--xattrs names {}, which is not where one brick is; say which with --map",
                        dir.display()
                    ),
                }
            }
        };
        map = map.with_xattr_dump(brick, dir, file);
    }
    Ok(map)
}

/// Refuses what tells of one file, for a command that reads none.
pub(crate) fn no_file_options(args: &VolumeArgs) -> Result<()> {
    if args.file_options() != FileOptions::default() {
        bail!(WrongUsage("--file-size and --block-size tell of a file that is read, and none is"));
    }
    Ok(())
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
            images.open_with(name, &args.file_options()).map_err(|error| error.to_string())
        }
        None => Source::open(name).map_err(|error| not_opened(name, &error)),
    })
}

/// Why the file `name` can't be opened, in qemu-img's words but for names that are not of files.
pub(crate) fn not_opened(name: &str, error: &std::io::Error) -> String {
    // As QEMU tells them: what comes before a colon has no slash.
    let scheme = name.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains('/'));
    match scheme {
        Some(scheme) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("'{scheme}:' is a protocol, and only files are opened here: name the file by its path")
        }
        _ => Source::qemu_text(name, error),
    }
}

/// What qemu-img says of a way to cache an image that it doesn't know. Here none makes a difference.
pub(crate) fn unknown_cache(mode: Option<&str>) -> Option<String> {
    let known = ["none", "off", "directsync", "writeback", "unsafe", "writethrough"];
    let unknown = mode.filter(|mode| !known.contains(mode))?;
    Some(format!("Invalid source cache option: {unknown}"))
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
