//! Files written through mounts of real dispersed volumes, read from any bricks that suffice.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod mounted;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions as Open};
use std::path::Path;
use std::time::Duration;

use mounted::{
    Bench, MIB, SHARD, audit, audits_clean, equal, equals_the_mounts, full, most, only, open, put, read,
    some, subsets, undescribed, whole, write_files,
};
use stillpoint_lab::{Redundancy, SiteName};
use stillpoint_shard::audit::{Problem, Severity};
use stillpoint_shard::{ShardError, ShardState, Standing};

const FOUR_AND_TWO: Redundancy = Redundancy::Disperse { data: 4, parity: 2 };
const TWO_AND_ONE: Redundancy = Redundancy::Disperse { data: 2, parity: 1 };

/// How long Gluster may take to bring a file's counters to the bricks after the last write, a second, and to notice
/// that a brick is gone.
const SETTLE: Duration = Duration::from_secs(2);

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
        let audited = audits_clean(|| bench.volume(site, &[]), "vms");
        assert!(audited.compared > 0 && audited.not_comparable == 0, "{audited:#?}");
        let files = whole(&bench.volume(site, &[]), &names);
        let sparse = open(&bench.volume(site, &[]), "sparse").unwrap();
        for index in [1, 4, 5, 9, 10, 11, 12] {
            assert_eq!(sparse.shard(index).unwrap(), ShardState::Hole, "shard {index}");
        }
        let few = only(&files, &some(&names));
        // Nothing but the bricks, in an order that is not theirs.
        let order = match site {
            SiteName::A => &[4, 0, 3, 5, 1, 2],
            SiteName::B => &[5, 2, 0, 4, 1, 3],
        };
        let undescribed = undescribed(&bench.volume(site, &[]), order).unwrap();
        assert_eq!(equal(&undescribed, &few), few.len(), "from bricks in any order");
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
    let (findings, summary) = audit(&volume);
    let behind = volume.bricks()[0].0.clone();
    let heal = |problem: &Problem| match problem {
        Problem::NeedsHeal { bricks, .. } | Problem::CopyMissing { bricks } => bricks[..] == [behind.clone()],
        _ => false,
    };
    for name in ["sparse", "new", "cut"] {
        let mut of_it = findings.iter().filter(|finding| finding.path.as_deref() == Some(Path::new(name)));
        assert!(of_it.any(|finding| heal(&finding.problem)), "{name}: {findings:#?}");
    }
    assert_eq!((summary.worst(), summary.is_whole()), (Some(Severity::Attention), true), "{findings:#?}");

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
