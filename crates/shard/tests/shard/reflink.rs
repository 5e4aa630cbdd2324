//! Copying a file out of a volume whose bricks lie on a file system where files can share blocks, a real XFS.

use std::ops::ControlFlow;
use std::path::Path;

use stillpoint_shard::export::{ExportOptions, copy_file};
use stillpoint_shard::{BrickMap, OpenOptions, Topology, Volume};
use stillpoint_testkit::volume::{BrickTrees, Shape};
use stillpoint_testkit::xfs::{HostExtent, Xfs};

/// A block of the file system.
const BLOCK: u64 = 4096;
const SHARD: u64 = 64 << 10;
const SIZE: u64 = 9 * SHARD + 5000;

/// What is written, at which byte and how much: whole shards, the middle of one, and the beginning of another, whose file
/// ends there; nothing of the fourth.
const WRITTEN: [(u64, u64); 4] =
    [(0, 2 * SHARD), (2 * SHARD + 20_480, 10_000), (4 * SHARD, 10_000), (5 * SHARD, SIZE - 5 * SHARD)];

/// Where a block of a file is on the device, if it is shared.
fn shared_at(extents: &[HostExtent], offset: u64) -> Option<u64> {
    let extent =
        extents.iter().find(|extent| (extent.offset..extent.offset + extent.len).contains(&offset))?;
    extent.shared.then(|| extent.physical + (offset - extent.offset))
}

#[test]
fn whole_blocks_of_shards_are_shared_with_the_copy_and_holes_stay_holes() {
    let Some(xfs) = Xfs::mount() else { return };
    let shape = Shape { subvolumes: 2, replicas: 2, shard_size: SHARD, ..Shape::default() };
    let mut trees = BrickTrees::create(xfs.path(), shape).unwrap();
    trees.create_file("disk").unwrap();
    trees.truncate("disk", SIZE).unwrap();
    let mut expected = vec![0; SIZE as usize];
    for (start, len) in WRITTEN {
        let bytes: Vec<u8> = (start..start + len).map(|at| (at % 251) as u8 + 1).collect();
        trees.write("disk", start, &bytes).unwrap();
        expected[start as usize..(start + len) as usize].copy_from_slice(&bytes);
    }
    trees.save().unwrap();
    trees.write_glusterd_directory(&xfs.path().join("glusterd")).unwrap();
    let topology = Topology::load(xfs.path().join("glusterd"), None).unwrap();
    let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap();
    let file = volume.open_file(&"disk".parse().unwrap()).unwrap();

    let before = xfs.used();
    let done = copy_file(&file, &xfs.path().join("copy"), &ExportOptions::default(), &mut |_| {
        ControlFlow::Continue(())
    });
    let done = done.unwrap();
    let grown = xfs.used().saturating_sub(before);
    assert!(std::fs::read(xfs.path().join("copy")).unwrap() == expected);

    let copy = xfs.extents("copy");
    let name = |brick: usize, index: u64| {
        let path = if index == 0 { "disk".to_owned() } else { trees.shard_path("disk", index) };
        let full = trees.brick(brick).join(path);
        full.strip_prefix(xfs.path()).unwrap().to_str().unwrap().to_owned()
    };
    let mut shared = 0;
    for index in 0..SIZE.div_ceil(SHARD) {
        let set = trees.shard_subvolume("disk", index).unwrap();
        let copies: Vec<_> = trees
            .members(set)
            .map(|brick| name(brick, index))
            .filter(|name| Path::exists(&xfs.path().join(name)))
            .map(|name| xfs.extents(&name))
            .collect();
        let begin = index * SHARD;
        for at in (begin..(begin + SHARD).min(SIZE)).step_by(BLOCK as usize) {
            let data = WRITTEN.iter().any(|(start, len)| at < start + len && start < &(at + BLOCK));
            let whole = WRITTEN.iter().any(|(start, len)| *start <= at && at + BLOCK <= start + len);
            let ours = copy.iter().any(|e| (e.offset..e.offset + e.len).contains(&at));
            assert_eq!(ours, data, "shard {index}, byte {at}");
            if whole {
                let place = shared_at(&copy, at);
                let theirs: Vec<_> = copies.iter().map(|copy| shared_at(copy, at - begin)).collect();
                assert!(place.is_some() && theirs.contains(&place), "byte {at}: {place:?}, {theirs:?}");
                shared += BLOCK;
            }
        }
    }
    assert!(done.by_kernel >= shared && shared > 6 * SHARD, "{done:?}, {shared} bytes shared");
    assert!(grown < SHARD, "{shared} bytes are shared, and {grown} more are in use");
}
