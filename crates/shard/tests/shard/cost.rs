//! What reading and mapping cost: bytes that the kernel was asked for, by its own count for the thread.

use std::fs;

use stillpoint_shard::{OpenOptions, Topology, Volume};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, pattern};

const SHARD: u64 = 256 << 10;

/// Bytes that this thread read so far, and calls that it did so with; `None` where the kernel doesn't count them.
fn read_so_far() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((count("rchar:")?, count("syscr:")?))
}

/// What `work` reads. To look at the count is to read, too.
fn read_by(work: impl FnOnce()) -> Option<(u64, u64)> {
    let (before, between) = (read_so_far()?, read_so_far()?);
    work();
    let after = read_so_far()?;
    let own = |a: u64, b: u64, c: u64| (c - b).saturating_sub(b - a);
    // The count may grow by a digit.
    Some((own(before.0, between.0, after.0).saturating_sub(16), own(before.1, between.1, after.1)))
}

/// A file of eight shards, one of them a hole.
fn built(shape: Shape) -> (Built, Vec<u8>) {
    let mut built = build(Shape { shard_size: SHARD, ..shape });
    let mut model = pattern(1, 8 * SHARD as usize);
    model[3 * SHARD as usize..4 * SHARD as usize].fill(0);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model[..3 * SHARD as usize]).unwrap();
    built.trees.write("disk", 4 * SHARD, &model[4 * SHARD as usize..]).unwrap();
    built.trees.save().unwrap();
    (built, model)
}

fn open(built: &Built) -> stillpoint_shard::ShardedFile {
    let topology: Topology = built.topology();
    let volume = Volume::open(topology, &built.map(&[]), OpenOptions::default()).unwrap();
    volume.open_file(&"disk".parse().unwrap()).unwrap()
}

#[test]
fn extents_are_told_without_reading_a_byte() {
    for shape in
        [Shape { replicas: 2, ..Shape::default() }, Shape { replicas: 3, redundancy: 1, ..Shape::default() }]
    {
        let (built, _) = built(shape);
        let file = open(&built);
        let mut holes = 0;
        let Some(read) = read_by(|| {
            let all: Vec<_> = extents(&file).map(Result::unwrap).collect();
            holes = all.iter().filter(|extent| extent.kind == ExtentKind::Hole).count();
            assert!(file.allocated().is_some());
        }) else {
            println!("skipped: the kernel counts no reads");
            return;
        };
        assert_eq!((read, holes), ((0, 0), 1));
    }
}

/// A stripe of 4+2 is 2048 bytes, in fragments of 512.
#[test]
fn a_part_of_a_dispersed_file_costs_the_stripes_that_it_touches() {
    let (built, model) = built(Shape { replicas: 6, redundancy: 2, ..Shape::default() });
    let file = open(&built);
    for (offset, len, stripes) in [(5, 1, 1), (2047, 2, 2), (5 * SHARD + 4096, 2048, 1), (SHARD - 1, 2, 2)] {
        let mut got = vec![0xee; len];
        let Some((bytes, _)) = read_by(|| file.read_exact_at(offset, &mut got).unwrap()) else {
            println!("skipped: the kernel counts no reads");
            return;
        };
        assert_eq!(got, model[offset as usize..][..len]);
        assert!(bytes <= stripes * 4 * 512, "{bytes} bytes were read for {len} at {offset}");
    }
}
