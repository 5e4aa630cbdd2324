//! The order of dispersed bricks that no description tells: the true one, or none.

use std::path::Path;

use proptest::prelude::*;
use stillpoint_shard::{BrickMap, Doubt, OpenOptions, Order, ShardError, Topology, Volume};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, bytes, pattern};

const SHARD: u64 = 64 << 10;

fn dispersed(bricks: usize, redundancy: usize) -> Built {
    build(Shape { replicas: bricks, redundancy, shard_size: SHARD, ..Shape::default() })
}

fn write(built: &mut Built, name: &str, content: &[u8]) {
    built.trees.create_file(name).unwrap();
    built.trees.write(name, 0, content).unwrap();
}

fn open(built: &Built, bricks: &[usize], options: OpenOptions) -> Result<Volume, ShardError> {
    built.trees.save().unwrap();
    let paths: Vec<&Path> = bricks.iter().map(|brick| built.trees.brick(*brick)).collect();
    Volume::open(Topology::from_bricks(&paths).unwrap(), &BrickMap::default(), options)
}

/// The file as it is read from these bricks.
fn read(built: &Built, bricks: &[usize], name: &str) -> Result<Vec<u8>, ShardError> {
    let file = open(built, bricks, OpenOptions::default())?.open_file(&name.parse().unwrap())?;
    Ok(bytes(&file).unwrap())
}

/// An order of so many bricks that is neither theirs nor its reverse.
fn shuffled(bricks: usize, seed: u64) -> Vec<usize> {
    let keys = pattern(seed, bricks * 8);
    let mut order: Vec<usize> = (0..bricks).collect();
    order.sort_by_key(|brick| keys[brick * 8..brick * 8 + 8].to_vec());
    order
}

#[test]
fn bricks_in_any_order_are_put_into_their_own_by_the_ends_of_files() {
    for (bricks, redundancy) in [(3, 1), (5, 1), (6, 2), (11, 3)] {
        let mut built = dispersed(bricks, redundancy);
        let stripe = (bricks - redundancy) * 512;
        // Ends in the first chunk, in the middle and in the last one.
        for (number, size) in [100, stripe / 2 + 77, 3 * stripe - 5].into_iter().enumerate() {
            write(&mut built, &format!("file{number}"), &pattern(number as u64, size));
        }
        let model = pattern(9, SHARD as usize + 999);
        write(&mut built, "disk", &model);
        for seed in 0..3 {
            let order = shuffled(bricks, seed);
            for lost in [0, redundancy] {
                let given = &order[lost..];
                assert_eq!(read(&built, given, "disk").unwrap(), model, "{bricks} {given:?}");
                let volume = open(&built, given, OpenOptions::default()).unwrap();
                let set = &volume.topology().subvolumes[0];
                assert_eq!(set.order, Order::Proven);
                for (place, brick) in set.bricks.iter().enumerate().filter(|(_, brick)| brick.name.is_given())
                {
                    assert_eq!(brick.name.path, built.trees.brick(place), "{bricks} {given:?}");
                }
                assert!(!volume.topology().doubts().iter().any(|doubt| matches!(doubt, Doubt::Order { .. })));
            }
        }
    }
}

/// As disks are: their sizes and those of their shards are multiples of a stripe.
#[test]
fn where_every_stripe_is_full_fragments_to_spare_tell_the_order() {
    for (bricks, redundancy) in [(3, 1), (5, 2), (9, 1), (11, 3), (20, 4)] {
        let mut built = dispersed(bricks, redundancy);
        let model = pattern(5, (bricks - redundancy) * 512 * 3);
        write(&mut built, "disk", &model);
        let order = shuffled(bricks, 7);
        assert_eq!(read(&built, &order, "disk").unwrap(), model, "{bricks} {order:?}");
    }
}

/// A header, and zeros up to the end of its cluster, as an image begins.
fn image() -> Vec<u8> {
    let mut image = b"QFI\xfb\0\0\0\x03".to_vec();
    image.extend(pattern(6, 496));
    image.resize(4096, 0);
    image.extend(pattern(7, 4096));
    image
}

/// The four that are needed of six; or all six, which backwards are a code of the same words. Nothing ends within a stripe.
#[test]
fn where_fragments_leave_several_orders_an_image_tells_which_and_nothing_else_does() {
    for given in [&[5, 0, 3, 2][..], &[5, 0, 3, 2, 1, 4], &[4, 1, 0, 2, 5]] {
        let mut built = dispersed(6, 2);
        let model = pattern(5, 8 * 2048);
        write(&mut built, "disk", &model);
        let refused = open(&built, given, OpenOptions::default()).err().unwrap();
        assert!(matches!(refused, ShardError::Unsupported { .. }), "{refused}");
        assert!(refused.to_string().contains("--disperse-order given"), "{refused}");
        assert!(refused.to_string().contains(&built.trees.brick(5).display().to_string()), "{refused}");
        write(&mut built, "image", &image());
        assert_eq!(read(&built, given, "image").unwrap(), image());
        assert_eq!(read(&built, given, "disk").unwrap(), model);
    }
}

#[test]
fn the_callers_order_is_taken_by_his_word_and_doubted() {
    let mut built = dispersed(3, 1);
    let model = pattern(5, 4 * 1024);
    write(&mut built, "disk", &model);
    let options = || OpenOptions { order_given: true, ..OpenOptions::default() };
    for bricks in [&[0, 1, 2][..], &[0, 1]] {
        let volume = open(&built, bricks, options()).unwrap();
        assert_eq!(bytes(&volume.open_file(&"disk".parse().unwrap()).unwrap()).unwrap(), model);
        assert!(volume.topology().doubts().iter().any(|doubt| matches!(doubt, Doubt::OrderGiven { .. })));
    }
}

#[test]
fn files_that_tell_nothing_or_are_damaged_prove_no_order() {
    let mut built = dispersed(3, 1);
    built.trees.create_file("empty").unwrap();
    write(&mut built, "zeros", &[0; 5000]);
    let refused = open(&built, &[2, 0, 1], OpenOptions::default()).err().unwrap();
    assert!(refused.to_string().contains("leave too many"), "{refused}");
    write(&mut built, "disk", &pattern(5, 4096));
    let path = built.path(1, "disk");
    std::fs::write(&path, pattern(77, std::fs::metadata(&path).unwrap().len() as usize)).unwrap();
    let refused = open(&built, &[2, 0, 1], OpenOptions::default()).err().unwrap();
    assert!(matches!(refused, ShardError::Unsupported { .. }), "{refused}");
    // One that is marked as unfinished is not asked.
    let mut dirty = vec![0; 16];
    dirty[7] = 1;
    built.trees.set_xattr(0, "disk", "trusted.ec.dirty", &dirty).unwrap();
    write(&mut built, "good", &pattern(6, 100));
    assert_eq!(read(&built, &[2, 0, 1], "good").unwrap(), pattern(6, 100));
}

/// What was not looked at when the volume was opened has no order either: it is refused, and not read in a guessed one.
#[test]
fn where_only_empty_files_were_looked_at_one_with_bytes_is_refused() {
    let mut built = dispersed(3, 1);
    for number in 0..600 {
        built.trees.create_file(&format!("empty{number}")).unwrap();
    }
    write(&mut built, "late", &pattern(6, 100));
    let volume = open(&built, &[2, 0, 1], OpenOptions::default()).unwrap();
    assert!(volume.topology().doubts().iter().any(|doubt| matches!(doubt, Doubt::Order { .. })));
    assert_eq!(volume.open_file(&"empty7".parse().unwrap()).unwrap().size(), 0);
    let file = volume.open_file(&"late".parse().unwrap()).unwrap();
    let refused = bytes(&file).unwrap_err().to_string();
    assert!(refused.contains("order of its bricks") && refused.contains("--disperse-order"), "{refused}");
}

/// Each set has an order of its own.
#[test]
fn the_sets_of_a_distributed_volume_are_put_in_order_each() {
    let mut built =
        build(Shape { subvolumes: 2, replicas: 3, redundancy: 1, shard_size: SHARD, ..Shape::default() });
    let model = pattern(1, 9 * SHARD as usize + 1);
    write(&mut built, "disk", &model);
    for number in 0..12 {
        write(&mut built, &format!("file{number}"), &pattern(number, 100 + number as usize));
    }
    for given in [&[5, 0, 3, 1, 4, 2][..], &[4, 1, 5, 2]] {
        assert_eq!(read(&built, given, "disk").unwrap(), model, "{given:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever is on the bricks and in whichever order they are given: what is read is what was written, or nothing is.
    #[test]
    fn no_other_order_is_ever_taken(
        shape in prop_oneof![Just((3, 1)), Just((5, 2)), Just((6, 2)), Just((7, 3))],
        sizes in prop::collection::vec((1..6000_usize, prop_oneof![Just(0_u8), Just(0xff), Just(1)]), 1..4),
        seed in any::<u64>(),
        lost in 0..3_usize,
    ) {
        let (bricks, redundancy) = shape;
        let mut built = dispersed(bricks, redundancy);
        let mut models = Vec::new();
        for (number, (size, mask)) in sizes.into_iter().enumerate() {
            let model: Vec<u8> = pattern(seed ^ number as u64, size).into_iter().map(|byte| byte & mask).collect();
            write(&mut built, &format!("file{number}"), &model);
            models.push(model);
        }
        let order = shuffled(bricks, seed);
        for (number, model) in models.iter().enumerate() {
            match read(&built, &order[lost.min(redundancy)..], &format!("file{number}")) {
                Ok(found) => prop_assert_eq!(&found, model),
                Err(error) => prop_assert!(matches!(error, ShardError::Unsupported { .. }), "{}", error),
            }
        }
    }
}
