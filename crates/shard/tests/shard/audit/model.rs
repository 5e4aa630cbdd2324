//! Whatever was written, a whole volume is clean; whatever is damaged, it is not.

use proptest::prelude::*;
use stillpoint_testkit::volume::{Change, Shape};

use super::super::support::{Built, any_shape, build, pattern};
use super::{audit, gfid, handle, holders, set_len, take};

const SHARD: u64 = 1024;
const LONGEST: u64 = 10 * SHARD;

#[derive(Debug, Clone)]
enum Step {
    Write { file: usize, offset: u64, len: u64 },
    Truncate { file: usize, size: u64 },
}

/// Damage to one copy of the base or of a shard that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// The copy is gone with its handle.
    Gone,
    Handle,
    Gfid,
    NoGfid,
    /// One byte is another.
    Byte,
    /// It is a byte longer.
    Longer,
    /// A shard's link file leads nowhere.
    Linkto,
    /// The other bricks accuse it.
    Accused,
    /// A pipe in its place.
    Pipe,
}

const DAMAGES: [Damage; 9] = [
    Damage::Gone,
    Damage::Handle,
    Damage::Gfid,
    Damage::NoGfid,
    Damage::Byte,
    Damage::Longer,
    Damage::Linkto,
    Damage::Accused,
    Damage::Pipe,
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_usize, 0..LONGEST - 2 * SHARD, 1..2 * SHARD)
            .prop_map(|(file, offset, len)| Step::Write { file, offset, len }),
        1 => (0..3_usize, 0..=LONGEST).prop_map(|(file, size)| Step::Truncate { file, size }),
    ];
    prop::collection::vec(step, 1..10)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let kinds = [
        (1, 1, 0, false),
        (3, 1, 0, false),
        (2, 2, 0, false),
        (1, 3, 0, true),
        (2, 3, 1, false),
        (1, 6, 2, false),
    ];
    any_shape(&kinds, SHARD)
}

const FILES: [&str; 3] = ["a", "dir/b", "dir/c"];

fn made(shape: Shape, steps: &[Step]) -> Built {
    let mut built = build(shape);
    built.trees.create_directory("dir").unwrap();
    for file in FILES {
        built.trees.create_file(file).unwrap();
        built.trees.write(file, 0, b"not empty").unwrap();
    }
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Write { file, offset, len } => {
                built.trees.write(FILES[*file], *offset, &pattern(number as u64, *len as usize)).unwrap();
            }
            Step::Truncate { file, size } => built.trees.truncate(FILES[*file], *size).unwrap(),
        }
    }
    built
}

/// Damages a copy; `false` where that damage can't be told there, as another byte of what has no second copy.
fn damage(built: &mut Built, brick: usize, path: &str, what: Damage) -> bool {
    let copies = holders(built, path).len();
    let full = built.path(brick, path);
    let bytes = std::fs::read(&full).unwrap();
    let name = path.rsplit('/').next().unwrap();
    match what {
        // The only copy of a shard: a hole like any other. And the only copy of a base: its shards tell, if any.
        Damage::Gone if copies == 1 => return false,
        Damage::Gone => take(built, brick, path),
        Damage::Handle => std::fs::remove_file(handle(built, brick, path)).unwrap(),
        Damage::Gfid => {
            assert_ne!(gfid(built, brick, path).as_bytes(), &[9; 16]);
            built.trees.set_xattr(brick, path, "trusted.gfid", &[9; 16]).unwrap();
        }
        Damage::NoGfid => built.trees.remove_xattr(brick, path, "trusted.gfid").unwrap(),
        Damage::Byte if copies == 1 || bytes.is_empty() || built.trees.is_arbiter(brick) => return false,
        Damage::Byte => {
            let mut bytes = bytes;
            bytes[0] ^= 1;
            std::fs::write(&full, bytes).unwrap();
        }
        Damage::Longer if copies == 1 || built.trees.is_arbiter(brick) => return false,
        Damage::Longer => set_len(&full, bytes.len() as u64 + 1),
        Damage::Linkto => built.trees.make_linkto(brick, path, &format!("none-{name}")).unwrap(),
        Damage::Accused if copies == 1 || built.trees.is_dispersed() => return false,
        Damage::Accused => {
            let by = holders(built, path).into_iter().find(|by| *by != brick).unwrap();
            built.trees.set_blame(by, brick, path, Change::Data, 2).unwrap();
        }
        // The only name of a base may well be a pipe that somebody made.
        Damage::Pipe if copies == 1 && !path.starts_with(".shard") => return false,
        Damage::Pipe => {
            std::fs::remove_file(&full).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, &full, mode).unwrap();
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_written_is_clean_and_one_damage_is_told(
        shape in shapes(),
        steps in steps(),
        file in 0..3_usize,
        shard in any::<prop::sample::Index>(),
        copy in any::<prop::sample::Index>(),
        what in prop::sample::select(&DAMAGES[..]),
    ) {
        let mut built = made(shape, &steps);
        let (findings, summary) = audit(&built);
        prop_assert!(summary.is_clean(), "{findings:#?}");
        let paths: Vec<String> = (0..LONGEST / SHARD).map(|index| built.trees.shard_path(FILES[file], index)).collect();
        let there: Vec<_> = paths.into_iter().filter(|path| !holders(&built, path).is_empty()).collect();
        let path = there[shard.index(there.len())].clone();
        let bricks = holders(&built, &path);
        let brick = bricks[copy.index(bricks.len())];
        if damage(&mut built, brick, &path, what) {
            let (findings, summary) = audit(&built);
            prop_assert!(summary.worst().is_some(), "{what:?} of {path} on {brick}: {findings:#?} {summary:#?}");
            // What one damage is told of is that file, or what was one.
            prop_assert!(findings.len() < 12, "{findings:#?}");
        }
    }
}
