//! Files written through mounts of real dispersed volumes, read from any bricks that suffice.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod mounted;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions as Open};
use std::path::Path;
use std::time::Duration;

use mounted::{Bench, MIB, SHARD, open, put, read, write_files};
use stillpoint_lab::{Redundancy, SiteName};
use stillpoint_shard::{ShardError, ShardState, Standing, Volume};
use stillpoint_storage::{ExtentKind, extents};

const FOUR_AND_TWO: Redundancy = Redundancy::Disperse { data: 4, parity: 2 };
const TWO_AND_ONE: Redundancy = Redundancy::Disperse { data: 2, parity: 1 };

/// How long Gluster may take to bring a file's counters to the bricks after the last write, a second, and to notice
/// that a brick is gone.
const SETTLE: Duration = Duration::from_secs(2);

fn full() -> bool {
    std::env::var_os("STILLPOINT_FULL").is_some_and(|value| value == "1")
}

/// All ways to take `count` of `of` bricks.
fn subsets(of: usize, count: usize) -> Vec<Vec<usize>> {
    (0..1_u32 << of)
        .filter(|set| set.count_ones() as usize == count)
        .map(|set| (0..of).filter(|brick| set >> brick & 1 == 1).collect())
        .collect()
}

/// Files that are read whole: without most of those that were only renamed, but for a full run.
fn most(names: Vec<String>) -> Vec<String> {
    let is_like_others = |name: &str| name.strip_prefix("renamed-").is_some_and(|number| number > "1");
    names.into_iter().filter(|name| full() || !is_like_others(name)).collect()
}

/// Files that are read again and again; all of them in a full run.
fn some(names: &[String]) -> Vec<String> {
    let few = [format!("vms/a b/size-{}", SHARD + 1), "vms/a b/size-1".to_owned(), "sparse".to_owned()];
    names.iter().filter(|name| full() || few.contains(name)).cloned().collect()
}

/// What all bricks together give, by name, read by the name and, where it is short, by the gfid; and that nothing but zeros is a hole.
///
/// The mount is compared with that last: reading a hole there makes the shards that it misses, and reads at the same
/// time have been seen to make one twice, with another gfid on one brick than on the others.
fn whole(volume: &Volume, names: &[String]) -> BTreeMap<String, Vec<u8>> {
    let one = |name: &String| {
        let file = open(volume, name).unwrap();
        let bytes = read(&file).unwrap();
        if full() || file.shard_count() <= 2 {
            let by_gfid = open(volume, &format!("gfid:{}", file.gfid())).unwrap();
            assert!(read(&by_gfid).unwrap() == bytes, "{name} by its gfid");
        }
        for extent in extents(&file).map(Result::unwrap).filter(|extent| extent.kind != ExtentKind::Data) {
            assert_eq!(extent.kind, ExtentKind::Hole, "{name}");
            let (start, end) = (extent.offset as usize, extent.end() as usize);
            assert!(bytes[start..end].iter().all(|&byte| byte == 0), "{name} {extent:?}");
        }
        assert_eq!(file.findings(), [], "{name}");
        (name.clone(), bytes)
    };
    names.iter().map(one).collect()
}

/// The same as the mount reads.
fn equals_the_mounts(mount: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        assert!(&fs::read(mount.join(name)).unwrap() == bytes, "{name} differs from what the mount reads");
    }
}

/// Some of the files.
fn only(files: &BTreeMap<String, Vec<u8>>, names: &[String]) -> BTreeMap<String, Vec<u8>> {
    names.iter().map(|name| (name.clone(), files[name].clone())).collect()
}

/// How many files of `expected` are read from the volume. None is read as anything else.
fn equal(volume: &Volume, expected: &BTreeMap<String, Vec<u8>>) -> usize {
    let right = |(name, expected): (&String, &Vec<u8>)| {
        let error = match open(volume, name).map(|file| read(&file)) {
            Ok(Ok(bytes)) => {
                assert!(&bytes == expected, "{name} differs without {:?}", volume.missing_bricks());
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        println!("{}", error.lines().next().unwrap_or_default());
        false
    };
    expected.iter().filter(|entry| right(*entry)).count()
}

/// Reads files without each of these sets of bricks.
fn sweep(
    name: &str,
    bench: &Bench,
    site: SiteName,
    without: &[Vec<usize>],
    expected: &BTreeMap<String, Vec<u8>>,
) {
    let tried = without.len() * expected.len();
    let passed: usize = without.iter().map(|missing| equal(&bench.volume(site, missing), expected)).sum();
    println!("matrix {name}: tried {tried}, passed {passed}");
    assert_eq!(passed, tried, "{name}");
}

#[test]
fn what_a_mount_wrote_is_read_without_any_bricks_that_may_be_lost_and_not_without_one_more() {
    let bench = Bench::up("shardec", (FOUR_AND_TWO, 1), (TWO_AND_ONE, 2), &[]);
    for site in SiteName::ALL {
        let mount = bench.mount(site);
        let names = most(write_files(&mount));
        std::thread::sleep(SETTLE);
        let files = whole(&bench.volume(site, &[]), &names);
        let sparse = open(&bench.volume(site, &[]), "sparse").unwrap();
        for index in [1, 4, 5, 9, 10, 11, 12] {
            assert_eq!(sparse.shard(index).unwrap(), ShardState::Hole, "shard {index}");
        }
        let few = only(&files, &some(&names));
        match site {
            SiteName::A => {
                let mut lost = subsets(6, 2);
                lost.extend(if full() { subsets(6, 1) } else { Vec::new() });
                sweep("disperse 4+2", &bench, site, &lost, &few);
                for missing in subsets(6, 3) {
                    let volume = bench.volume(site, &missing);
                    for name in few.keys() {
                        let error = open(&volume, name).unwrap_err();
                        assert!(matches!(error, ShardError::Unknown { .. }), "{name}: {error}");
                        for brick in volume.missing_bricks() {
                            assert!(error.to_string().contains(&brick.brick.to_string()), "{name}: {error}");
                        }
                    }
                }
            }
            SiteName::B => {
                let one_each = |i: usize| vec![i % 3, 3 + i / 3];
                let mut lost: Vec<_> = (0..9).map(one_each).collect();
                lost.extend(if full() { subsets(6, 1) } else { Vec::new() });
                sweep("disperse 2+1, two of it", &bench, site, &lost, &few);
                for missing in [[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5]] {
                    let read = equal(&bench.volume(site, &missing), &few);
                    assert!(read < few.len(), "nothing was refused without {missing:?}");
                }
            }
        }
        equals_the_mounts(&mount, &files);
    }
}

#[test]
fn fragments_of_a_brick_that_was_killed_and_not_healed_are_not_read() {
    let off = [("cluster.disperse-self-heal-daemon", "disable"), ("disperse.background-heals", "0")];
    let bench = Bench::up("shardeck", (FOUR_AND_TWO, 1), (TWO_AND_ONE, 1), &off);
    let site = SiteName::A;
    let mount = bench.mount(site);
    let mut names = most(write_files(&mount));
    std::thread::sleep(SETTLE);
    bench.lab.faults().kill_brick(site, 0).unwrap();
    std::thread::sleep(SETTLE);
    put(&mount.join("sparse"), 3 * SHARD + 10, 90, 2 * SHARD);
    put(&mount.join("linked"), 0, 91, SHARD);
    put(&mount.join("new"), 0, 92, 2 * SHARD + 1);
    Open::new().write(true).open(mount.join("cut")).unwrap().set_len(SHARD + MIB).unwrap();
    fs::rename(mount.join("punched"), mount.join("moved")).unwrap();
    fs::remove_file(mount.join("renamed-0")).unwrap();
    names.retain(|name| name != "punched" && name != "renamed-0");
    names.extend(["new", "moved"].map(str::to_owned));
    std::thread::sleep(SETTLE);

    let volume = bench.volume(site, &[]);
    let files = whole(&volume, &names);
    assert!(matches!(open(&volume, "renamed-0"), Err(ShardError::NotFound { .. })));
    let ShardState::Present(base) = open(&volume, "linked").unwrap().shard(0).unwrap() else {
        panic!("a hole")
    };
    let standings: Vec<_> = base.copies.iter().map(|copy| copy.standing).collect();
    let chosen = Standing::Chosen;
    assert_eq!(standings, [Standing::Outdated, chosen, chosen, chosen, chosen, Standing::Good]);

    let changed: Vec<String> = ["sparse", "linked", "new", "cut", "moved"].map(str::to_owned).to_vec();
    sweep("disperse 4+2, unhealed", &bench, site, &subsets(6, 1), &only(&files, &changed));
    // With the stale brick three are away; what was not changed since needs only four of any.
    let expected = only(&files, &some(&names));
    for missing in subsets(6, 2).into_iter().filter(|missing| !missing.contains(&0)) {
        let volume = bench.volume(site, &missing);
        assert!(equal(&volume, &expected) > 0, "what was not changed is not read without {missing:?}");
        // A rename changes the directory, not the file.
        for name in changed.iter().filter(|name| *name != "moved") {
            let error = match open(&volume, name).map(|file| read(&file)) {
                Ok(Ok(_)) => panic!("{name} was read without {missing:?}"),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            for brick in volume.missing_bricks() {
                assert!(error.contains(&brick.brick.to_string()), "{name}: {error}");
            }
        }
    }
    equals_the_mounts(&mount, &files);
}
