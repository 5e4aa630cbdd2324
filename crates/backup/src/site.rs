//! A site's volume: how it is described, and where its bricks are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stillpoint_shard::{BrickMapping, BrickName, OpenOptions, Topology, Volume};

use crate::error::Result;

/// Where a site's volume is described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteSpec {
    /// A description that [`Topology::load`] understands, and which volume of it is meant.
    Described {
        /// Where it is.
        spec: PathBuf,
        /// The volume's name, needed where several are described.
        volume: Option<String>,
    },
    /// The bricks themselves, all of one volume.
    Bricks(Vec<PathBuf>),
    /// Those of these bricks that are of one volume, by its name or id.
    BricksOf {
        /// Bricks, of other volumes too.
        bricks: Vec<PathBuf>,
        /// The volume's name or id.
        volume: String,
    },
}

impl SiteSpec {
    /// Reads the description, or the bricks'.
    ///
    /// # Errors
    /// As [`Topology::load`] and [`Topology::from_bricks`].
    pub fn topology(&self) -> Result<Topology> {
        Ok(match self {
            Self::Described { spec, volume } => Topology::load(spec, volume.as_deref())?,
            Self::Bricks(bricks) => Topology::from_bricks(bricks)?,
            Self::BricksOf { bricks, volume } => Topology::from_bricks_of(bricks, Some(volume))?,
        })
    }

    /// Opens the volume with its bricks where `mappings` say. Mappings of bricks that it doesn't have are another
    /// site's, and left out.
    ///
    /// # Errors
    /// As [`topology`](Self::topology) and [`Volume::open`].
    pub fn open(&self, mappings: &[BrickMapping]) -> Result<Volume> {
        open_with(self.topology()?, mappings, OpenOptions::default())
    }
}

/// Opens a volume of which the description was read, with its bricks where `mappings` say: see [`SiteSpec::open`].
pub(crate) fn open_with(
    topology: Topology,
    mappings: &[BrickMapping],
    options: OpenOptions,
) -> Result<Volume> {
    let map = mappings
        .iter()
        .filter(|mapping| topology.bricks().any(|brick| brick.name == mapping.brick))
        .cloned()
        .collect();
    Ok(Volume::open(topology, &map, options)?)
}

/// The brick of the first mapping that is none of these volumes', which is a mistake.
#[must_use]
pub fn unused_mapping<'a>(mappings: &'a [BrickMapping], topologies: &[&Topology]) -> Option<&'a BrickName> {
    let has = |brick: &BrickName| {
        topologies.iter().any(|topology| topology.bricks().any(|known| known.name == *brick))
    };
    mappings.iter().map(|mapping| &mapping.brick).find(|brick| !has(brick))
}

/// The path of `file` from the root of the volume on that is mounted at `mount`, or `None` if it isn't below it.
/// Symbolic links above the file are followed where it exists.
#[must_use]
pub fn path_in_volume(file: &Path, mount: &Path) -> Option<PathBuf> {
    let below = |file: &Path, mount: &Path| file.strip_prefix(mount).ok().map(Path::to_path_buf);
    below(file, mount)
        .or_else(|| below(&file.canonicalize().ok()?, &mount.canonicalize().ok()?))
        .filter(|path| path.components().all(|part| matches!(part, std::path::Component::Normal(_))))
        .filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_volume_is_what_follows_the_mount() {
        let in_volume = |file: &str, mount: &str| path_in_volume(Path::new(file), Path::new(mount));
        assert_eq!(in_volume("/mnt/gv1/vm/a.qcow2", "/mnt/gv1"), Some("vm/a.qcow2".into()));
        assert_eq!(in_volume("/mnt/gv1/vm/a.qcow2", "/mnt/gv1/"), Some("vm/a.qcow2".into()));
        assert_eq!(in_volume("/mnt/gv10/a.qcow2", "/mnt/gv1"), None);
        assert_eq!(in_volume("/mnt/gv1", "/mnt/gv1"), None);
        assert_eq!(in_volume("/mnt/gv1/../etc/passwd", "/mnt/gv1"), None);
    }

    #[test]
    fn links_that_lead_below_the_mount_are_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let mount = dir.path().join("gv1");
        std::fs::create_dir_all(mount.join("vm")).expect("a directory");
        std::fs::write(mount.join("vm/a.raw"), "").expect("a file");
        std::os::unix::fs::symlink(mount.join("vm"), dir.path().join("vms")).expect("a link");
        assert_eq!(path_in_volume(&dir.path().join("vms/a.raw"), &mount), Some("vm/a.raw".into()));
    }
}
