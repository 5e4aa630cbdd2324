//! Files that are deleted through a mount while a brick is away, which goes on being away.

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use stillpoint_lab::SiteName;
use stillpoint_shard::audit::{Problem, Severity};
use stillpoint_shard::export::{RescueOptions, rescue_file};
use stillpoint_shard::{FileRef, LeftOver, Remains, ShardState};
use uuid::Uuid;

use super::{Bench, MIB, SHARD, audit, open, pattern, put};

/// How long Gluster may take to notice that a brick is gone.
const NOTICED: Duration = Duration::from_secs(2);

const LEN: u64 = 5 * SHARD + MIB;

/// On a volume that is only distributed: files whose base goes, and whose shards on a brick that is away can't. They are
/// listed, audited as deleted, and exported by their gfids, but for what was deleted already.
pub(crate) fn deleted_are_saved(bench: &Bench, site: SiteName) {
    let mount = bench.mount(site);
    let names: Vec<String> = (0..6).map(|number| format!("doomed-{number}")).collect();
    for (seed, name) in names.iter().enumerate() {
        put(&mount.join(name), 0, 200 + seed as u64, LEN);
    }
    let volume = bench.volume(site, &[]);
    let gfids: Vec<Uuid> = names.iter().map(|name| open(&volume, name).unwrap().gfid()).collect();
    bench.lab.faults().kill_brick(site, 1).unwrap();
    std::thread::sleep(NOTICED);
    // Of those whose base or marker belongs on the brick that is away the deletion is refused.
    let doomed: Vec<usize> =
        (0..names.len()).filter(|number| fs::remove_file(mount.join(&names[*number])).is_ok()).collect();
    assert!(!doomed.is_empty(), "every deletion was refused");
    std::thread::sleep(Duration::from_secs(1));

    let volume = bench.volume(site, &[]);
    let left = volume.left_over().unwrap();
    let (findings, _) = audit(&volume);
    let target = tempfile::tempdir().unwrap();
    let mut saved = 0;
    for number in doomed {
        let gfid = gfids[number];
        let Some(LeftOver { remains: Remains::Deleted, size, shard_size, shards, bytes, .. }) =
            left.iter().find(|left| left.gfid == gfid)
        else {
            panic!("{} is not among {left:#?}", names[number])
        };
        assert_eq!((*size, *shard_size), (Some(LEN), Some(SHARD)));
        let deleted = |problem: &Problem| matches!(problem, Problem::Deleted { shards: found, bytes: sum } if (found, sum) == (shards, bytes));
        let told = findings.iter().find(|finding| finding.gfid == Some(gfid)).unwrap();
        assert!(deleted(&told.problem) && told.severity() == Severity::Harmless, "{told}");

        let file = volume.open_file(&FileRef::Gfid(gfid)).unwrap();
        let expected = pattern(200 + number as u64, LEN);
        let (out, map) = (target.path().join(&names[number]), target.path().join("map"));
        let options = RescueOptions { about: gfid.to_string(), leave_out: true };
        let done = rescue_file(&file, &out, &map, &options, &mut |_| ControlFlow::Continue(())).unwrap();
        let got = fs::read(&out).unwrap();
        assert_eq!(got.len() as u64, LEN);
        let mut there = 0;
        for (index, (got, expected)) in
            got.chunks(SHARD as usize).zip(expected.chunks(SHARD as usize)).enumerate()
        {
            // That one is the base; and of one that is gone it is not known whether it was a hole.
            match file.shard(index as u64) {
                Ok(ShardState::Present(_)) if index > 0 => {
                    assert!(got == expected, "shard {index} of {}", names[number]);
                    there += got.len() as u64;
                }
                Ok(state) => panic!("shard {index} of {}: {state:?}", names[number]),
                Err(_) => assert!(got.iter().all(|byte| *byte == 0), "shard {index} of {}", names[number]),
            }
        }
        assert_eq!((there, LEN - there), (*bytes, done.progress.missing), "{}", names[number]);
        saved += there;
        fs::remove_file(map).unwrap();
    }
    println!("{saved} bytes of deleted files were saved");
    assert!(saved > 0, "all shards were deleted already");
}

/// On a replicated volume: what a brick that is away misses the deletion of is no orphan, and no file.
pub(crate) fn missed_deletions_are_told(bench: &Bench, site: SiteName) {
    let mount = bench.mount(site);
    let names: Vec<String> = (0..4).map(|number| format!("doomed-{number}")).collect();
    for name in &names {
        put(&mount.join(name), 0, 210, 8 * SHARD);
    }
    let volume = bench.volume(site, &[]);
    let gfids: Vec<Uuid> = names.iter().map(|name| open(&volume, name).unwrap().gfid()).collect();
    let away = volume.topology().bricks().next().unwrap().name.clone();
    bench.lab.faults().kill_brick(site, 0).unwrap();
    std::thread::sleep(NOTICED);
    let links = (0..4).map(|number| format!("vms/link-{number}"));
    for name in names.iter().cloned().chain(links) {
        fs::remove_file(mount.join(name)).unwrap();
    }
    std::thread::sleep(NOTICED);
    let (findings, summary) = audit(&bench.volume(site, &[]));
    let kept = findings.iter().filter_map(|finding| match &finding.problem {
        Problem::ShardsStale { shards: 1.., .. } => finding.gfid,
        _ => None,
    });
    let kept: Vec<Uuid> = kept.collect();
    assert!(!kept.is_empty() && kept.iter().all(|gfid| gfids.contains(gfid)), "{findings:#?}");
    // Names that it kept, if any was its own.
    for finding in &findings {
        let of_it = matches!(&finding.problem,
            Problem::ShardsStale { bricks, .. } | Problem::StaleName { bricks } | Problem::NeedsHeal { bricks, .. }
                if bricks[..] == [away.clone()]);
        assert!(of_it || matches!(finding.problem, Problem::Deleted { .. }), "{finding}");
    }
    assert_eq!((summary.worst(), summary.is_whole()), (Some(Severity::Attention), true), "{findings:#?}");
    // Nor is what it has under their gfids a file.
    for gfid in gfids {
        let opened = bench.volume(site, &[]).open_file(&FileRef::Gfid(gfid));
        assert!(opened.is_err(), "{gfid} is gone: {opened:?}");
    }
}
