//! Any sequence of writes, truncations and punched holes, with bricks going down and up in between.

use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use stillpoint_shard::{ShardError, ShardedFile};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::Shape;

use super::support::{any_shape, build, pattern, shard_error};

const SHARD: u64 = 1024;
const LONGEST: u64 = 12 * SHARD;

#[derive(Debug, Clone)]
enum Step {
    Write {
        offset: u64,
        len: u64,
        seed: u64,
    },
    Truncate(u64),
    Punch {
        offset: u64,
        len: u64,
    },
    /// A brick goes down, or comes up again without being healed.
    Toggle(usize),
}

fn step(bricks: usize, toggles: u32) -> impl Strategy<Value = Step> {
    let offset = 0..LONGEST - 2 * SHARD;
    let len = prop_oneof![1..64_u64, 1..2 * SHARD];
    prop_oneof![
        4 => (offset.clone(), len.clone(), any::<u64>())
            .prop_map(|(offset, len, seed)| Step::Write { offset, len, seed }),
        1 => prop_oneof![(0..=LONGEST / SHARD).prop_map(|n| n * SHARD), 0..=LONGEST].prop_map(Step::Truncate),
        1 => (offset, len).prop_map(|(offset, len)| Step::Punch { offset, len }),
        toggles => (0..bricks).prop_map(Step::Toggle),
    ]
}

fn shapes() -> impl Strategy<Value = Shape> {
    let kinds = [
        (1, 1, 0, false),
        (3, 1, 0, false),
        (1, 2, 0, false),
        (2, 2, 0, false),
        (1, 3, 0, false),
        (1, 3, 0, true),
        (1, 3, 1, false),
        (2, 3, 1, false),
        (1, 6, 2, false),
    ];
    any_shape(&kinds, SHARD)
}

fn plan(toggles: u32) -> impl Strategy<Value = (Shape, Vec<Step>)> {
    shapes().prop_flat_map(move |shape| {
        let bricks = shape.subvolumes * shape.replicas;
        (Just(shape), prop::collection::vec(step(bricks, toggles), 1..24))
    })
}

/// A split-brain of the content, or of the name: two bricks that were away in turn made a shard each.
fn is_split_brain(error: &ShardError) -> bool {
    matches!(error, ShardError::SplitBrain { .. } | ShardError::GfidMismatch { .. })
}

/// Runs the steps and reads the file. What can be read is right; where `healthy`, all can.
fn check(shape: Shape, steps: Vec<Step>, healthy: bool) -> Result<(), TestCaseError> {
    let mut built = build(shape);
    let trees = &mut built.trees;
    let mut model: Vec<u8> = Vec::new();
    let mut up = vec![true; trees.brick_count()];
    trees.create_file("disk").unwrap();
    for step in steps {
        // What the volume refuses for lack of bricks may have been done in part; from then on nothing is known.
        let done = match step {
            Step::Toggle(brick) => {
                up[brick] = !up[brick];
                trees.set_up(brick, up[brick]);
                Ok(())
            }
            Step::Write { offset, len, seed } => {
                let bytes = pattern(seed, len as usize);
                let end = (offset + len) as usize;
                model.resize(model.len().max(end), 0);
                model[offset as usize..end].copy_from_slice(&bytes);
                trees.write("disk", offset, &bytes)
            }
            Step::Truncate(size) => {
                model.resize(size as usize, 0);
                trees.truncate("disk", size)
            }
            Step::Punch { offset, len } => {
                let end = ((offset + len) as usize).min(model.len());
                model.get_mut(offset as usize..end).unwrap_or_default().fill(0);
                trees.punch("disk", offset, len)
            }
        };
        if done.is_err() {
            prop_assert!(!healthy);
            return Ok(());
        }
    }
    let file = match built.open("disk", &[]) {
        Ok(file) => file,
        Err(error) if !healthy && is_split_brain(&error) => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    prop_assert_eq!(file.size(), model.len() as u64);
    for (number, expected) in model.chunks(SHARD as usize).enumerate() {
        let mut piece = vec![0xee; expected.len()];
        match file.read_exact_at(number as u64 * SHARD, &mut piece) {
            Ok(()) => prop_assert_eq!(piece, expected, "shard {}", number),
            Err(error) => {
                let error = shard_error(error);
                prop_assert!(!healthy && is_split_brain(&error), "{error}");
            }
        }
    }
    let mut at = 0;
    for extent in extents(&file) {
        let extent = extent.unwrap();
        prop_assert_eq!(extent.offset, at);
        at = extent.end();
        if extent.kind == ExtentKind::Hole {
            prop_assert!(model[extent.offset as usize..at as usize].iter().all(|&byte| byte == 0));
        }
        prop_assert!(!healthy || extent.kind != ExtentKind::Unknown);
        if extent.kind == ExtentKind::Data && built.trees.is_dispersed() {
            prop_assert!(file.file_part(extent.offset).unwrap().is_none(), "a part of what is decoded");
        } else if extent.kind == ExtentKind::Data {
            parts_hold(&file, extent.offset, &model[extent.offset as usize..at as usize])?;
        }
    }
    prop_assert_eq!(at, model.len() as u64);
    Ok(())
}

/// The parts of the bricks' files that are said to hold `expected`, which begins at `offset`, do.
fn parts_hold(file: &ShardedFile, offset: u64, expected: &[u8]) -> Result<(), TestCaseError> {
    let mut at = 0;
    while at < expected.len() {
        let Some(part) = file.file_part(offset + at as u64).unwrap() else {
            return Err(TestCaseError::fail(format!("no file holds offset {}", offset + at as u64)));
        };
        let n = usize::try_from(part.len).unwrap().min(expected.len() - at);
        let mut found = vec![0xee; n];
        part.read_exact_at(&mut found, part.offset).unwrap();
        prop_assert_eq!(&found, &expected[at..at + n]);
        at += n;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_what_is_read((shape, steps) in plan(0)) {
        check(shape, steps, true)?;
    }

    #[test]
    fn with_bricks_down_in_between_the_latest_is_read_or_split_brain_reported((shape, steps) in plan(3)) {
        check(shape, steps, false)?;
    }
}

/// Each brick made a shard while the other was away, and the hole is punched where the one that is up has none.
#[test]
fn a_hole_in_a_shard_that_only_a_brick_that_is_down_has_is_refused_by_the_model() {
    let mut built = build(Shape { replicas: 2, shard_size: SHARD, ..Shape::default() });
    let trees = &mut built.trees;
    trees.create_file("disk").unwrap();
    trees.write("disk", 7 * SHARD, &[1]).unwrap();
    for (down, shard) in [(0, 5), (1, 1)] {
        trees.set_up(down, false);
        trees.write("disk", shard * SHARD, &[1]).unwrap();
        trees.set_up(down, true);
    }
    trees.set_up(1, false);
    assert!(trees.punch("disk", 5 * SHARD, 1).is_err());
}

/// While a brick was away the other made the shard, and then the other way round: neither copy can be told to be
/// the later one.
#[test]
fn a_shard_made_twice_by_bricks_that_were_away_in_turn_is_refused_by_its_gfids() {
    let mut built = build(Shape { subvolumes: 1, replicas: 2, shard_size: SHARD, ..Shape::default() });
    let trees = &mut built.trees;
    trees.create_file("disk").unwrap();
    trees.write("disk", 3 * SHARD, &pattern(1, 10)).unwrap();
    for brick in [0, 1] {
        trees.set_up(brick, false);
        trees.write("disk", SHARD, &pattern(brick as u64, 10)).unwrap();
        trees.set_up(brick, true);
    }
    let error = match built.open("disk", &[]) {
        Ok(file) => shard_error(file.read_exact_at(SHARD, &mut [0; 10]).unwrap_err()),
        Err(error) => error,
    };
    assert!(matches!(error, ShardError::GfidMismatch { .. }), "{error}");
    assert!(error.to_string().contains("split-brain"), "{error}");
}

/// Gluster merges a directory that both sides changed, so that what one side saw go comes back: the answer is its own
/// then, and the model stops before.
#[test]
fn no_name_is_made_where_a_merge_would_bring_others_back() {
    let mut built = build(Shape { subvolumes: 1, replicas: 2, shard_size: SHARD, ..Shape::default() });
    let trees = &mut built.trees;
    trees.create_file("disk").unwrap();
    trees.write("disk", 0, &pattern(1, 3 * SHARD as usize)).unwrap();
    trees.set_up(0, false);
    trees.truncate("disk", SHARD).unwrap();
    trees.set_up(1, false);
    trees.set_up(0, true);
    assert!(trees.write("disk", 6 * SHARD, &[1; 10]).is_err());
}
