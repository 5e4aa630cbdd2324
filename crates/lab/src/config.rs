//! What a lab is to look like.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};

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

/// How the bricks of one subvolume hold its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redundancy {
    /// One brick, one copy.
    None,
    /// As many copies as bricks, 2 or more.
    Replica(u16),
    /// Two copies and a third brick that holds names and attributes only.
    Arbiter,
    /// Erasure coding: `data` fragments suffice, `parity` more may be lost.
    Disperse {
        /// Bricks that must be there.
        data: u16,
        /// Bricks that may be missing.
        parity: u16,
    },
}

/// The layout of a volume: so many subvolumes of one kind. As text `distribute:2`, `replica2:2`, `replica3:1`,
/// `arbiter:2` or `disperse4+2:1`; the number behind the colon counts subvolumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeLayout {
    /// What each subvolume is.
    pub redundancy: Redundancy,
    /// How many subvolumes files are distributed over, 1 or more.
    pub subvolumes: u16,
}

impl VolumeLayout {
    /// How many bricks each subvolume has.
    #[must_use]
    pub fn bricks_per_subvolume(self) -> usize {
        usize::from(match self.redundancy {
            Redundancy::None => 1,
            Redundancy::Replica(count) => count,
            Redundancy::Arbiter => 3,
            Redundancy::Disperse { data, parity } => data.saturating_add(parity),
        })
    }

    /// How many bricks the volume has.
    #[must_use]
    pub fn bricks(self) -> usize {
        self.bricks_per_subvolume() * usize::from(self.subvolumes)
    }

    /// The words between the volume's name and its bricks in `gluster volume create`.
    pub(crate) fn create_arguments(self) -> Vec<String> {
        let words = match self.redundancy {
            Redundancy::None => Vec::new(),
            Redundancy::Replica(count) => vec!["replica".to_owned(), count.to_string()],
            Redundancy::Arbiter => ["replica", "3", "arbiter", "1"].map(str::to_owned).to_vec(),
            Redundancy::Disperse { data, parity } => {
                let all = data.saturating_add(parity).to_string();
                vec!["disperse".to_owned(), all, "redundancy".to_owned(), parity.to_string()]
            }
        };
        words
    }
}

impl fmt::Display for VolumeLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.redundancy {
            Redundancy::None => write!(f, "distribute")?,
            Redundancy::Replica(count) => write!(f, "replica{count}")?,
            Redundancy::Arbiter => write!(f, "arbiter")?,
            Redundancy::Disperse { data, parity } => write!(f, "disperse{data}+{parity}")?,
        }
        write!(f, ":{}", self.subvolumes)
    }
}

impl FromStr for VolumeLayout {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            LabError::Invalid(format!(
                "{text:?} is no volume layout; write e.g. distribute:2, replica2:2, arbiter:1 or disperse4+2:1"
            ))
        };
        let (kind, count) = text.split_once(':').ok_or_else(wrong)?;
        let subvolumes: u16 = count.parse().map_err(|_| wrong())?;
        let redundancy = if kind == "distribute" {
            Redundancy::None
        } else if kind == "arbiter" {
            Redundancy::Arbiter
        } else if let Some(copies) = kind.strip_prefix("replica") {
            Redundancy::Replica(copies.parse().map_err(|_| wrong())?)
        } else if let Some((data, parity)) =
            kind.strip_prefix("disperse").and_then(|rest| rest.split_once('+'))
        {
            Redundancy::Disperse {
                data: data.parse().map_err(|_| wrong())?,
                parity: parity.parse().map_err(|_| wrong())?,
            }
        } else {
            return Err(wrong());
        };
        let sound = match redundancy {
            Redundancy::None | Redundancy::Arbiter => true,
            Redundancy::Replica(count) => (2..=8).contains(&count),
            // Gluster wants more data than parity, and no more than 16 data bricks.
            Redundancy::Disperse { data, parity } => (2..=16).contains(&data) && parity >= 1 && parity < data,
        };
        if !sound || !(1..=16).contains(&subvolumes) {
            return Err(wrong());
        }
        Ok(Self { redundancy, subvolumes })
    }
}

impl Serialize for VolumeLayout {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VolumeLayout {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
            rsync_options: "--modify-window=-1".to_owned(),
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
    fn layouts_read_back_as_they_are_written() {
        for text in ["distribute:2", "replica2:2", "replica3:1", "arbiter:2", "disperse4+2:1"] {
            let layout: VolumeLayout = text.parse().unwrap();
            assert_eq!(layout.to_string(), text);
        }
    }

    #[test]
    fn layouts_that_gluster_would_refuse_are_refused() {
        for text in ["", "replica2", "replica1:2", "replica2:0", "disperse2+2:1", "disperse4+0:1", "stripe:2"]
        {
            assert!(text.parse::<VolumeLayout>().is_err(), "{text}");
        }
    }

    #[test]
    fn brick_counts_follow_the_layout() {
        let count = |text: &str| text.parse::<VolumeLayout>().unwrap().bricks();
        assert_eq!(count("replica2:2"), 4);
        assert_eq!(count("arbiter:2"), 6);
        assert_eq!(count("disperse4+2:1"), 6);
        assert_eq!(count("distribute:3"), 3);
    }

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
        let mut config = LabConfig::default();
        config.guest = Some(GuestConfig { disks_mib: vec![64], keep_files: 1000, ..GuestConfig::default() });
        assert!(config.check().unwrap_err().to_string().contains("too small"));
    }
}
