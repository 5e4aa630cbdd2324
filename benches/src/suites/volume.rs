//! A volume of real size to read from.

use std::path::PathBuf;

use anyhow::{Context, Result};
use stillpoint_shard::{BrickMap, BrickMapping, OpenOptions, ShardState, ShardedFile, Topology, Volume};
use stillpoint_testkit::volume::{BrickTrees, Shape};

use super::Setting;

const SHARD: u64 = 4 << 20;
pub(super) const CHUNK: usize = 1 << 20;

/// A file in shards of 4 MiB over two subvolumes, and the shards' own files in order.
#[derive(Debug)]
pub(super) struct Sharded {
    pub(super) file: ShardedFile,
    pub(super) shards: Vec<PathBuf>,
    pub(super) bytes: u64,
}

/// Builds it: 256 MiB when quick, else 2 GiB. Its xattrs are in dumps, so that any user on any file system can.
pub(super) fn build(setting: &Setting) -> Result<Sharded> {
    let bytes: u64 = if setting.quick { 256 << 20 } else { 2 << 30 };
    let dir = setting.dir.path().join("volume");
    std::fs::create_dir(&dir).context("no directory for the volume")?;
    let mut built = BrickTrees::create(&dir, Shape { subvolumes: 2, shard_size: SHARD, ..Shape::default() })?;
    built.create_file("disk.raw")?;
    let mut chunk = vec![0; CHUNK];
    for number in 0..bytes / CHUNK as u64 {
        fill(&mut chunk, number);
        built.write("disk.raw", number * CHUNK as u64, &chunk)?;
    }
    built.save()?;

    let topology = Topology::from_volume_info_xml(&built.volume_info_xml(), None)?;
    let mapping = |number: usize| -> Result<BrickMapping> {
        Ok(BrickMapping {
            brick: built.brick_name(number).parse()?,
            local: Some(built.brick(number).to_owned()),
            xattr_dump: Some(built.brick(number).with_extension("getfattr")),
        })
    };
    let map: BrickMap = (0..built.brick_count()).map(mapping).collect::<Result<_>>()?;
    let volume = Volume::open(topology, &map, OpenOptions::default())?;
    let file = volume.open_file(&"disk.raw".parse()?)?;
    let mut shards = Vec::new();
    for index in 0..file.shard_count() {
        let ShardState::Present(shard) = file.shard(index)? else { continue };
        shards.push(shard.chosen().context("no copy is chosen")?.local.clone());
    }
    Ok(Sharded { file, shards, bytes })
}

/// Bytes that don't repeat within a file (xorshift64*, from Vigna's paper).
pub(super) fn fill(chunk: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in chunk.chunks_exact_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        word.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
}
