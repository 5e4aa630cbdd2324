//! Where bricks are on this machine.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{BrickName, Topology};
use crate::ShardError;

/// One brick's place on this machine: `HOST:/path=LOCAL`.
///
/// An empty `LOCAL` says that the brick is not here, even if a directory of its path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrickMapping {
    /// The brick as the topology has it.
    pub brick: BrickName,
    /// The local directory, or `None` where the brick is to count as missing.
    pub local: Option<PathBuf>,
    /// A dump of `getfattr -d -m- -e hex -R` to take the xattrs from instead of the file system.
    pub xattr_dump: Option<PathBuf>,
}

impl FromStr for BrickMapping {
    type Err = ShardError;

    /// Reads `HOST:/path=LOCAL`; the first `=` after `:/` separates.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem: &str| ShardError::Mapping { text: text.to_owned(), problem: problem.to_owned() };
        let start = text.find(":/").ok_or_else(|| fail("it is not of the form HOST:/path=LOCAL"))?;
        let at = text[start..].find('=').ok_or_else(|| fail("there is no =LOCAL"))? + start;
        let brick = text[..at].parse().map_err(|_| fail("it is not of the form HOST:/path=LOCAL"))?;
        let local = (at + 1 < text.len()).then(|| PathBuf::from(&text[at + 1..]));
        Ok(Self { brick, local, xattr_dump: None })
    }
}

/// Where the bricks of a volume are on this machine.
///
/// A brick that is not mapped is looked for at its own path: it is taken if that directory's root carries the
/// volume's id, and counts as missing otherwise. Where two bricks of the volume claim the same directory
/// that way, both count as missing until it is said which is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrickMap {
    mappings: Vec<BrickMapping>,
    only_mapped: bool,
}

impl BrickMap {
    /// No brick is looked for at its own path: what is not mapped is missing.
    #[must_use]
    pub const fn only_mapped(mut self) -> Self {
        self.only_mapped = true;
        self
    }

    /// Adds a mapping; a later one of the same brick replaces an earlier one.
    #[must_use]
    pub fn with(mut self, mapping: BrickMapping) -> Self {
        self.mappings.retain(|old| old.brick != mapping.brick);
        self.mappings.push(mapping);
        self
    }

    /// Says that `brick` is at `local`.
    #[must_use]
    pub fn at(self, brick: BrickName, local: impl AsRef<Path>) -> Self {
        self.with(BrickMapping { brick, local: Some(local.as_ref().to_owned()), xattr_dump: None })
    }

    /// Says that `brick` is at `local`, and its xattrs in the dump of `getfattr -d -m- -e hex -R` at `dump`.
    #[must_use]
    pub fn with_xattr_dump(self, brick: BrickName, local: impl AsRef<Path>, dump: impl AsRef<Path>) -> Self {
        let (local, dump) = (local.as_ref().to_owned(), dump.as_ref().to_owned());
        self.with(BrickMapping { brick, local: Some(local), xattr_dump: Some(dump) })
    }

    /// Says that `brick` is not here.
    #[must_use]
    pub fn without(self, brick: BrickName) -> Self {
        self.with(BrickMapping { brick, local: None, xattr_dump: None })
    }

    pub(crate) fn get(&self, brick: &BrickName) -> Option<&BrickMapping> {
        self.mappings.iter().find(|mapping| &mapping.brick == brick)
    }

    pub(crate) const fn looks_at_own_paths(&self) -> bool {
        !self.only_mapped
    }

    /// Refuses mappings of bricks that the volume does not have.
    pub(crate) fn check(&self, topology: &Topology) -> Result<(), ShardError> {
        for mapping in &self.mappings {
            if !topology.bricks().any(|brick| brick.name == mapping.brick) {
                let have: Vec<_> = topology.bricks().map(|brick| brick.name.to_string()).collect();
                return Err(ShardError::Mapping {
                    text: mapping.brick.to_string(),
                    problem: format!(
                        "volume {} has no such brick; it has {}",
                        topology.volume,
                        have.join(", ")
                    ),
                });
            }
        }
        Ok(())
    }
}

impl FromIterator<BrickMapping> for BrickMap {
    fn from_iter<I: IntoIterator<Item = BrickMapping>>(mappings: I) -> Self {
        mappings.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_host_path_and_local_directory() {
        let mapping: BrickMapping = "siteA:/bricks/b0=/mnt/copy=1".parse().unwrap();
        assert_eq!(mapping.brick, BrickName::new("siteA", "/bricks/b0"));
        assert_eq!(mapping.local.as_deref(), Some(Path::new("/mnt/copy=1")));
        let absent: BrickMapping = "fe80::2:/b=".parse().unwrap();
        assert_eq!((absent.brick, absent.local), (BrickName::new("fe80::2", "/b"), None));
        for bad in ["", "siteA:/b", "/b=/c", "siteA=/c", ":/b=/c"] {
            assert!(bad.parse::<BrickMapping>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_later_mapping_replaces_an_earlier_one() {
        let name = BrickName::new("h", "/b");
        let map = BrickMap::default().at(name.clone(), "/x").without(name.clone());
        assert_eq!(map.get(&name).map(|mapping| mapping.local.clone()), Some(None));
    }
}
