//! Volumes that a test makes beside the lab's own.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use stillpoint_lab::Site;
use stillpoint_shard::{BrickMap, OpenOptions, ShardError, Topology, Volume};

use super::{MIB, SHARD};

/// A sharded volume at a site, started and mounted; it goes with the lab.
pub(crate) struct Made<'a> {
    site: &'a Site,
    name: &'a str,
}

impl<'a> Made<'a> {
    /// `kind` is what `gluster volume create` takes before the bricks.
    pub(crate) fn up(site: &'a Site, name: &'a str, kind: &str, bricks: usize) -> Self {
        let paths = brick_paths(site, name, 0..bricks);
        let gluster = "gluster --mode=script volume";
        site.sh(&format!(
            "set -e; {gluster} create {name} {kind} {paths} force
             {gluster} set {name} features.shard-block-size {}MB; {gluster} set {name} features.shard on
             {gluster} set {name} performance.write-behind off; {gluster} start {name}",
            SHARD / MIB
        ))
        .unwrap();
        site.daemon(&format!(
            "mkdir -p /mnt/{name} && glusterfs -s {0} --volfile-id {name} /mnt/{name}",
            site.name()
        ))
        .unwrap();
        Self { site, name }
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.site.host_path(format!("/mnt/{}", self.name))
    }

    /// The volume without some of its bricks.
    pub(crate) fn try_volume(&self, missing: &[usize]) -> Result<Volume, ShardError> {
        volume_of(self.site, self.name, missing, OpenOptions::default())
    }
}

impl Drop for Made<'_> {
    /// Its processes and its space are the next one's.
    fn drop(&mut self) {
        let gluster = "gluster --mode=script volume";
        let name = self.name;
        let script = format!("umount /mnt/{name}; {gluster} stop {name} force && {gluster} delete {name}");
        if let Err(error) = self.site.sh(&script) {
            eprintln!("{name} can't be deleted: {error}");
        }
        let _ = fs::remove_dir_all(self.site.bricks_file_system().join(name));
    }
}

/// Bricks of a volume as `gluster` takes them, the directory above them made.
pub(crate) fn brick_paths(site: &Site, volume: &str, numbers: Range<usize>) -> String {
    let root = site.bricks_file_system().join(volume);
    fs::create_dir_all(&root).unwrap();
    let brick = |number: usize| format!("{}:{}/{number}", site.name(), root.display());
    numbers.map(brick).collect::<Vec<_>>().join(" ")
}

/// A volume of a site, described by glusterd's directory, without some of its bricks.
pub(crate) fn volume_of(
    site: &Site,
    name: &str,
    missing: &[usize],
    options: OpenOptions,
) -> Result<Volume, ShardError> {
    let topology = Topology::load(site.glusterd_dir(), Some(name))?;
    let names: Vec<_> = topology.bricks().map(|brick| brick.name.clone()).collect();
    let map = missing.iter().fold(BrickMap::default(), |map, brick| map.without(names[*brick].clone()));
    Volume::open(topology, &map, options)
}

/// A volume of bricks that nothing describes, in the order of these numbers.
pub(crate) fn undescribed(described: &Volume, order: &[usize]) -> Result<Volume, ShardError> {
    let bricks: Vec<PathBuf> = described.bricks().into_iter().map(|(_, path)| path).collect();
    let given: Vec<&PathBuf> = order.iter().map(|brick| &bricks[*brick]).collect();
    Volume::open(Topology::from_bricks(&given)?, &BrickMap::default(), OpenOptions::default())
}
