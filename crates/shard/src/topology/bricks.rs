//! A topology from nothing but brick directories.

use std::path::{Path, PathBuf};

use super::{Brick, BrickName, Munging, Origin, Subvolume, SubvolumeKind, Topology};
use crate::ShardError;
use crate::raw::xattr::{self, Layout};
use crate::tree::{BrickTree, Directory, FoundDirectory};

/// What a brick tells about its place in the volume.
struct Own {
    tree: BrickTree,
    /// Its part of the hash space in `/.shard`, if it has one.
    shard: Option<(u32, u32)>,
    /// The same of the root directory.
    root: Option<(u32, u32)>,
    dispersed: bool,
}

impl Topology {
    /// Makes a topology of brick directories alone: those with the same DHT layout are a replica set.
    ///
    /// What bricks don't tell stays unknown, and becomes an error where it matters: AFR's names, so that
    /// non-zero counters can't be attributed; arbiters, so that sets with nothing but empty files can't be
    /// read; and bricks that were not given. That a whole subvolume is left out shows in the layouts, unless no
    /// hash belongs to it any more, as when it is being removed: give all bricks.
    ///
    /// # Errors
    /// When a directory is no brick, they are not of one volume, or their layouts contradict each other.
    pub fn from_bricks<P: AsRef<Path>>(bricks: &[P]) -> Result<Self, ShardError> {
        let found = bricks.iter().map(|path| own(path.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let Some(id) = found.first().map(|own| own.tree.volume_id) else {
            return Err(ShardError::Spec {
                what: "the list of bricks".to_owned(),
                problem: "it is empty".to_owned(),
            });
        };
        if let Some(other) = found.iter().find(|own| own.tree.volume_id != id) {
            return Err(ShardError::NotABrick {
                path: other.tree.local.clone(),
                problem: format!("it belongs to volume {}, the first one to {id}", other.tree.volume_id),
            });
        }
        let volume = id.to_string();
        if let Some(own) = found.iter().find(|own| own.dispersed) {
            let what = format!("brick {} is of a dispersed volume, which is not decoded yet", own.tree.name);
            return Err(ShardError::Unsupported { volume, what });
        }
        let subvolumes = group(found)?
            .into_iter()
            .enumerate()
            .map(|(number, bricks)| Subvolume {
                name: format!("subvolume-{number}"),
                kind: SubvolumeKind::Replicate,
                bricks,
            })
            .collect();
        Ok(Self { volume, id: Some(id), origin: Origin::Bricks, subvolumes, munging: Munging::Default })
    }
}

fn own(path: &Path) -> Result<Own, ShardError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let tree = BrickTree::open(BrickName::local(&path), &path, None)
        .map_err(|problem| ShardError::NotABrick { path: path.clone(), problem })?;
    let root = tree.root()?;
    let (root_layout, mut dispersed) = layout(&tree, &root)?;
    let mut shard_layout = None;
    if let FoundDirectory::Directory(shard) = tree.directory(&root, Path::new(".shard"))? {
        let (layout, also) = layout(&tree, &shard)?;
        shard_layout = layout;
        dispersed |= also;
    }
    Ok(Own { tree, shard: shard_layout, root: root_layout, dispersed })
}

/// A directory's range of hashes, if it has one, and whether the directory is of a dispersed volume.
fn layout(tree: &BrickTree, dir: &Directory) -> Result<(Option<(u32, u32)>, bool), ShardError> {
    let fail = |error| ShardError::io("read the xattrs of", tree.local.join(&dir.path), error);
    let xattrs = tree.xattrs(&dir.fd, &dir.path).map_err(fail)?;
    let dispersed = xattrs.names().iter().any(|name| name.starts_with(xattr::EC_PREFIX));
    let value = xattrs.get(&dir.fd, xattr::DHT).map_err(fail)?;
    let layout = value.as_deref().and_then(xattr::layout).filter(|layout| !layout.is_empty());
    Ok((layout.map(|Layout { start, stop, .. }| (start, stop)), dispersed))
}

/// Puts bricks with the same range together: in `/.shard`, or in the root where that has none.
fn group(found: Vec<Own>) -> Result<Vec<Vec<Brick>>, ShardError> {
    /// Bricks of one range, by the range in `/.shard` and in the root.
    struct Group {
        shard: Option<(u32, u32)>,
        root: Option<(u32, u32)>,
        bricks: Vec<BrickName>,
    }
    let mut groups: Vec<Group> = Vec::new();
    // Those with a range in /.shard first, so that a brick that missed its making finds its set by the root's.
    let (with, without): (Vec<Own>, Vec<Own>) = found.into_iter().partition(|own| own.shard.is_some());
    for own in with.into_iter().chain(without) {
        let same = |group: &&mut Group| match own.shard {
            Some(_) => group.shard == own.shard,
            None => own.root.is_some() && group.root == own.root,
        };
        match groups.iter_mut().find(same) {
            Some(group) if group.root != own.root => {
                return Err(contradiction(
                    &own.tree.local,
                    "of the root and of /.shard put it into different sets",
                ));
            }
            Some(group) => group.bricks.push(own.tree.name),
            None => groups.push(Group { shard: own.shard, root: own.root, bricks: vec![own.tree.name] }),
        }
    }
    for ranges in [|group: &Group| group.shard, |group: &Group| group.root] {
        let mut ranges: Vec<_> =
            groups.iter().filter_map(|group| Some((ranges(group)?, group.bricks.first()?))).collect();
        ranges.sort_unstable_by_key(|(range, _)| *range);
        for pair in ranges.windows(2) {
            if let [((_, stop), _), ((start, _), brick)] = pair
                && start <= stop
            {
                return Err(contradiction(&brick.path, "overlaps another's"));
            }
        }
    }
    groups.sort_by_key(|group| (group.shard.is_none(), group.shard, group.root));
    let brick = |name| Brick { name, client: None, arbiter: false, decommissioned: false };
    Ok(groups.into_iter().map(|group| group.bricks.into_iter().map(brick).collect()).collect())
}

fn contradiction(path: &Path, problem: &str) -> ShardError {
    ShardError::NotABrick {
        path: PathBuf::from(path),
        problem: format!("its DHT layout {problem}; describe the volume by glusterd's directory of it"),
    }
}
