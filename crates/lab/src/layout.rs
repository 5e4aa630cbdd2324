//! Layouts of volumes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};

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
        match self.redundancy {
            Redundancy::None => Vec::new(),
            Redundancy::Replica(count) => vec!["replica".to_owned(), count.to_string()],
            Redundancy::Arbiter => ["replica", "3", "arbiter", "1"].map(str::to_owned).to_vec(),
            Redundancy::Disperse { data, parity } => {
                let all = data.saturating_add(parity).to_string();
                vec!["disperse".to_owned(), all, "redundancy".to_owned(), parity.to_string()]
            }
        }
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
}
