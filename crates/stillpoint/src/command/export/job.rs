//! One file that is copied.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use stillpoint_backup::Cancel;
use stillpoint_backup::manifest::{FileManifest, Layer, ManifestOptions, file_manifest};
use stillpoint_shard::export::{self, ExportOptions, MissingPart, Progress, RescueOptions};
use stillpoint_shard::{EntryKind, FileOptions, FileRef, ShardedFile, Volume};
use stillpoint_storage::FileStorage;

use super::report::Exported;
use crate::cli::ExportArgs;

/// What is to be copied where.
#[derive(Debug)]
pub(super) struct Job {
    /// As it was named, or as it was found.
    pub(super) path: String,
    reference: FileRef,
    options: FileOptions,
    pub(super) out: PathBuf,
    /// Its size in bytes.
    pub(super) size: u64,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) exported: Exported,
    /// What the manifest, where one is asked for, says of it.
    pub(super) layer: Option<Layer>,
}

impl Job {
    /// The one file that is copied, of which the caller may tell more than its base.
    pub(super) fn of_named(
        path: String,
        reference: FileRef,
        out: PathBuf,
        volume: &Volume,
        options: FileOptions,
    ) -> Result<Self> {
        if options == FileOptions::default() {
            return Self::new(path, reference, out, volume);
        }
        let size = volume.open_file_with(&reference, &options)?.size();
        Ok(Self { path, reference, options, out, size })
    }

    pub(super) fn new(path: String, reference: FileRef, out: PathBuf, volume: &Volume) -> Result<Self> {
        let size = match volume.entry(&reference)?.kind {
            EntryKind::File { size, .. } | EntryKind::Remains { size, .. } => size,
            EntryKind::Directory => bail!("{path} is a directory; --into takes it, with all files below"),
            _ => bail!("{path} is no regular file"),
        };
        Ok(Self { path, reference, options: FileOptions::default(), out, size })
    }

    /// A file of which nothing can be copied.
    pub(super) fn hopeless(path: String, reference: FileRef, out: PathBuf) -> Self {
        Self { path, reference, options: FileOptions::default(), out, size: 0 }
    }

    /// Copies the file. `tell` is called with how many bytes were done since its last call.
    pub(super) fn run(
        &self,
        volume: &Volume,
        args: &ExportArgs,
        cancel: &Cancel,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<Made> {
        let file = volume.open_file_with(&self.reference, &self.options)?;
        if let (Some(into), Some(parent)) = (&args.into, self.out.parent()) {
            make_directories(into, parent)?;
        }
        let mut before = 0;
        let mut watch = |at: Progress| {
            tell(at.done - before);
            before = at.done;
            if cancel.is_wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (progress, before, missing) = if args.in_place() {
            self.rescue(volume, &file, args, &mut watch)?
        } else {
            let options = ExportOptions { overwrite: args.force };
            (export::copy_file(&file, &self.out, &options, &mut watch)?, 0, Vec::new())
        };
        let layer = match &args.manifest {
            Some(_) if progress.missing == 0 => Some(Layer::Found(self.compare(&file, cancel, tell)?)),
            // Of what isn't known there is no digest.
            Some(_) => Some(Layer::Missing {
                path: self.path.clone(),
                reason: format!("{} of its {} bytes aren't known", progress.missing, progress.total),
            }),
            None => None,
        };
        let digest = match &layer {
            Some(Layer::Found(manifest)) => Some(manifest.digest),
            _ => None,
        };
        Ok(Made { exported: Exported::new(self, &file, &progress, before, missing, digest), layer })
    }

    fn rescue(
        &self,
        volume: &Volume,
        file: &ShardedFile,
        args: &ExportArgs,
        watch: &mut export::Watch<'_>,
    ) -> Result<(Progress, u64, Vec<MissingPart>)> {
        let beside = || {
            let mut name = self.out.file_name().unwrap_or_default().to_owned();
            name.push(".map");
            self.out.with_file_name(name)
        };
        let mapfile = args.mapfile.clone().unwrap_or_else(beside);
        let options = RescueOptions { about: about(volume, file), leave_out: args.allow_missing };
        let done = export::rescue_file(file, &self.out, &mapfile, &options, watch)?;
        if args.mapfile.is_none() && done.progress.missing == 0 {
            std::fs::remove_file(&mapfile).with_context(|| format!("can't remove {}", mapfile.display()))?;
        }
        Ok((done.progress, done.before, done.missing))
    }

    /// Digests the file at the bricks, and compares what was written with that.
    fn compare(
        &self,
        file: &ShardedFile,
        cancel: &Cancel,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<FileManifest> {
        let stopped = || io::Error::other("it was cancelled");
        let progress = |bytes| {
            tell(bytes);
            if cancel.is_wanted() { Err(stillpoint_backup::Stopped::Cancelled) } else { Ok(()) }
        };
        let manifest = file_manifest(file, &self.path, &ManifestOptions::default(), &progress)?.manifest;
        let written =
            FileStorage::open(&self.out).with_context(|| format!("can't open {}", self.out.display()))?;
        let differing = manifest.differing_shards(&written, &mut |bytes| {
            tell(bytes);
            if cancel.is_wanted() { Err(stopped()) } else { Ok(()) }
        })?;
        if !differing.is_empty() {
            bail!(
                "{} is not what the bricks hold in shards {differing:?}; check the disk",
                self.out.display()
            );
        }
        Ok(manifest)
    }
}

/// What a mapfile calls a file.
fn about(volume: &Volume, file: &ShardedFile) -> String {
    let topology = volume.topology();
    let of = topology.id.map_or_else(|| topology.volume.clone(), |id| id.to_string());
    format!("{} of volume {of}", file.gfid())
}

/// Makes the directories between `into` and `path`, which is below it.
fn make_directories(into: &Path, path: &Path) -> Result<()> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("can't make {} below {}", path.display(), into.display()))
}
