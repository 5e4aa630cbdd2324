//! A lab's volumes, what is written through their mounts, and reading it from their bricks.
#![allow(dead_code, unused_imports, reason = "each test program asks for a part of it")]

mod audit;
mod compare;
mod deleted;
mod made;

use std::fs::{self, OpenOptions as Open};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use stillpoint_lab::{Lab, LabConfig, Redundancy, SiteName, VolumeConfig, VolumeLayout};
use stillpoint_shard::{BrickMap, OpenOptions, ShardError, ShardedFile, Topology, Volume};
use stillpoint_storage::Storage;

pub(crate) use audit::{audit, audits_clean};
pub(crate) use compare::{all_zeros, equal, equals_the_mounts, listed, most, only, some, subsets, whole};
pub(crate) use deleted::{deleted_are_saved, missed_deletions_are_told};
pub(crate) use made::{Made, brick_paths, undescribed, volume_of};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const SHARD: u64 = 4 * MIB;

/// A lab without guest and session, taken down at the end of the test.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
}

impl Bench {
    pub(crate) fn up(
        instance: &str,
        primary: (Redundancy, u16),
        secondary: (Redundancy, u16),
        options: &[(&str, &str)],
    ) -> Self {
        let volume = |name: &str, (redundancy, subvolumes), options: &[(&str, &str)]| VolumeConfig {
            name: name.to_owned(),
            layout: VolumeLayout { redundancy, subvolumes },
            shard_mib: Some(SHARD.div_euclid(MIB) as u32),
            options: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let config = LabConfig {
            guest: None,
            session: None,
            primary: volume("gv1", primary, options),
            secondary: volume("gv2", secondary, &[]),
            ..LabConfig::named(instance)
        };
        // What an earlier test left that was killed.
        if stillpoint_lab::instances().unwrap().iter().any(|name| name == instance) {
            Lab::down(instance).unwrap();
        }
        Self { lab: Lab::up(&config).unwrap() }
    }

    pub(crate) fn mount(&self, site: SiteName) -> PathBuf {
        self.lab.site(site).host_mount()
    }

    /// The volume of a site, described by glusterd's directory, without some of its bricks.
    pub(crate) fn volume(&self, site: SiteName, missing: &[usize]) -> Volume {
        self.try_volume(site, missing).unwrap()
    }

    /// The same where it may be that none of its bricks is left.
    pub(crate) fn try_volume(&self, site: SiteName, missing: &[usize]) -> Result<Volume, ShardError> {
        volume_of(self.lab.site(site), &self.lab.config().volume(site).name, missing, OpenOptions::default())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lab.keep_logs(self.lab.instance());
        }
        if let Err(error) = Lab::down(self.lab.instance()) {
            eprintln!("the lab can't be taken down: {error}");
        }
    }
}

/// Whether all is asked for, however long it takes.
pub(crate) fn full() -> bool {
    std::env::var_os("STILLPOINT_FULL").is_some_and(|value| value == "1")
}

pub(crate) fn pattern(seed: u64, len: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    // By words: more than a gigabyte is made, without optimisation.
    let mut bytes = vec![0; len.next_multiple_of(8) as usize];
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        word.copy_from_slice(&(state ^ state >> 29).to_be_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}

pub(crate) fn put(path: &Path, offset: u64, seed: u64, len: u64) {
    let file = Open::new().create(true).truncate(false).write(true).open(path).unwrap();
    file.write_all_at(&pattern(seed, len), offset).unwrap();
    file.sync_all().unwrap();
}

/// Writes files of every awkward size and history through a mount; their paths in the volume.
pub(crate) fn write_files(mount: &Path) -> Vec<String> {
    let mut names = Vec::new();
    fs::create_dir_all(mount.join("vms/a b")).unwrap();
    for (number, size) in [0, 1, SHARD - 1, SHARD, SHARD + 1, 3 * SHARD + 777].into_iter().enumerate() {
        let name = format!("vms/a b/size-{size}");
        put(&mount.join(&name), 0, number as u64 + 1, size);
        names.push(name);
    }
    let len = |path: &str, len| Open::new().write(true).open(mount.join(path)).unwrap().set_len(len).unwrap();

    // Sparse in the middle and at the end; shards 1, 4, 5 and 9 to 11 are never written.
    put(&mount.join("sparse"), 0, 20, MIB);
    for (index, at) in [(2, 100), (3, 0), (6, SHARD - 50), (7, 5), (8, MIB)] {
        put(&mount.join("sparse"), index * SHARD + at, 20 + index, 3000);
    }
    len("sparse", 12 * SHARD + 5);
    put(&mount.join("cut"), 0, 40, 6 * SHARD);
    len("cut", 2 * SHARD + 1000);
    len("cut", 5 * SHARD);
    put(&mount.join("punched"), 0, 50, 4 * SHARD);
    let file = Open::new().write(true).open(mount.join("punched")).unwrap();
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, flags, SHARD + MIB, 2 * SHARD).unwrap();
    drop(file);
    // Renames leave the base where it was, with a link file where the new name hashes.
    for number in 0..8 {
        let new = format!("renamed-{number}");
        put(&mount.join("to-rename"), 0, 60 + number, 2 * SHARD + 9);
        fs::rename(mount.join("to-rename"), mount.join(&new)).unwrap();
        names.push(new);
    }
    put(&mount.join("linked"), 0, 70, SHARD + 5);
    fs::hard_link(mount.join("linked"), mount.join("vms/other name")).unwrap();
    names.extend(["sparse", "cut", "punched", "linked", "vms/other name"].map(str::to_owned));
    // A renamed symbolic link has one of DHT's link files, too.
    for number in 0..4 {
        let old = mount.join("to-rename");
        symlink("sparse", &old).unwrap();
        fs::rename(&old, mount.join(format!("vms/link-{number}"))).unwrap();
    }
    names
}

pub(crate) fn read(file: &ShardedFile) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0xee; file.size() as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn open(volume: &Volume, name: &str) -> Result<ShardedFile, ShardError> {
    volume.open_file(&name.parse().unwrap())
}
