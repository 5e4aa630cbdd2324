//! Digesting a site's files.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use stillpoint_shard::{ShardError, ShardedFile, Volume};
use uuid::Uuid;

use crate::cancel::Stopped;
use crate::cycle::{Event, Site, SiteName};
use crate::error::Result;
use crate::manifest::{DiskManifest, Layer, Manifest, ManifestOptions, SCHEMA_VERSION, file_manifest};
use crate::report::DomainReport;

/// The files of a point: each disk's layers, base first.
pub(crate) struct Files(Vec<Disk>);

struct Disk {
    domain: Option<Uuid>,
    target: Option<String>,
    layers: Vec<String>,
}

/// A site's digests.
pub(crate) struct Digested {
    /// What the files hold.
    pub(crate) manifest: Manifest,
    /// The gfids of all files and of all their shards.
    pub(crate) gfids: BTreeSet<Uuid>,
}

impl Files {
    /// The files of all domains that have a point.
    pub(crate) fn of(domains: &[DomainReport]) -> Self {
        let disks = domains.iter().filter(|domain| domain.point.is_some()).flat_map(|domain| {
            domain.disks.iter().map(|disk| Disk {
                domain: Some(domain.domain.uuid),
                target: Some(disk.target.clone()),
                layers: disk.layers.clone(),
            })
        });
        Self(disks.collect())
    }

    /// One file by itself.
    pub(crate) fn single(path: &str) -> Self {
        Self(vec![Disk { domain: None, target: None, layers: vec![path.to_owned()] }])
    }
}

/// How digesting is done and watched.
#[derive(Clone, Copy)]
pub(crate) struct Digesting<'a> {
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) observer: &'a (dyn Fn(Event<'_>) + Sync),
    /// Whether to go on.
    pub(crate) going_on: &'a (dyn Fn() -> Result<(), Stopped> + Sync),
}

/// Digests all files at one site. At the secondary a file that isn't there is part of the answer.
pub(crate) fn digest(name: SiteName, site: &Site, files: &Files, how: &Digesting<'_>) -> Result<Digested> {
    digest_volume(name, &site.open()?, files, how)
}

/// The same of a site's volume that is open.
pub(crate) fn digest_volume(
    name: SiteName,
    volume: &Volume,
    files: &Files,
    how: &Digesting<'_>,
) -> Result<Digested> {
    let open = |path: &String| match volume.open_file(&path.parse()?) {
        Err(error @ ShardError::NotFound { .. }) if name == SiteName::Secondary => Ok(Err(error.to_string())),
        other => other.map(Ok).map_err(crate::Error::from),
    };
    let opened = files
        .0
        .iter()
        .map(|disk| disk.layers.iter().map(open).collect::<Result<Vec<Result<ShardedFile, String>>>>())
        .collect::<Result<Vec<_>>>()?;
    let total = opened.iter().flatten().flatten().map(ShardedFile::size).fold(0, u64::saturating_add);
    let done = AtomicU64::new(0);
    let options = ManifestOptions { threads: how.threads };
    let progress = |bytes: u64| {
        let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (how.observer)(Event::Digest { site: name, done, total });
        (how.going_on)()
    };

    let mut gfids = BTreeSet::new();
    let mut disks = Vec::new();
    for (disk, layers) in files.0.iter().zip(&opened) {
        let mut manifests = Vec::new();
        for (path, file) in disk.layers.iter().zip(layers) {
            manifests.push(match file {
                Err(reason) => Layer::Missing { path: path.clone(), reason: reason.clone() },
                Ok(file) => {
                    let digested = file_manifest(file, path, &options, &progress)?;
                    gfids.extend(digested.gfids);
                    Layer::Found(digested.manifest)
                }
            });
        }
        disks.push(DiskManifest { domain: disk.domain, target: disk.target.clone(), layers: manifests });
    }
    Ok(Digested { manifest: Manifest { schema_version: SCHEMA_VERSION, disks }, gfids })
}
