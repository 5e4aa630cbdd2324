//! Which shards of which gfids there are, on every brick.
//!
//! One pass over the names in `.shard` of each brick. It costs 16 bytes for each shard on each brick, and some tens of
//! bytes for each file that has any, whatever the bricks hold.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::report::Report;
use super::{Problem, at};
use crate::set::SetDir;
use crate::topology::BrickName;
use crate::tree::{BrickTree, Directory, FoundDirectory, Kind, for_each_name};
use crate::volume::Inner;
use crate::{ShardError, file};

/// At most so many names in `.shard` that are no shards' are told for each brick.
const STRANGERS: usize = 100;

/// One shard on one brick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    /// Which gfid: its number among those found.
    file: u32,
    /// Which brick: its number in the volume.
    brick: u32,
    shard: u64,
}

impl Name {
    const fn key(self) -> (u32, u64, u32) {
        (self.file, self.shard, self.brick)
    }
}

/// Which shards of which gfids there are.
#[derive(Debug, Default)]
pub(super) struct ShardNames {
    files: HashMap<Uuid, u32>,
    /// By gfid, then by shard.
    names: Vec<Name>,
    /// Bricks of which the names are not known.
    unlisted: Vec<u32>,
    /// The number of each set's first brick.
    first: Vec<u32>,
    /// Gfids that wait in `.remove_me`, ascending.
    removed: Vec<Uuid>,
}

/// A shard, and the bricks that have a name for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) index: u64,
    names: &'a [Name],
}

impl ShardNames {
    /// Lists `.shard` and `.shard/.remove_me` on every brick that is here. What can't be listed is reported, and of a
    /// whole volume what is no shard, too.
    pub(super) fn scan(inner: &Inner, whole: bool, report: &mut Report<'_>) -> Self {
        let mut found = Self::default();
        let mut brick = 0;
        for (set, dir) in inner.sets.iter().zip(&inner.shard_dirs) {
            found.first.push(brick);
            for (i, member) in dir.members.iter().enumerate() {
                if let (Some(tree), Some(member)) = (set.tree(i), member)
                    && let Err(error) = found.list(tree, member, brick, whole, report)
                {
                    report.not_seen(error.to_string());
                    found.unlisted.push(brick);
                }
                brick += 1;
            }
        }
        found.names.shrink_to_fit();
        found.names.sort_unstable_by_key(|name| name.key());
        found.removed.sort_unstable();
        found.removed.dedup();
        found
    }

    fn list(
        &mut self,
        tree: &BrickTree,
        dir: &Directory,
        brick: u32,
        whole: bool,
        report: &mut Report<'_>,
    ) -> Result<(), ShardError> {
        let mut strangers: Vec<PathBuf> = Vec::new();
        let each = |name: &[u8]| match shard_of(name) {
            Some((gfid, shard)) => {
                let next = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
                let file = *self.files.entry(gfid).or_insert(next);
                self.names.push(Name { file, brick, shard });
            }
            None if name == b".remove_me" => {}
            None if whole && strangers.len() < STRANGERS => {
                strangers.push(PathBuf::from(OsStr::from_bytes(name)))
            }
            None => {}
        };
        let fail = |error| ShardError::io("list", tree.local.join(&dir.path), error);
        for_each_name(tree.reopen(dir)?, each).map_err(fail)?;
        for name in strangers {
            let what = match tree.kind(dir, &name) {
                Kind::Nothing => continue,
                Kind::LinkFile | Kind::File => "a file",
                Kind::Directory => "a directory",
                Kind::Symlink => "a symbolic link",
                Kind::Special => "a special file",
            };
            let path = Path::new("/.shard").join(name);
            report
                .found(at(path, None), Problem::NoShard { brick: tree.name.clone(), what: what.to_owned() });
        }
        match tree.directory(dir, Path::new(".remove_me"))? {
            FoundDirectory::Nothing => Ok(()),
            FoundDirectory::Other if !whole => Ok(()),
            FoundDirectory::Other => {
                let (brick, what) = (tree.name.clone(), "not a directory".to_owned());
                report.found(at("/.shard/.remove_me", None), Problem::NoShard { brick, what });
                Ok(())
            }
            FoundDirectory::Directory(removed) => {
                let each = |name: &[u8]| self.removed.extend(gfid(name));
                let fail = |error| ShardError::io("list", tree.local.join(&removed.path), error);
                for_each_name(tree.reopen(&removed)?, each).map_err(fail)
            }
        }
    }

    /// How many shards there are, each counted once on whatever bricks it is.
    pub(super) fn count(&self) -> u64 {
        let differ = |pair: &[Name]| match pair {
            [a, b] => (a.file, a.shard) != (b.file, b.shard),
            _ => false,
        };
        let more = self.names.windows(2).filter(|pair| differ(pair)).count() as u64;
        more + u64::from(!self.names.is_empty())
    }

    /// The shards of a file, ascending.
    pub(super) fn of(&self, gfid: Uuid) -> Vec<Named<'_>> {
        let Some(file) = self.files.get(&gfid) else { return Vec::new() };
        let from = self.names.partition_point(|name| name.file < *file);
        let to = self.names.partition_point(|name| name.file <= *file);
        let names = self.names.get(from..to).unwrap_or_default();
        let groups = names.chunk_by(|a, b| a.shard == b.shard);
        groups.filter_map(|names| Some(Named { index: names.first()?.shard, names })).collect()
    }

    /// The gfids that have shards or wait in `.remove_me`, ascending.
    pub(super) fn gfids(&self) -> Vec<Uuid> {
        let mut gfids: Vec<Uuid> = self.files.keys().copied().chain(self.removed.iter().copied()).collect();
        gfids.sort_unstable();
        gfids.dedup();
        gfids
    }

    /// Whether a gfid has shards or waits in `.remove_me`.
    pub(super) fn knows(&self, gfid: Uuid) -> bool {
        self.files.contains_key(&gfid) || self.is_removed(gfid)
    }

    /// Whether a gfid waits in `.remove_me`.
    pub(super) fn is_removed(&self, gfid: Uuid) -> bool {
        self.removed.binary_search(&gfid).is_ok()
    }

    /// Whether all names of a set's brick are known, if it is here.
    pub(super) fn is_listed(&self, set: usize, member: usize) -> bool {
        self.number(set, member).is_none_or(|brick| !self.unlisted.contains(&brick))
    }

    /// Whether a brick has a name for a shard.
    pub(super) fn has(&self, shard: Named<'_>, set: usize, member: usize) -> bool {
        let number = self.number(set, member);
        number.is_some_and(|brick| shard.names.binary_search_by_key(&brick, |name| name.brick).is_ok())
    }

    fn number(&self, set: usize, member: usize) -> Option<u32> {
        self.first.get(set)?.checked_add(u32::try_from(member).ok()?)
    }
}

/// The brick's name and the directory `.shard` on it, where a shard is named there.
pub(super) fn places<'a>(
    inner: &'a Inner,
    names: &'a ShardNames,
    shard: Named<'a>,
) -> impl Iterator<Item = (&'a BrickTree, &'a Directory)> {
    let sets = inner.sets.iter().zip(&inner.shard_dirs).enumerate();
    sets.flat_map(move |(s, (set, dir)): (usize, (_, &SetDir))| {
        let members = dir.members.iter().enumerate();
        members.filter_map(
            move |(i, member)| {
                if names.has(shard, s, i) { Some((set.tree(i)?, member.as_ref()?)) } else { None }
            },
        )
    })
}

/// The gfid and the number in a shard's name, as Gluster writes it.
pub(super) fn shard_of(name: &[u8]) -> Option<(Uuid, u64)> {
    let (head, tail) = name.split_at_checked(36)?;
    Some((gfid(head)?, file::shard_number(tail.strip_prefix(b".")?)?))
}

/// A gfid as Gluster writes it: lower case, with hyphens.
fn gfid(name: &[u8]) -> Option<Uuid> {
    if name.len() != 36 || name.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    Uuid::try_parse_ascii(name).ok()
}

/// Names of bricks by their numbers in a set.
pub(super) fn bricks(set: &crate::set::Set, numbers: &[usize]) -> Vec<BrickName> {
    numbers.iter().map(|&i| set.brick(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_takes_sixteen_bytes() {
        assert_eq!(size_of::<Name>(), 16);
    }

    #[test]
    fn only_names_as_gluster_writes_them_are_shards() {
        let id = "8288bb2d-9cb3-4e0e-ac63-0cd006357ddc";
        let uuid: Uuid = id.parse().unwrap();
        assert_eq!(shard_of(format!("{id}.17").as_bytes()), Some((uuid, 17)));
        for bad in [
            id.to_owned(),
            format!("{id}."),
            format!("{id}.0"),
            format!("{id}.01"),
            format!("{id}x1"),
            format!("{}.1", id.to_uppercase()),
            format!("{}.1", id.replace('-', "")),
            format!("{{{id}}}.1"),
            ".remove_me".to_owned(),
        ] {
            assert_eq!(shard_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
