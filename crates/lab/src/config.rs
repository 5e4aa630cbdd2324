//! What a lab is to look like.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::layout::{Redundancy, VolumeLayout};

/// The two sites. A is the primary: guests run there. B is the secondary: replication ends there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SiteName {
    /// The primary site.
    A,
    /// The secondary site.
    B,
}

impl SiteName {
    /// Both sites.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The name the site's host has: `siteA` or `siteB`.
    #[must_use]
    pub fn host(self) -> &'static str {
        match self {
            Self::A => "siteA",
            Self::B => "siteB",
        }
    }

    /// `a` or `b`, for names of interfaces and namespaces.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())
    }
}

impl FromStr for SiteName {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "A" | "a" | "siteA" | "sitea" => Ok(Self::A),
            "B" | "b" | "siteB" | "siteb" => Ok(Self::B),
            other => Err(LabError::Invalid(format!("{other:?} is no site: A (primary) or B (secondary)"))),
        }
    }
}

/// One site's volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeConfig {
    /// The volume's name.
    pub name: String,
    /// Its layout.
    pub layout: VolumeLayout,
    /// Shard size in MiB, 4 or more; `None` leaves sharding off.
    pub shard_mib: Option<u32>,
    /// More `gluster volume set` options.
    #[serde(default)]
    pub options: Vec<(String, String)>,
}

/// The geo-replication session from site A's volume to site B's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Sets `secondary-access-mount`. Left at Gluster's default `false`, rsync 3.5.0 at the secondary transfers
    /// nothing and reports success.
    pub secondary_access_mount: bool,
    /// `use-meta-volume`: one active worker per replica set, by a lock on a shared volume made for it.
    pub use_meta_volume: bool,
    /// The primary volume's `changelog.rollover-time` in seconds (Gluster's default: 15).
    pub rollover_seconds: u32,
    /// The session's `rsync-options`; empty leaves Gluster's default.
    pub rsync_options: String,
    /// Whether the session is started and waited for, or left `Created`.
    pub start: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            secondary_access_mount: true,
            use_meta_volume: false,
            rollover_seconds: 3,
            rsync_options: "--modify-window=-1 --whole-file".to_owned(),
            start: true,
        }
    }
}

/// The guest at site A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestConfig {
    /// The domain's name.
    pub name: String,
    /// Sizes of its disks in MiB (vda, vdb, …), 64 or more each; the guest writes to all of them.
    pub disks_mib: Vec<u32>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Pause between two rounds of writing, in milliseconds.
    pub pause_ms: u32,
    /// How many files each disk keeps: the oldest is removed for each new one.
    pub keep_files: u32,
    /// The largest file it writes, in KiB.
    pub largest_file_kib: u32,
    /// Whether `qemu-ga` runs in it, for freeze and thaw.
    pub agent: bool,
}

impl Default for GuestConfig {
    fn default() -> Self {
        Self {
            name: "guest1".to_owned(),
            disks_mib: vec![1024],
            memory_mib: 256,
            pause_ms: 200,
            keep_files: 128,
            largest_file_kib: 256,
            agent: true,
        }
    }
}

/// A lab: both sites, what runs there, and how they are joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabConfig {
    /// The instance's name: 1 to 10 characters of a-z, 0-9, the first a letter. Labs of different names stand
    /// side by side.
    pub instance: String,
    /// Size of each site's sparse file system for bricks, in GiB.
    pub bricks_gib: u32,
    /// Site A's volume.
    pub primary: VolumeConfig,
    /// Site B's volume.
    pub secondary: VolumeConfig,
    /// The session between them; `None` makes none.
    pub session: Option<SessionConfig>,
    /// The guest at site A, started and waited for; `None` makes none.
    pub guest: Option<GuestConfig>,
    /// Whether missing Debian packages may be installed.
    pub install_packages: bool,
}

impl Default for LabConfig {
    fn default() -> Self {
        Self {
            instance: "default".to_owned(),
            bricks_gib: 16,
            primary: VolumeConfig {
                name: "gv1".to_owned(),
                layout: VolumeLayout { redundancy: Redundancy::Replica(2), subvolumes: 2 },
                shard_mib: Some(4),
                options: Vec::new(),
            },
            secondary: VolumeConfig {
                name: "gv2".to_owned(),
                layout: VolumeLayout { redundancy: Redundancy::None, subvolumes: 2 },
                shard_mib: Some(4),
                options: Vec::new(),
            },
            session: Some(SessionConfig::default()),
            guest: Some(GuestConfig::default()),
            install_packages: true,
        }
    }
}

impl LabConfig {
    /// The default lab under another name.
    #[must_use]
    pub fn named(instance: impl Into<String>) -> Self {
        Self { instance: instance.into(), ..Self::default() }
    }

    /// The volume at a site.
    #[must_use]
    pub fn volume(&self, site: SiteName) -> &VolumeConfig {
        match site {
            SiteName::A => &self.primary,
            SiteName::B => &self.secondary,
        }
    }

    /// Refuses what could only fail later, half-made.
    ///
    /// # Errors
    /// [`LabError::Invalid`] says which value is wrong.
    pub fn check(&self) -> Result<()> {
        crate::instance::check_name(&self.instance)?;
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= 32
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        for site in SiteName::ALL {
            let volume = self.volume(site);
            if !plain(&volume.name) {
                return Err(LabError::Invalid(format!("{:?} is no name for a volume", volume.name)));
            }
            if volume.shard_mib.is_some_and(|size| size < 4) {
                return Err(LabError::Invalid("shards are 4 MiB or larger".to_owned()));
            }
        }
        if self.bricks_gib == 0 {
            return Err(LabError::Invalid("the bricks' file systems need 1 GiB or more".to_owned()));
        }
        if let Some(guest) = &self.guest {
            if !plain(&guest.name) {
                return Err(LabError::Invalid(format!("{:?} is no name for a guest", guest.name)));
            }
            if guest.disks_mib.is_empty() || guest.disks_mib.len() > 8 {
                return Err(LabError::Invalid("a guest has 1 to 8 disks".to_owned()));
            }
            let need = u64::from(guest.keep_files) * u64::from(guest.largest_file_kib) / 1024 + 32;
            if let Some(small) = guest.disks_mib.iter().find(|&&size| u64::from(size) < need.max(64)) {
                return Err(LabError::Invalid(format!(
                    "a disk of {small} MiB is too small: {} files of up to {} KiB need {need} MiB",
                    guest.keep_files, guest.largest_file_kib
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_lab_is_sound_and_survives_json() {
        let config = LabConfig::named("one");
        config.check().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LabConfig>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<LabConfig>("{}").unwrap(), LabConfig::default());
    }

    #[test]
    fn a_disk_too_small_for_its_files_is_refused() {
        let guest = GuestConfig { disks_mib: vec![64], keep_files: 1000, ..GuestConfig::default() };
        let config = LabConfig { guest: Some(guest), ..LabConfig::default() };
        assert!(config.check().unwrap_err().to_string().contains("too small"));
    }
}
