//! Volumes as `gluster volume info`, `volume status` and `volume heal … info summary` tell of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A brick: a host and a directory there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BrickName {
    /// The host as Gluster names it; may be an IPv6 address.
    pub host: String,
    /// The brick's directory, absolute.
    pub path: String,
}

impl BrickName {
    /// Splits `HOST:/path` at the last `:/`, so that an IPv6 address stays whole.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.rfind(":/")?;
        let (host, path) = (text.get(..at)?, text.get(at + 1..)?);
        (!host.is_empty()).then(|| Self { host: host.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for BrickName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.path)
    }
}

/// A brick of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brick {
    /// Where it is.
    pub name: BrickName,
    /// The node it belongs to (`hostUuid`), if told.
    pub node: Option<Uuid>,
    /// Whether it is an arbiter: names and xattrs, no data.
    pub arbiter: bool,
}

/// How a volume spreads and repeats its data, from the `type` number of `volume info --xml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VolumeKind {
    /// Every brick is a subvolume of its own.
    Distribute,
    /// Subvolumes are replica sets (with or without an arbiter).
    Replicate,
    /// Subvolumes are erasure-coded sets.
    Disperse,
    /// Striped, tiered, or not known here.
    Other,
}

/// A volume, as `gluster volume info --xml` tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Whether it is started (`status` 1).
    pub started: bool,
    /// How it is made up.
    pub kind: VolumeKind,
    /// Bricks in a subvolume, at least 1: `replicaCount` or `disperseCount`, and 1 for a volume that only distributes.
    /// (`distCount` is the same number for the first two, but all of the volume's bricks for the last.)
    pub bricks_per_subvolume: usize,
    /// All bricks, in the volume's order.
    pub bricks: Vec<Brick>,
    /// Options that were set (not the defaults).
    pub options: BTreeMap<String, String>,
}

impl VolumeInfo {
    /// Which replica or disperse set the brick at `index` belongs to, counted from 0: sets are consecutive runs of
    /// [`bricks_per_subvolume`](Self::bricks_per_subvolume) bricks.
    #[must_use]
    pub fn subvolume_of(&self, index: usize) -> usize {
        index / self.bricks_per_subvolume.max(1)
    }

    /// How many replica or disperse sets (or single bricks) there are.
    #[must_use]
    pub fn subvolumes(&self) -> usize {
        self.bricks.len().div_ceil(self.bricks_per_subvolume.max(1))
    }

    /// An option that is a switch; `None` when it is not set or not one of Gluster's words for yes and no.
    #[must_use]
    pub fn switch(&self, option: &str) -> Option<bool> {
        parse_switch(self.options.get(option)?)
    }

    /// Whether files made now are sharded (`features.shard`, off by default).
    #[must_use]
    pub fn sharded(&self) -> bool {
        self.switch("features.shard").unwrap_or(false)
    }

    /// The size of a shard in bytes (`features.shard-block-size`, 64 MiB by default); `None` when unreadable.
    #[must_use]
    pub fn shard_size(&self) -> Option<u64> {
        match self.options.get("features.shard-block-size") {
            Some(text) => parse_size(text),
            None => Some(64 << 20),
        }
    }

    /// How long a changelog is written before it is rolled (`changelog.rollover-time`, 15 s by default).
    #[must_use]
    pub fn rollover(&self) -> Duration {
        let seconds = self.options.get("changelog.rollover-time").and_then(|t| t.trim().parse::<u32>().ok());
        Duration::from_secs(u64::from(seconds.unwrap_or(15)))
    }
}

/// Gluster's words for yes and no.
pub(crate) fn parse_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "enable" | "1" => Some(true),
        "off" | "no" | "false" | "disable" | "0" => Some(false),
        _ => None,
    }
}

/// A size as Gluster's options take it: a number with an optional binary unit (`4MB` is 4 MiB).
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1 << 40,
        "P" | "PB" => 1 << 50,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Whether a brick's process runs, from `gluster volume status --xml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrickState {
    /// The brick.
    pub name: BrickName,
    /// Whether glusterd calls it online.
    pub online: bool,
}

/// How much room a brick's file system has, from `gluster volume status … detail --xml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrickSpace {
    /// The brick.
    pub name: BrickName,
    /// All of it, in bytes.
    pub total: u64,
    /// What is free, in bytes.
    pub free: u64,
}

/// What `gluster volume status --xml` tells of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeState {
    /// Its bricks; those of a node whose glusterd is down are missing.
    pub bricks: Vec<BrickState>,
    /// What moves its files, or did.
    pub tasks: Vec<VolumeTask>,
}

/// A rebalance or a removal of bricks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeTask {
    /// Gluster's name for it: `Rebalance`, `Remove brick`.
    pub kind: String,
    /// Whether it goes on.
    pub in_progress: bool,
}

/// What waits to be healed, from `gluster volume heal VOLUME info summary --xml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealInfo {
    /// Per brick. Empty for a volume that has nothing to heal (neither replicated nor dispersed).
    pub bricks: Vec<BrickHeal>,
}

/// What waits to be healed on one brick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrickHeal {
    /// The brick as Gluster writes it (`HOST:/path`).
    pub brick: String,
    /// Whether it answered (`Connected`).
    pub connected: bool,
    /// Entries pending in all; `None` when the brick did not answer.
    pub entries: Option<u64>,
    /// Of these, entries that are known to need healing; the others may be in use at this moment.
    pub pending: Option<u64>,
    /// Entries in split-brain; `None` when the brick did not answer or the count is not told.
    pub split_brain: Option<u64>,
}

impl HealInfo {
    /// Whether every brick answered that nothing needs healing. Entries that are only possibly being healed are those
    /// of files in use.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let clean = |b: &BrickHeal| b.pending.or(b.entries) == Some(0) && b.split_brain.unwrap_or(0) == 0;
        self.bricks.iter().all(|b| b.connected && clean(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_with_an_ipv6_host_is_split_before_the_path() {
        let brick = BrickName::parse("2001:db8::7:/bricks/b:/0").unwrap();
        // The last `:/` wins, as in Gluster's own parser; a path with `:/` in it can't be a brick's.
        assert_eq!(brick.host, "2001:db8::7:/bricks/b");
        let brick = BrickName::parse("fe80::1:/bricks/b0").unwrap();
        assert_eq!((brick.host.as_str(), brick.path.as_str()), ("fe80::1", "/bricks/b0"));
        assert_eq!(BrickName::parse("siteA"), None);
        assert_eq!(BrickName::parse(":/b0"), None);
    }

    #[test]
    fn sizes_are_binary_and_overflow_is_not_a_size() {
        assert_eq!(parse_size("4MB"), Some(4 << 20));
        assert_eq!(parse_size("67108864"), Some(64 << 20));
        assert_eq!(parse_size("512 KB"), Some(512 << 10));
        assert_eq!(parse_size("99999999999PB"), None);
        assert_eq!(parse_size("MB"), None);
        assert_eq!(parse_size("4.5MB"), None);
    }
}
