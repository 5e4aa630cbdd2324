//! Opening what the testkit built.

use std::path::Path;

use proptest::prelude::*;
use stillpoint_shard::{BrickMap, BrickName, OpenOptions, ShardError, ShardedFile, Topology, Volume};
use stillpoint_storage::Storage;
use stillpoint_testkit::volume::{BrickTrees, Shape};
use tempfile::TempDir;

/// A built volume and the directory that it lives in.
pub(crate) struct Built {
    pub(crate) dir: TempDir,
    pub(crate) trees: BrickTrees,
}

/// Subvolumes, bricks of each, how many of these hold redundant fragments, and whether the last is an arbiter.
pub(crate) type Kind = (usize, usize, usize, bool);

pub(crate) fn shape_of((subvolumes, replicas, redundancy, arbiter): Kind, shard_size: u64) -> Shape {
    Shape { subvolumes, replicas, redundancy, arbiter, shard_size, ..Shape::default() }
}

/// Any of these kinds, with any of the first three subvolumes the first of the layout.
pub(crate) fn any_shape(kinds: &[Kind], shard_size: u64) -> impl Strategy<Value = Shape> + use<> {
    (prop::sample::select(kinds.to_vec()), 0..3_usize).prop_map(move |(kind, rotation)| {
        let shape = shape_of(kind, shard_size);
        Shape { rotation: rotation % shape.subvolumes, ..shape }
    })
}

/// Builds an empty volume.
pub(crate) fn build(shape: Shape) -> Built {
    let dir = tempfile::tempdir().unwrap();
    let trees = BrickTrees::create(dir.path(), shape).unwrap();
    Built { dir, trees }
}

impl Built {
    /// Saves it and writes glusterd's directory of it anew.
    pub(crate) fn topology(&self) -> Topology {
        self.trees.save().unwrap();
        let glusterd = self.dir.path().join("glusterd");
        if glusterd.exists() {
            std::fs::remove_dir_all(&glusterd).unwrap();
        }
        self.trees.write_glusterd_directory(&glusterd).unwrap();
        Topology::load(&glusterd, None).unwrap()
    }

    pub(crate) fn name(&self, brick: usize) -> BrickName {
        self.trees.brick_name(brick).parse().unwrap()
    }

    /// Where its bricks are, but for those that are to be missing.
    pub(crate) fn map(&self, missing: &[usize]) -> BrickMap {
        missing.iter().fold(BrickMap::default(), |map, brick| map.without(self.name(*brick)))
    }

    pub(crate) fn volume(&self, missing: &[usize]) -> Result<Volume, ShardError> {
        Volume::open(self.topology(), &self.map(missing), OpenOptions::default())
    }

    pub(crate) fn open(&self, path: &str, missing: &[usize]) -> Result<ShardedFile, ShardError> {
        self.volume(missing)?.open_file(&path.parse().unwrap())
    }

    pub(crate) fn path(&self, brick: usize, path: &str) -> std::path::PathBuf {
        self.trees.brick(brick).join(Path::new(path))
    }
}

/// All bytes of a file.
pub(crate) fn bytes(file: &ShardedFile) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0xee; usize::try_from(file.size()).unwrap()];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// The error of reading, as this crate's own.
pub(crate) fn shard_error(error: std::io::Error) -> ShardError {
    error.downcast().unwrap()
}

/// Bytes that are nowhere zero and nowhere the same for long.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 56) as u8) | 1
        })
        .collect()
}
