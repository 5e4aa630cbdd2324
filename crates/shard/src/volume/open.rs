//! Finding the bricks of a volume on this machine.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use super::{Inner, OpenOptions, order, shards};
use crate::ShardError;
use crate::cache::Cache;
use crate::error::MissingBrick;
use crate::finding::Findings;
use crate::set::{DirState, Set};
use crate::split_brain::SplitBrainChoice;
use crate::topology::{Brick, BrickMap, SubvolumeKind, Topology};
use crate::tree::BrickTree;

/// A brick that is here, and whether it was looked for at its own path only.
struct Here {
    tree: BrickTree,
    guessed: bool,
}

impl Inner {
    pub(super) fn open(
        topology: Topology,
        map: &BrickMap,
        options: &OpenOptions,
    ) -> Result<Self, ShardError> {
        map.check(&topology)?;
        for choice in &options.split_brain {
            if let SplitBrainChoice::SourceBrick(brick) = choice
                && !topology.bricks().any(|known| known.name == *brick)
            {
                let have = topology.bricks().map(|known| known.name.clone()).collect();
                return Err(ShardError::NoSuchBrick {
                    brick: brick.clone(),
                    volume: topology.volume.clone(),
                    have,
                });
            }
        }
        let mut bricks = topology
            .bricks()
            .map(|brick| look_for(brick, &topology, map))
            .collect::<Result<Vec<Result<Here, String>>, _>>()?;
        refuse_shared_directories(&mut bricks)?;
        let id = one_id(&topology, &bricks)?;
        let mut trees = bricks.into_iter().map(|brick| brick.map(|here| here.tree));
        let sets: Vec<Set> = topology
            .subvolumes
            .iter()
            .map(|subvolume| {
                let trees = trees.by_ref().take(subvolume.bricks.len()).collect();
                Set::new(subvolume.clone(), trees, options)
            })
            .collect();
        for set in &sets {
            if let (SubvolumeKind::Disperse { redundancy }, None) = (set.subvolume.kind, set.code) {
                let (name, bricks) = (&set.subvolume.name, set.subvolume.bricks.len());
                let what = format!(
                    "subvolume {name} is dispersed over {bricks} bricks of which {redundancy} may be lost, and \
                     Gluster makes no such sets"
                );
                return Err(ShardError::Unsupported { volume: topology.volume.clone(), what });
            }
        }
        let sets = sets
            .into_iter()
            .map(|set| order::put_in_order(set, &topology.volume, options))
            .collect::<Result<Vec<_>, _>>()?;
        let topology =
            Topology { subvolumes: sets.iter().map(|set| set.subvolume.clone()).collect(), ..topology };
        let roots = sets.iter().map(Set::root).collect::<Result<Vec<_>, _>>()?;
        let shard_dirs = shards::shard_dirs(&sets, &roots)?;
        let any_shards = shard_dirs.iter().any(|dir| dir.state == DirState::Present);
        let all_sets_known = Self::knows_all_sets(&topology, if any_shards { &shard_dirs } else { &roots });
        // A dispersed shard is as many open files as it takes fragments.
        let files = |set: &Set| match set.code {
            Some(code) if !options.compare => code.data(),
            // All are opened where they are compared.
            _ if options.compare => set.trees.len().max(1),
            _ => 1,
        };
        let files = sets.iter().map(files).max().unwrap_or(1);
        let cache = Cache::new(options.max_open_shards / files);
        Ok(Self {
            topology,
            id,
            sets,
            shard_dirs,
            all_sets_known,
            cache,
            next_file: AtomicU64::new(0),
            options: options.clone(),
            told: Findings::default(),
            nameless: OnceLock::new(),
        })
    }
}

/// Opens a brick where `map` says that it is, or at its own path.
fn look_for(brick: &Brick, topology: &Topology, map: &BrickMap) -> Result<Result<Here, String>, ShardError> {
    let right_volume = |tree: BrickTree| match topology.id {
        Some(id) if id != tree.volume_id => {
            Err(format!("the directory there belongs to the volume with id {}, not {id}", tree.volume_id))
        }
        _ => Ok(tree),
    };
    let open = |local: &Path, dump: Option<&Path>| {
        BrickTree::open(brick.name.clone(), local, dump).and_then(right_volume)
    };
    if !brick.name.is_given() {
        return Ok(Err("it was not given".to_owned()));
    }
    match map.get(&brick.name) {
        Some(mapping) => match &mapping.local {
            None => Ok(Err("it was said not to be here".to_owned())),
            // What was named by hand and can't be used is an error at once.
            Some(local) => match open(local, mapping.xattr_dump.as_deref()) {
                Ok(tree) => Ok(Ok(Here { tree, guessed: false })),
                Err(problem) => Err(ShardError::NotABrick { path: local.clone(), problem }),
            },
        },
        None if map.looks_at_own_paths() => {
            let opened = open(&brick.name.path, None).map(|tree| Here { tree, guessed: true });
            Ok(opened.map_err(|why| format!("looked for at {}: {why}", brick.name.path.display())))
        }
        None => Ok(Err("it was not said where it is".to_owned())),
    }
}

/// Two bricks can't be in one directory. Where that comes of looking at their own paths, as of bricks of the
/// same path on two hosts, those looked for count as missing.
fn refuse_shared_directories(bricks: &mut [Result<Here, String>]) -> Result<(), ShardError> {
    let places: Vec<Option<(u64, u64)>> =
        bricks.iter().map(|brick| brick.as_ref().ok().map(|here| here.tree.identity)).collect();
    for (i, brick) in bricks.iter_mut().enumerate() {
        let Ok(here) = brick else { continue };
        let shared = places.iter().enumerate().any(|(j, place)| i != j && *place == Some(here.tree.identity));
        if shared && here.guessed {
            *brick = Err(format!(
                "another brick of the volume is also at {}; say with --map which one it is",
                here.tree.local.display()
            ));
        }
    }
    let mut named: Vec<_> = bricks.iter().filter_map(|brick| brick.as_ref().ok()).collect();
    named.sort_by_key(|here| here.tree.identity);
    for pair in named.windows(2) {
        if let [first, second] = pair
            && first.tree.identity == second.tree.identity
        {
            return Err(ShardError::NotABrick {
                path: second.tree.local.clone(),
                problem: format!("it is given as {} and as {}", first.tree.name, second.tree.name),
            });
        }
    }
    Ok(())
}

/// The id that all bricks carry.
fn one_id(topology: &Topology, bricks: &[Result<Here, String>]) -> Result<Uuid, ShardError> {
    let mut here = bricks.iter().filter_map(|brick| brick.as_ref().ok());
    let Some(first) = here.next() else {
        let missing = topology.bricks().zip(bricks).filter_map(|(brick, found)| {
            let why = found.as_ref().err()?.clone();
            Some(MissingBrick { brick: brick.name.clone(), why })
        });
        return Err(ShardError::NoBricks { volume: topology.volume.clone(), missing: missing.collect() });
    };
    match here.find(|here| here.tree.volume_id != first.tree.volume_id) {
        Some(other) => Err(ShardError::NotABrick {
            path: other.tree.local.clone(),
            problem: format!(
                "it belongs to the volume with id {}, but {} to that with id {}",
                other.tree.volume_id,
                first.tree.local.display(),
                first.tree.volume_id
            ),
        }),
        None => Ok(first.tree.volume_id),
    }
}
