//! Dispersed subvolumes: which fragments are read, and what is refused.

use std::os::unix::fs::FileExt;

use stillpoint_shard::{BrickMap, Finding, OpenOptions, ShardError, ShardState, Standing, Topology, Volume};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::Shape;

use super::code::subsets;
use super::support::{Built, build, bytes, pattern, shard_error};

const SHARD: usize = 16 << 10;

fn dispersed(subvolumes: usize, bricks: usize, redundancy: usize) -> Built {
    build(Shape { subvolumes, replicas: bricks, redundancy, shard_size: SHARD as u64, ..Shape::default() })
}

/// A file of three shards and a bit in 4+2, and its content.
fn written() -> (Built, Vec<u8>) {
    let mut built = dispersed(1, 6, 2);
    let model = pattern(1, 3 * SHARD + 700);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    (built, model)
}

/// Changes shard 1 while a brick is down.
fn missed_by(built: &mut Built, model: &mut [u8], down: &[usize]) {
    for brick in down {
        built.trees.set_up(*brick, false);
    }
    let newer = pattern(2, 5000);
    built.trees.write("disk", SHARD as u64 + 100, &newer).unwrap();
    model[SHARD + 100..SHARD + 5100].copy_from_slice(&newer);
    for brick in down {
        built.trees.set_up(*brick, true);
    }
}

fn read_error(built: &Built, missing: &[usize], at: usize) -> ShardError {
    match built.open("disk", missing) {
        Ok(file) => shard_error(file.read_exact_at(at as u64, &mut [0; 16]).unwrap_err()),
        Err(error) => error,
    }
}

#[test]
fn files_of_every_length_about_a_stripe_and_a_shard_are_read() {
    for (bricks, redundancy) in [(3, 1), (6, 2), (5, 2)] {
        let stripe = 512 * (bricks - redundancy);
        for size in [
            0,
            1,
            511,
            512,
            stripe - 1,
            stripe,
            stripe + 1,
            SHARD - 1,
            SHARD,
            SHARD + 1,
            2 * SHARD + stripe + 3,
        ] {
            let mut built = dispersed(1, bricks, redundancy);
            built.trees.create_file("disk").unwrap();
            let model = pattern(size as u64, size);
            built.trees.write("disk", 0, &model).unwrap();
            let file = built.open("disk", &[]).unwrap();
            assert!(bytes(&file).unwrap() == model, "{size} bytes in {bricks} bricks");
            assert_eq!(file.findings(), []);
        }
    }
}

#[test]
fn bricks_alone_are_decoded_in_the_one_order_that_their_files_prove_and_without_it_not_at_all() {
    let (built, model) = written();
    let open = |bricks: &[usize]| {
        built.trees.save().unwrap();
        let bricks: Vec<_> = bricks.iter().map(|brick| built.trees.brick(*brick)).collect();
        Volume::open(Topology::from_bricks(&bricks).unwrap(), &BrickMap::default(), OpenOptions::default())
    };
    let file = open(&[3, 5, 0, 1, 4, 2]).unwrap().open_file(&"disk".parse().unwrap()).unwrap();
    assert!(bytes(&file).unwrap() == model);
    // Nothing is left that ends within a stripe.
    for brick in 0..6 {
        std::fs::write(built.path(brick, &built.trees.shard_path("disk", 3)), b"").unwrap();
    }
    let error = open(&[0, 1, 2, 3, 4, 5]).err().unwrap();
    assert!(matches!(error, ShardError::Unsupported { .. }), "{error}");
}

#[test]
fn a_part_is_read_as_the_whole_is() {
    let (built, model) = written();
    let file = built.open("disk", &[0, 3]).unwrap();
    for (at, len) in
        [(0, 1), (1, 1), (511, 2), (2047, 2), (2048, 2048), (100, 9000), (SHARD - 3, 7), (5, 3 * SHARD)]
    {
        let mut piece = vec![0xee; len];
        file.read_exact_at(at as u64, &mut piece).unwrap();
        assert!(piece == model[at..at + len], "{len} bytes at {at}");
    }
}

#[test]
fn fragments_are_shown_with_their_numbers_and_what_is_made_of_them() {
    let (mut built, mut model) = written();
    missed_by(&mut built, &mut model, &[1]);
    let file = built.open("disk", &[4]).unwrap();
    let ShardState::Present(shard) = file.shard(1).unwrap() else { panic!("a hole") };
    assert_eq!((shard.len, shard.subvolume.as_str()), (SHARD as u64, "gv1-disperse-0"));
    let seen: Vec<_> = shard.copies.iter().map(|copy| (copy.fragment, copy.standing)).collect();
    let chosen = |number| (Some(number), Standing::Chosen);
    assert_eq!(seen, [chosen(0), (Some(1), Standing::Outdated), chosen(2), chosen(3), chosen(5)]);
    assert!(shard.copies.iter().all(|copy| copy.len == SHARD as u64 / 4));
    assert_eq!(bytes(&file).unwrap(), model);
}

#[test]
fn fragments_that_missed_a_write_are_not_read_whichever_bricks_are_left() {
    for down in [&[0][..], &[5], &[0, 3], &[4, 5]] {
        let (mut built, mut model) = written();
        missed_by(&mut built, &mut model, down);
        for lost in 0..=2 {
            for missing in subsets(6, lost) {
                let good = (0..6).filter(|brick| !down.contains(brick) && !missing.contains(brick)).count();
                match built.open("disk", &missing).map(|file| bytes(&file)) {
                    Ok(Ok(got)) => {
                        assert!(good >= 4 && got == model, "{down:?} stale, {missing:?} missing")
                    }
                    Ok(Err(error)) => {
                        assert!(good < 4, "{down:?} stale, {missing:?} missing: {error}");
                        let error = shard_error(error);
                        assert!(matches!(error, ShardError::TooFewFragments { .. }), "{error}");
                        for brick in down.iter().chain(&missing) {
                            assert!(error.to_string().contains(&built.trees.brick_name(*brick)), "{error}");
                        }
                    }
                    Err(error) => assert!(good < 4, "{down:?} stale, {missing:?} missing: {error}"),
                }
            }
        }
    }
}

#[test]
fn too_few_fragments_of_one_version_are_an_error_that_shows_what_each_brick_has() {
    let (mut built, mut model) = written();
    missed_by(&mut built, &mut model, &[1]);
    let file = built.open("disk", &[0, 2]).unwrap();
    // What the write did not touch is there.
    let mut first = vec![0; SHARD];
    file.read_exact_at(0, &mut first).unwrap();
    assert!(first == model[..SHARD]);
    let error = read_error(&built, &[0, 2], SHARD);
    let ShardError::TooFewFragments { needed: 4, agreeing: 3, missing, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(missing.len(), 2);
    let text = error.to_string();
    assert!(text.contains("shard 1 of disk"), "{text}");
    assert!(text.contains("b1: version 2, of 16384 bytes, 4096 bytes long\n"), "{text}");
    assert!(text.contains("b3: version 3, of 16384 bytes, 4096 bytes long, marked dirty\n"), "{text}");
    assert!(text.contains("b0 is missing: it was said not to be here\n"), "{text}");
    assert_eq!(file.next_extent(SHARD as u64).unwrap().kind, ExtentKind::Unknown);
    assert_eq!(file.allocated(), None);
}

#[test]
fn a_fragment_without_its_xattrs_or_of_another_length_counts_for_nothing() {
    let (mut built, model) = written();
    let shard = built.trees.shard_path("disk", 1);
    built.trees.remove_xattr(0, &shard, "trusted.ec.size").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(built.path(1, &shard)).unwrap();
    file.set_len(512).unwrap();
    assert!(bytes(&built.open("disk", &[]).unwrap()).unwrap() == model);
    let error = read_error(&built, &[5], SHARD);
    let text = error.to_string();
    assert!(matches!(error, ShardError::TooFewFragments { agreeing: 3, .. }), "{text}");
    assert!(text.contains("b0 has no trusted.ec.size"), "{text}");
    assert!(text.contains("b1: version 2, of 16384 bytes, 512 bytes long"), "{text}");
    // Coded for another set.
    built.trees.set_xattr(2, &shard, "trusted.ec.config", &[0, 0, 8, 3, 1, 0, 2, 0]).unwrap();
    let text = read_error(&built, &[], SHARD).to_string();
    assert!(text.contains("3 bricks with 1 of redundancy, but the set has 6 with 2"), "{text}");
}

#[test]
fn sizes_versions_and_marks_of_any_value_are_refused_or_cost_nothing() {
    for value in [0_u64, 1, SHARD as u64 + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let (mut built, model) = written();
        let shard = built.trees.shard_path("disk", 1);
        for brick in 0..6 {
            built.trees.set_version(brick, &shard, [value; 2]).unwrap();
            let dirty = [value.to_be_bytes(); 2].concat();
            built.trees.set_xattr(brick, &shard, "trusted.ec.dirty", &dirty).unwrap();
        }
        assert!(bytes(&built.open("disk", &[0, 1]).unwrap()).unwrap() == model, "{value}");
        for brick in 0..6 {
            built.trees.set_xattr(brick, &shard, "trusted.ec.size", &value.to_be_bytes()).unwrap();
        }
        let file = built.open("disk", &[]).unwrap();
        let mut first = vec![0; SHARD];
        file.read_exact_at(0, &mut first).unwrap();
        assert!(first == model[..SHARD]);
        // A fragment may be longer than its size makes it while a write is not finished, and never shorter.
        let read = file.read_exact_at(SHARD as u64, &mut first);
        assert_eq!(read.is_ok(), value == 1, "{value}");
        assert_eq!(extents(&file).map(|extent| extent.unwrap().len).sum::<u64>(), model.len() as u64);
    }
}

#[test]
fn a_shard_on_fewer_bricks_than_make_it_is_neither_read_nor_zeros() {
    let (built, model) = written();
    let shard = built.trees.shard_path("disk", 2);
    for brick in [0, 1, 4] {
        std::fs::remove_file(built.path(brick, &shard)).unwrap();
    }
    let file = built.open("disk", &[]).unwrap();
    let text = read_error(&built, &[], 2 * SHARD).to_string();
    assert!(text.contains("of the 4 fragments needed 3 are here") && text.contains("b1 has none"), "{text}");
    assert_eq!(file.next_extent(2 * SHARD as u64).unwrap().kind, ExtentKind::Unknown);
    let mut first = vec![0; 2 * SHARD];
    file.read_exact_at(0, &mut first).unwrap();
    assert!(first == model[..2 * SHARD]);
}

#[test]
fn names_that_a_brick_missed_the_deletion_of_are_holes() {
    let (mut built, mut model) = written();
    built.trees.set_up(0, false);
    built.trees.set_up(4, false);
    built.trees.truncate("disk", SHARD as u64).unwrap();
    built.trees.truncate("disk", 3 * SHARD as u64).unwrap();
    model[SHARD..].fill(0);
    model.truncate(3 * SHARD);
    for missing in [&[][..], &[0], &[4]] {
        let file = built.open("disk", missing).unwrap();
        assert!(bytes(&file).unwrap() == model, "without {missing:?}");
        assert_eq!(file.shard(1).unwrap(), ShardState::Hole);
    }
    // Three good bricks don't make a hole.
    assert!(matches!(
        read_error(&built, &[1], SHARD),
        ShardError::TooFewFragments { .. } | ShardError::Unknown { .. }
    ));
}

#[test]
fn a_brick_that_was_replaced_by_an_empty_one_proves_no_hole() {
    let mut built = dispersed(1, 3, 1);
    let model = pattern(1, 3 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    // As `replace-brick` leaves it, before anything is healed.
    for index in 1..3 {
        std::fs::remove_file(built.path(2, &built.trees.shard_path("disk", index))).unwrap();
    }
    std::fs::remove_file(built.path(2, "disk")).unwrap();
    for directory in ["", ".shard"] {
        built.trees.set_version(2, directory, [0; 2]).unwrap();
    }
    assert!(bytes(&built.open("disk", &[]).unwrap()).unwrap() == model);
    let error = built.open("disk", &[0]).unwrap_err();
    assert!(matches!(error, ShardError::Unknown { .. }), "{error}");
}

#[test]
fn of_the_size_counts_what_enough_bricks_agree_about() {
    let (mut built, mut model) = written();
    built.trees.set_up(2, false);
    built.trees.write("disk", model.len() as u64, &pattern(3, 4000)).unwrap();
    model.extend(pattern(3, 4000));
    let file = built.open("disk", &[]).unwrap();
    assert_eq!((file.size(), file.findings()), (model.len() as u64, vec![]));
    assert!(bytes(&file).unwrap() == model);
    let error = built.open("disk", &[0, 1]).unwrap_err();
    assert!(matches!(error, ShardError::TooFewFragments { agreeing: 3, .. }), "{error}");
}

#[test]
fn a_write_that_was_cut_short_is_found_by_the_fragments_that_are_not_needed() {
    let (mut built, model) = written();
    let shard = built.trees.shard_path("disk", 1);
    let torn = pattern(9, SHARD);
    // The client died before it counted the change; two of the bricks had got their part of the first stripe.
    for brick in 0..6 {
        let dirty = [1_u64.to_be_bytes(), 0_u64.to_be_bytes()].concat();
        built.trees.set_xattr(brick, &shard, "trusted.ec.dirty", &dirty).unwrap();
    }
    let file = built.open("disk", &[]).unwrap();
    assert!(bytes(&file).unwrap() == model, "all fragments agree");
    assert!(matches!(file.findings().as_slice(), [Finding::Unfinished { .. }]), "{:?}", file.findings());
    for brick in [1, 2] {
        let old = std::fs::read(built.path(brick, &shard)).unwrap();
        built.trees.write_fragments(&[brick], &shard, &torn).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(built.path(brick, &shard)).unwrap();
        file.write_all_at(&old[512..], 512).unwrap();
    }
    let error = read_error(&built, &[], SHARD + 100);
    assert!(matches!(&error, ShardError::Torn { offset: 0, bricks, .. } if bricks.len() == 6), "{error}");
    // The stripes after it are whole.
    let file = built.open("disk", &[]).unwrap();
    let mut rest = vec![0; SHARD - 2048];
    file.read_exact_at(SHARD as u64 + 2048, &mut rest).unwrap();
    assert!(rest == model[SHARD + 2048..2 * SHARD]);
}

#[test]
fn a_file_that_is_not_sharded_is_as_long_as_its_fragments_say() {
    let mut built = dispersed(2, 3, 1);
    let model = pattern(4, 70_001);
    built.trees.create_plain_file("plain").unwrap();
    built.trees.write("plain", 0, &model).unwrap();
    let file = built.open("plain", &[1, 5]).unwrap();
    assert_eq!((file.size(), file.shard_size()), (70_001, None));
    assert!(bytes(&file).unwrap() == model);
}

#[test]
fn shards_of_distributed_sets_are_found_through_link_files_too() {
    let mut built = dispersed(2, 3, 1);
    let model = pattern(1, 5 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    let from = built.trees.shard_subvolume("disk", 2).unwrap();
    built.trees.move_shard("disk", 2, 1 - from).unwrap();
    for missing in [&[][..], &[0, 3], &[2, 4]] {
        let file = built.open("disk", missing).unwrap();
        assert!(bytes(&file).unwrap() == model, "without {missing:?}");
        assert_eq!(file.findings(), []);
        let by_gfid = built.open(&format!("gfid:{}", file.gfid()), missing).unwrap();
        assert!(bytes(&by_gfid).unwrap() == model, "by gfid without {missing:?}");
    }
}

#[test]
fn holes_are_where_all_fragments_have_one() {
    let mut built = build(Shape { replicas: 3, redundancy: 1, shard_size: 4 << 20, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    // The data begins at a stripe of 1 KiB and a hole's edge is at 4 KiB of a fragment: 8 KiB.
    let model = [vec![0; 1 << 20], pattern(1, 64 << 10), vec![0; 3 << 20]].concat();
    built.trees.write("disk", 1 << 20, &model[1 << 20..]).unwrap();
    let file = built.open("disk", &[]).unwrap();
    assert!(bytes(&file).unwrap() == model);
    let holes: u64 = extents(&file)
        .map(Result::unwrap)
        .filter(|extent| extent.kind == ExtentKind::Hole)
        .map(|hole| {
            assert!(
                model[hole.offset as usize..hole.end() as usize].iter().all(|&byte| byte == 0),
                "{hole:?}"
            );
            hole.len
        })
        .sum();
    assert!(holes >= (3 << 20), "{holes} bytes of holes");
    assert!(file.allocated().unwrap() < 256 << 10, "{:?}", file.allocated());
}
