//! Copies in split-brain: refused with all that is known of them, or decided by the caller's rules, never silently.

use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use stillpoint_shard::{
    BrickMap, Finding, OnChoice, OpenOptions, ShardError, ShardedFile, SplitBrainChoice, SplitBrainOf, Volume,
};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::{Change, Shape};

use super::support::{Built, build, bytes, pattern, shard_error};

const SHARD: usize = 4096;

/// A file of three shards on two bricks, the second shard in split-brain: each brick holds its own pattern of it.
fn split() -> Built {
    let mut built = build(Shape { replicas: 2, shard_size: SHARD as u64, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(9, 3 * SHARD)).unwrap();
    let shard = built.trees.shard_path("disk", 1);
    for (brick, len) in [(0, SHARD), (1, 1000)] {
        std::fs::write(built.path(brick, &shard), pattern(brick as u64, len)).unwrap();
        built.trees.set_blame(brick, 1 - brick, &shard, Change::Data, 2).unwrap();
    }
    built
}

fn open(built: &Built, split_brain: &[SplitBrainChoice]) -> Result<ShardedFile, ShardError> {
    let options = OpenOptions { split_brain: split_brain.to_vec(), ..OpenOptions::default() };
    open_with(built, options)
}

fn open_with(built: &Built, options: OpenOptions) -> Result<ShardedFile, ShardError> {
    Volume::open(built.topology(), &BrickMap::default(), options)?.open_file(&"disk".parse().unwrap())
}

/// The brick that was chosen for the second shard, by what is read of it.
fn read_from(file: &ShardedFile) -> usize {
    let mut buf = vec![0; 1000];
    file.read_exact_at(SHARD as u64, &mut buf).unwrap();
    (0..2).find(|brick| buf == pattern(*brick, 1000)).unwrap() as usize
}

#[test]
fn the_error_shows_all_counters_and_the_rules_that_decided_nothing() {
    let mut built = split();
    let shard = built.trees.shard_path("disk", 1);
    built.trees.set_blame(0, 1, &shard, Change::Metadata, 7).unwrap();
    let rules = [SplitBrainChoice::own(|_| None)];
    let file = open(&built, &rules).unwrap();
    let error = shard_error(file.read_exact_at(SHARD as u64, &mut [0; 10]).unwrap_err());
    let text = error.to_string();
    let ShardError::SplitBrain { matrix, undecided, .. } = error else { panic!("{text}") };
    assert!(
        text.contains("blames 1 (2 changes); data/metadata/entry 0: 0/0/0, 1: 2/7/0, dirty: 0/0/0"),
        "{text}"
    );
    assert!(text.contains("the caller decided nothing") && text.contains("--split-brain"), "{text}");
    assert_eq!((undecided.len(), matrix.rows[0].counters[1].metadata), (1, 7));
}

#[test]
fn each_rule_chooses_its_copy_and_a_finding_tells_it() {
    let built = split();
    let shard = built.trees.shard_path("disk", 1);
    for (brick, time) in [(0, 1000), (1, 2000)] {
        let file = std::fs::File::options().write(true).open(built.path(brick, &shard)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(time)).unwrap();
    }
    let own = SplitBrainChoice::own(|case| {
        assert_eq!((case.about, case.copies.len(), case.copies[1].len), (SplitBrainOf::Data, 2, 1000));
        assert!(case.what.contains("shard 1 of disk") && case.matrix.is_some());
        Some(case.copies[1].brick.clone())
    });
    for (rules, brick) in [
        (vec![SplitBrainChoice::LatestMtime], 1),
        (vec![SplitBrainChoice::BiggerFile], 0),
        (vec![SplitBrainChoice::SourceBrick(built.name(1)), SplitBrainChoice::BiggerFile], 1),
        (vec![own], 1),
    ] {
        let file = open(&built, &rules).unwrap();
        assert_eq!(file.findings(), []);
        assert_eq!(read_from(&file), brick, "{rules:?}");
        let [Finding::SplitBrainChosen { what, about, brick: told, instead_of, by }] = &file.findings()[..]
        else {
            panic!("{:?}", file.findings())
        };
        assert!(what.contains("shard 1 of disk"), "{what}");
        assert_eq!(
            (*about, told, by),
            (SplitBrainOf::Data, &built.trees.brick_name(brick), &rules[0].to_string())
        );
        assert_eq!(*instead_of, [built.trees.brick_name(1 - brick)]);
        // What is past the shorter copy is a hole of it, and not the other's.
        let mut rest = vec![1; SHARD - 1000];
        file.read_exact_at(SHARD as u64 + 1000, &mut rest).unwrap();
        assert_eq!(rest.iter().all(|byte| *byte == 0), brick == 1);
    }
}

/// `trusted.glusterfs.mdata` says otherwise than the file system, as after a copy of the brick.
#[test]
fn the_latest_is_so_by_the_time_that_gluster_keeps() {
    let mut built = split();
    let shard = built.trees.shard_path("disk", 1);
    for (brick, sec) in [(0, 5_000_000_000_u64), (1, 4_999_999_999)] {
        let times = [0, sec, 0].map(|sec: u64| [sec.to_be_bytes(), [0; 8]].concat()).concat();
        let value = [&[1][..], &[0; 8], &times].concat();
        built.trees.set_xattr(brick, &shard, "trusted.glusterfs.mdata", &value).unwrap();
    }
    assert_eq!(read_from(&open(&built, &[SplitBrainChoice::LatestMtime]).unwrap()), 0);
}

#[test]
fn sizes_and_gfids_in_split_brain_are_decided_too() {
    let mut built = split();
    let mut size = built.trees.xattr(0, "disk", "trusted.glusterfs.shard.file-size").unwrap().unwrap();
    size[..8].copy_from_slice(&(2 * SHARD as u64).to_be_bytes());
    built.trees.set_xattr(1, "disk", "trusted.glusterfs.shard.file-size", &size).unwrap();
    for brick in [0, 1] {
        built.trees.set_blame(brick, 1 - brick, "disk", Change::Metadata, 1).unwrap();
    }
    assert!(matches!(open(&built, &[]), Err(ShardError::SplitBrain { .. })));
    for (rule, shards) in
        [(SplitBrainChoice::BiggerFile, 3), (SplitBrainChoice::SourceBrick(built.name(1)), 2)]
    {
        let file = open(&built, &[rule]).unwrap();
        assert_eq!(file.size(), shards * SHARD as u64);
        assert!(
            file.findings().iter().any(|found| matches!(
                found,
                Finding::SplitBrainChosen { about: SplitBrainOf::Metadata, .. }
            )),
            "{:?}",
            file.findings()
        );
    }

    let mut built = split();
    let shard = built.trees.shard_path("disk", 2);
    built.trees.set_xattr(1, &shard, "trusted.gfid", &[7; 16]).unwrap();
    std::fs::write(built.path(1, &shard), b"another").unwrap();
    let file = open(&built, &[]).unwrap();
    assert!(matches!(file.shard(2), Err(ShardError::GfidMismatch { .. })));
    let file = open(&built, &[SplitBrainChoice::SourceBrick(built.name(1))]).unwrap();
    let mut buf = [0; 7];
    file.read_exact_at(2 * SHARD as u64, &mut buf).unwrap();
    assert_eq!(&buf, b"another");
    assert!(matches!(
        &file.findings()[..],
        [Finding::SplitBrainChosen { about: SplitBrainOf::Gfid, brick, .. }] if *brick == built.trees.brick_name(1)
    ));
}

#[test]
fn an_arbiter_is_never_chosen_for_its_data_and_a_brick_of_no_volume_is_refused() {
    let mut built = build(Shape { replicas: 3, arbiter: true, shard_size: SHARD as u64, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(1, SHARD)).unwrap();
    for about in [0, 1] {
        built.trees.set_blame(2, about, "disk", Change::Data, 1).unwrap();
    }
    let file = open(&built, &[SplitBrainChoice::SourceBrick(built.name(2))]).unwrap();
    let error = shard_error(file.read_exact_at(0, &mut [0; 10]).unwrap_err());
    assert!(error.to_string().contains("decided nothing"), "{error}");
    let file = open(&built, &[SplitBrainChoice::SourceBrick(built.name(1))]).unwrap();
    assert_eq!(bytes(&file).unwrap(), pattern(1, SHARD));
    let strange = SplitBrainChoice::SourceBrick("siteZ:/b9".parse().unwrap());
    let refused = open(&built, &[strange]).unwrap_err();
    assert!(matches!(&refused, ShardError::NoSuchBrick { have, .. } if have.len() == 3), "{refused}");
}

#[test]
fn each_choice_is_told_once_when_it_is_made() {
    let built = split();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let options = OpenOptions {
        split_brain: vec![SplitBrainChoice::BiggerFile],
        on_choice: Some(OnChoice(Arc::new(move |choice| listener.lock().unwrap().push(choice.clone())))),
        ..OpenOptions::default()
    };
    let file = open_with(&built, options).unwrap();
    for _ in 0..3 {
        read_from(&file);
        file.shard(1).unwrap();
    }
    assert_eq!(*told.lock().unwrap(), file.findings());
    assert_eq!(file.findings().len(), 1);
}

#[test]
fn good_copies_that_differ_are_found_where_they_are_compared() {
    let mut built = build(Shape { replicas: 3, shard_size: SHARD as u64, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(9, 3 * SHARD)).unwrap();
    let compare = || OpenOptions { compare: true, ..OpenOptions::default() };
    let file = open_with(&built, compare()).unwrap();
    assert_eq!(bytes(&file).unwrap(), pattern(9, 3 * SHARD));
    assert_eq!(file.findings(), []);
    let shard = built.trees.shard_path("disk", 2);
    let tampered = std::fs::File::options().write(true).open(built.path(2, &shard)).unwrap();
    tampered.write_all_at(b"\0\0", 700).unwrap();
    // Nobody is told without asking.
    assert!(bytes(&open_with(&built, OpenOptions::default()).unwrap()).is_ok());
    let file = open_with(&built, compare()).unwrap();
    file.read_exact_at(0, &mut vec![0; 2 * SHARD]).unwrap();
    let error = shard_error(file.read_exact_at(2 * SHARD as u64, &mut vec![0; SHARD]).unwrap_err());
    let text = error.to_string();
    let ShardError::Diverged { what, offset: 700, len: 2, bricks } = error else { panic!("{text}") };
    assert!(what.contains("shard 2 of disk") && bricks.contains(&built.name(2)), "{text}");
    // A shorter copy is the same where the rest is zeros, and a blamed one is not asked.
    tampered.write_all_at(&pattern(9, 3 * SHARD)[2 * SHARD + 700..][..2], 700).unwrap();
    let zeros = built.trees.shard_path("disk", 1);
    for brick in 0..3 {
        let mut bytes = pattern(3, 100);
        bytes.resize(if brick == 1 { 100 } else { SHARD }, 0);
        std::fs::write(built.path(brick, &zeros), bytes).unwrap();
    }
    std::fs::write(built.path(0, "disk"), b"stale").unwrap();
    built.trees.set_blame(1, 0, "disk", Change::Data, 1).unwrap();
    let file = open_with(&built, compare()).unwrap();
    let mut expected = pattern(9, 3 * SHARD);
    expected[SHARD..2 * SHARD].fill(0);
    expected[SHARD..SHARD + 100].copy_from_slice(&pattern(3, 100));
    assert_eq!(bytes(&file).unwrap(), expected);
    for extent in extents(&file).map(Result::unwrap).filter(|extent| extent.kind == ExtentKind::Hole) {
        assert!(expected[extent.offset as usize..extent.end() as usize].iter().all(|byte| *byte == 0));
    }
    assert!(file.file_part(0).unwrap().is_none(), "what is copied by the kernel is not compared");
}

#[test]
fn what_has_no_second_copy_to_compare_with_is_told() {
    let built = split();
    let map = built.map(&[1]);
    let options = OpenOptions { compare: true, ..OpenOptions::default() };
    let file =
        Volume::open(built.topology(), &map, options).unwrap().open_file(&"disk".parse().unwrap()).unwrap();
    file.read_exact_at(0, &mut [0; 10]).unwrap();
    assert!(matches!(&file.findings()[..], [Finding::NotCompared { what }] if what.contains("shard 0")));
}

#[test]
fn fragments_are_compared_with_those_that_are_not_needed() {
    let mut built = build(Shape { replicas: 6, redundancy: 2, shard_size: SHARD as u64, ..Shape::default() });
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &pattern(9, 2 * SHARD)).unwrap();
    let compare = || OpenOptions { compare: true, ..OpenOptions::default() };
    assert_eq!(bytes(&open_with(&built, compare()).unwrap()).unwrap(), pattern(9, 2 * SHARD));
    let shard = built.trees.shard_path("disk", 1);
    let tampered = std::fs::File::options().write(true).open(built.path(5, &shard)).unwrap();
    tampered.write_all_at(b"tampered", 10).unwrap();
    assert!(bytes(&open_with(&built, OpenOptions::default()).unwrap()).is_ok());
    let error = shard_error(bytes(&open_with(&built, compare()).unwrap()).unwrap_err());
    assert!(matches!(&error, ShardError::Diverged { offset: 0, bricks, .. } if bricks.len() == 6), "{error}");
}

#[derive(Debug, Clone, Copy)]
enum State {
    Same,
    /// Only the brick of that number is good.
    Good(usize),
    Split,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever rule is given: a good copy is read where there is one, what the rule says where there is none, and a
    /// finding for each of the latter and nothing else.
    #[test]
    fn a_rule_decides_where_no_copy_is_good_and_nowhere_else(
        states in prop::collection::vec(prop_oneof![Just(State::Same), (0..2_usize).prop_map(State::Good), Just(State::Split)], 1..6),
        lengths in prop::collection::vec((1..SHARD, 1..SHARD), 6),
        source in prop::option::of(0..2_usize),
    ) {
        let mut built = build(Shape { replicas: 2, shard_size: SHARD as u64, ..Shape::default() });
        built.trees.create_file("disk").unwrap();
        built.trees.write("disk", 0, &vec![1; states.len() * SHARD]).unwrap();
        for (index, state) in states.iter().enumerate() {
            let path = built.trees.shard_path("disk", index as u64);
            for brick in 0..2 {
                let len = match state { State::Same => lengths[index].0, _ => [lengths[index].0, lengths[index].1][brick] };
                let seed = if matches!(state, State::Same) { 0 } else { brick as u64 + 1 };
                std::fs::write(built.path(brick, &path), pattern(seed, len)).unwrap();
                if matches!(state, State::Split) || matches!(state, State::Good(good) if *good == brick) {
                    built.trees.set_blame(brick, 1 - brick, &path, Change::Data, 1).unwrap();
                }
            }
        }
        let rule = source.map_or(SplitBrainChoice::BiggerFile, |brick| SplitBrainChoice::SourceBrick(built.name(brick)));
        let file = open(&built, &[rule]).unwrap();
        let mut chosen = 0;
        for (index, state) in states.iter().enumerate() {
            let (first, second) = lengths[index];
            let brick = match (state, source) {
                (State::Same, _) => None,
                (State::Good(good), _) => Some(*good),
                (State::Split, Some(source)) => Some(source),
                (State::Split, None) if first == second => {
                    let read = file.read_exact_at((index * SHARD) as u64, &mut [0]);
                    let refused = matches!(shard_error(read.unwrap_err()), ShardError::SplitBrain { .. });
                    prop_assert!(refused);
                    continue;
                }
                (State::Split, None) => Some(usize::from(second > first)),
            };
            chosen += usize::from(matches!(state, State::Split));
            let mut expected = match brick {
                None => pattern(0, first),
                Some(brick) => pattern(brick as u64 + 1, [first, second][brick]),
            };
            expected.resize(SHARD, 0);
            let mut found = vec![0xee; SHARD];
            file.read_exact_at((index * SHARD) as u64, &mut found).unwrap();
            prop_assert_eq!(found, expected, "shard {}", index);
        }
        let findings = file.findings();
        prop_assert_eq!(findings.iter().filter(|finding| finding.is_choice()).count(), chosen, "{:?}", findings);
    }
}
