//! Every type of volume, written through its mount and read without every set of bricks that it may lose.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod mounted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mounted::{
    Bench, Made, equals_the_mounts, full, listed, most, only, open, read, some, subsets, whole, write_files,
};
use stillpoint_lab::{Redundancy, SiteName};
use stillpoint_shard::{ShardError, ShardState, Volume};

/// How many bricks hold what, and how many of them suffice.
struct Type {
    name: &'static str,
    /// What `gluster volume create` takes before the bricks.
    kind: &'static str,
    sets: usize,
    /// Bricks of a set.
    of: usize,
    /// Those of them that hold data: all, but for an arbiter, which is the last.
    data: usize,
    /// How many of those suffice.
    needed: usize,
}

impl Type {
    /// The sets that are lost without these bricks.
    fn lost(&self, missing: &[usize]) -> BTreeSet<usize> {
        let left = |set: usize| {
            let data = set * self.of..set * self.of + self.data;
            data.filter(|brick| !missing.contains(brick)).count()
        };
        (0..self.sets).filter(|&set| left(set) < self.needed).collect()
    }
}

const fn of(
    name: &'static str,
    kind: &'static str,
    sets: usize,
    (of, data, needed): (usize, usize, usize),
) -> Type {
    Type { name, kind, sets, of, data, needed }
}

/// The first two are the lab's own volumes.
const TYPES: [Type; 8] = [
    of("distribute 3", "", 3, (1, 1, 1)),
    of("replica 2", "replica 2", 1, (2, 2, 1)),
    of("disperse 2+1", "disperse 3 redundancy 1", 1, (3, 3, 2)),
    // What comes from here on is looked at by other tests, too, though not without every set of bricks.
    of("replica 3", "replica 3", 1, (3, 3, 1)),
    of("arbiter", "replica 3 arbiter 1", 2, (3, 2, 1)),
    of("2x2", "replica 2", 2, (2, 2, 1)),
    of("disperse 4+2", "disperse 6 redundancy 2", 1, (6, 6, 4)),
    of("2x disperse 2+1", "disperse 3 redundancy 1", 2, (3, 3, 2)),
];

/// What an unavailable set makes unknown.
struct Needs {
    /// The sets that hold something of it.
    sets: BTreeSet<String>,
    /// Any set could hold what is nowhere.
    has_holes: bool,
    /// An empty file has no shards, so that it isn't told here which set has its base.
    is_empty: bool,
}

impl Needs {
    fn of(volume: &Volume, name: &str) -> Self {
        let file = open(volume, name).unwrap();
        let is_empty = file.shard_count() == 0;
        let mut needs = Self { sets: BTreeSet::new(), has_holes: false, is_empty };
        for index in 0..file.shard_count() {
            match file.shard(index).unwrap() {
                ShardState::Present(shard) => {
                    needs.sets.insert(shard.subvolume);
                }
                ShardState::Hole => needs.has_holes = true,
            }
        }
        needs
    }
}

/// Reads the files without every set of bricks. What is lost is refused, naming bricks; what is not is read.
fn sweep(kind: &Type, mount: &Path, open_without: &dyn Fn(&[usize]) -> Result<Volume, ShardError>) {
    let names = most(write_files(mount));
    // Counters come to the bricks a second after the last write.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let volume = open_without(&[]).unwrap();
    let files = whole(&volume, &names);
    if full() {
        listed(&volume, mount, &names);
    }
    let few = only(&files, &some(&names));
    let needs: BTreeMap<&String, Needs> = few.keys().map(|name| (name, Needs::of(&volume, name))).collect();
    let sets: Vec<String> = volume.topology().subvolumes.iter().map(|set| set.name.clone()).collect();
    let bricks = kind.sets * kind.of;
    assert_eq!((sets.len(), volume.topology().bricks().count()), (kind.sets, bricks), "{}", kind.name);

    let (mut tried, mut passed) = (0, 0);
    for missing in (1..=bricks).flat_map(|count| subsets(bricks, count)) {
        let lost: BTreeSet<&String> = kind.lost(&missing).into_iter().map(|set| &sets[set]).collect();
        let volume = match open_without(&missing) {
            Ok(volume) => volume,
            // Nothing is left to look at.
            Err(error) => {
                assert!(missing.len() == bricks && matches!(error, ShardError::NoBricks { .. }), "{error}");
                continue;
            }
        };
        let bricks: Vec<String> =
            volume.missing_bricks().iter().map(|missing| missing.brick.to_string()).collect();
        assert_eq!(bricks.len(), missing.len());
        for (name, expected) in &few {
            tried += 1;
            let needs = &needs[name];
            let is_lost =
                !lost.is_empty() && (needs.has_holes || lost.iter().any(|set| needs.sets.contains(*set)));
            let error = match open(&volume, name).map(|file| read(&file)) {
                Ok(Ok(bytes)) => {
                    assert!(&bytes == expected, "{name} of {} differs without {missing:?}", kind.name);
                    assert!(!is_lost, "{name} of {} is read without {missing:?}", kind.name);
                    passed += 1;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(!lost.is_empty(), "{name} of {} is not read without {missing:?}: {error}", kind.name);
            assert!(bricks.iter().any(|brick| error.contains(brick)), "{missing:?} are not named: {error}");
            passed += usize::from(is_lost || needs.is_empty);
        }
    }
    println!("matrix {}, without every set of bricks: tried {tried}, passed {passed}", kind.name);
    assert_eq!(tried, passed);
    // Last: reading a hole there makes the shards that it misses.
    equals_the_mounts(mount, &files);
}

#[test]
fn each_type_is_read_without_any_bricks_that_it_may_lose_and_what_is_lost_is_refused() {
    let bench = Bench::up("shardtypes", (Redundancy::None, 3), (Redundancy::Replica(2), 1), &[]);
    for (site, kind) in [(SiteName::A, &TYPES[0]), (SiteName::B, &TYPES[1])] {
        sweep(kind, &bench.mount(site), &|missing| bench.try_volume(site, missing));
    }
    let made = if full() { &TYPES[2..] } else { &TYPES[2..3] };
    for (number, kind) in made.iter().enumerate() {
        let name = format!("type{number}");
        let volume = Made::up(bench.lab.site(SiteName::A), &name, kind.kind, kind.sets * kind.of);
        sweep(kind, &volume.mount(), &|missing| volume.try_volume(missing));
    }
}
