//! Files written through mounts of real volumes, read from their bricks.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod mounted;

use std::fs::{self, File, OpenOptions as Open};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mounted::{
    Bench, MIB, SHARD, all_zeros, audit, audits_clean, deleted_are_saved, listed, missed_deletions_are_told,
    open, pattern, put, read, volume_of, write_files,
};
use stillpoint_lab::{Redundancy, SiteName};
use stillpoint_shard::audit::{AuditFinding, Problem, Severity};
use stillpoint_shard::{
    BrickMap, OpenOptions, ShardError, ShardState, ShardedFile, SplitBrainChoice, Standing, Topology, Volume,
    export,
};
use stillpoint_storage::{ExtentKind, Storage, extents};

/// Reads every file from the bricks and compares it with the mount's bytes.
fn all_equal(volume: &Volume, mount: &Path, names: &[String]) {
    for name in names {
        let file = open(volume, name).unwrap();
        let expected = fs::read(mount.join(name)).unwrap();
        assert_eq!(file.size(), expected.len() as u64, "{name}");
        assert!(read(&file).unwrap() == expected, "{name} differs from what the mount reads");
        let by_gfid = open(volume, &format!("gfid:{}", file.gfid())).unwrap();
        assert!(read(&by_gfid).unwrap() == expected, "{name} by its gfid differs from what the mount reads");
        for extent in extents(&file) {
            let extent = extent.unwrap();
            let (start, end) = (extent.offset as usize, extent.end() as usize);
            match extent.kind {
                ExtentKind::Hole => {
                    assert!(all_zeros(&expected[start..end]), "{name} {extent:?}")
                }
                ExtentKind::Data => {}
                ExtentKind::Unknown => panic!("{name} {extent:?}"),
            }
        }
        let odd: Vec<_> = file.findings();
        assert!(odd.is_empty(), "{name}: {odd:?}");
    }
}

/// With these bricks missing, nothing is read wrong and something is refused, naming them.
fn refused(bench: &Bench, site: SiteName, missing: &[usize], names: &[String]) {
    let volume = bench.volume(site, missing);
    let mount = bench.mount(site);
    let named: Vec<String> =
        volume.missing_bricks().iter().map(|missing| missing.brick.to_string()).collect();
    assert_eq!(named.len(), missing.len());
    let mut refusals = 0;
    for name in names {
        let expected = fs::read(mount.join(name)).unwrap();
        let error = match open(&volume, name).map(|file| read(&file)) {
            Ok(Ok(bytes)) => {
                assert!(bytes == expected, "{name} without {missing:?}");
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        refusals += 1;
        assert!(named.iter().any(|brick| error.contains(brick)), "{name} without {missing:?}: {error}");
    }
    assert!(refusals > 0, "nothing was refused without {missing:?}");
}

#[test]
fn what_a_mount_wrote_is_read_from_the_bricks_and_without_some_of_them() {
    let bench = Bench::up("shardone", (Redundancy::Replica(2), 2), (Redundancy::None, 2), &[]);
    for site in SiteName::ALL {
        let mount = bench.mount(site);
        let names = write_files(&mount);
        let sparse = open(&bench.volume(site, &[]), "sparse").unwrap();
        // Before anything is read through the mount: reading there makes the shards that it misses.
        for index in [1, 4, 5, 9, 10, 11, 12] {
            assert_eq!(sparse.shard(index).unwrap(), ShardState::Hole, "shard {index}");
        }
        let before = read(&sparse).unwrap();
        put(&mount.join("gone"), 0, 80, 3 * SHARD);
        fs::remove_file(mount.join("gone")).unwrap();
        let audited = audits_clean(|| bench.volume(site, &[]), "/");
        // One has two names.
        assert_eq!((audited.files, audited.sharded_files), (names.len() as u64, names.len() as u64 - 1));
        assert_eq!(audited.compared > 0, site == SiteName::A);
        assert!(
            before == fs::read(mount.join("sparse")).unwrap(),
            "sparse, before it was read through the mount"
        );
        all_equal(&bench.volume(site, &[]), &mount, &names);
        listed(&bench.volume(site, &[]), &mount, &names);
        // With the empty shards that reading made.
        audits_clean(|| bench.volume(site, &[]), "/");

        // The same by the other descriptions.
        let name = bench.lab.config().volume(site).name.clone();
        let xml = bench.lab.site(site).gluster(["volume", "info", &name, "--xml"]).unwrap();
        let by_xml = Topology::from_volume_info_xml(&xml, None).unwrap();
        let by_bricks = Topology::from_bricks(&bench.lab.site(site).brick_dirs()).unwrap();
        for topology in [by_xml, by_bricks] {
            let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap();
            audits_clean(|| volume.clone(), "/");
            all_equal(&volume, &mount, &names);
            listed(&volume, &mount, &names);
        }
        let target = tempfile::tempdir().unwrap();
        let out = target.path().join("out");
        export::copy_file(&sparse, &out, &export::ExportOptions::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(fs::read(&out).unwrap() == before);

        match site {
            SiteName::A => {
                for missing in [[0, 2], [1, 3], [0, 3], [1, 2]] {
                    all_equal(&bench.volume(site, &missing), &mount, &names);
                }
                refused(&bench, site, &[0, 1], &names);
                refused(&bench, site, &[2, 3], &names);
                refused(&bench, site, &[0, 2, 3], &names);
                missed_deletions_are_told(&bench, site);
            }
            SiteName::B => {
                refused(&bench, site, &[0], &names);
                refused(&bench, site, &[1], &names);
                deleted_are_saved(&bench, site);
            }
        }
    }
}

/// What there is to say about a shard that was read wrong.
fn difference(disk: &ShardedFile, index: u64, got: &[u8], expected: &[u8]) -> String {
    let first = got.iter().zip(expected).position(|(got, expected)| got != expected).unwrap();
    let last = got.iter().zip(expected).rposition(|(got, expected)| got != expected).unwrap();
    let zeros = |bytes: &[u8]| bytes[first..=last].iter().all(|&byte| byte == 0);
    format!(
        "shard {index} differs from {first} to {last}; zeros there: got {}, the mount {}; {:?}; {:?}",
        zeros(got),
        zeros(expected),
        disk.shard(index),
        disk.findings()
    )
}

#[test]
fn a_disk_of_two_gibibytes_equals_the_mounts_with_and_without_one_replica() {
    let bench = Bench::up("shardbig", (Redundancy::Replica(2), 2), (Redundancy::None, 1), &[]);
    let mount = bench.mount(SiteName::A);
    let path = mount.join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(2048 * MIB).unwrap();
    for piece in (0..128).filter(|piece| piece % 8 != 3) {
        file.write_all_at(&pattern(piece, 8 * MIB), piece * 16 * MIB + (piece % 5) * MIB).unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    let target = tempfile::tempdir_in("/var/tmp").unwrap();
    let out = target.path().join("out");
    let disks: Vec<_> = [&[][..], &[0, 2], &[1, 3]]
        .map(|missing| open(&bench.volume(SiteName::A, missing), "disk").unwrap())
        .into_iter()
        .collect();
    let done = export::copy_file(&disks[0], &out, &export::ExportOptions::default(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(done.done, 2048 * MIB);
    assert!(done.copied < 1200 * MIB, "holes were copied: {done:?}");
    let (through_mount, export) = (File::open(&path).unwrap(), File::open(&out).unwrap());
    let (mut expected, mut got) = (vec![0; SHARD as usize], vec![0; SHARD as usize]);
    for index in 0..2048 * MIB / SHARD {
        let at = index * SHARD;
        through_mount.read_exact_at(&mut expected, at).unwrap();
        for (number, disk) in disks.iter().enumerate() {
            disk.read_exact_at(at, &mut got).unwrap();
            assert!(got == expected, "disk {number}: {}", difference(disk, index, &got, &expected));
        }
        export.read_exact_at(&mut got, at).unwrap();
        assert!(got == expected, "the export: {}", difference(&disks[0], index, &got, &expected));
    }
    assert!(disks.iter().all(|disk| disk.findings().is_empty()));
    let half = open(&bench.volume(SiteName::A, &[2, 3]), "disk");
    let error = half.and_then(|disk| {
        let out = target.path().join("refused");
        export::copy_file(&disk, &out, &export::ExportOptions::default(), &mut |_| ControlFlow::Continue(()))
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("gv1-b2") && error.contains("gv1-b3"), "{error}");
    assert!(!target.path().join("refused").exists());
}

/// As QEMU writes to an overlay. With write-behind, Gluster damages about one such file in ten where a shard begins.
#[test]
fn what_several_threads_write_at_once_to_a_growing_file_is_there_as_written() {
    let bench = Bench::up("shardgrow", (Redundancy::Replica(2), 2), (Redundancy::None, 1), &[]);
    let mount = bench.mount(SiteName::A);
    for round in 0..40_u64 {
        let expected = pattern(round + 1, 10 * MIB);
        // Pieces of 4 to 320 KiB, one after the other, taken by whoever is free.
        let lengths = pattern(round + 1000, 1024).into_iter().map(|byte| (usize::from(byte) % 80 + 1) << 12);
        let mut rest = &expected[..];
        let mut pieces: Vec<(u64, &[u8])> = Vec::new();
        for length in lengths {
            let at = (expected.len() - rest.len()) as u64;
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push((at, piece));
            rest = after;
        }
        assert!(rest.is_empty());
        let name = format!("grows-{round}");
        let file = Open::new().write(true).create_new(true).open(mount.join(&name)).unwrap();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while let Some((at, piece)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                        file.write_all_at(piece, *at).unwrap();
                    }
                });
            }
        });
        file.sync_all().unwrap();
        drop(file);
        for missing in [[0, 2], [1, 3]] {
            let disk = open(&bench.volume(SiteName::A, &missing), &name).unwrap();
            let got = read(&disk).unwrap();
            let wrong =
                got.chunks(4096).zip(expected.chunks(4096)).position(|(got, expected)| got != expected);
            assert_eq!(
                (got.len(), wrong),
                (expected.len(), None),
                "file {round}, the first block of 4 KiB that is wrong"
            );
        }
        fs::remove_file(mount.join(&name)).unwrap();
    }
}

#[test]
fn arbiters_and_three_replicas_are_read_and_an_arbiter_alone_is_refused() {
    let bench = Bench::up("shardarb", (Redundancy::Arbiter, 2), (Redundancy::Replica(3), 1), &[]);
    for site in SiteName::ALL {
        let mount = bench.mount(site);
        let names = write_files(&mount);
        audits_clean(|| bench.volume(site, &[]), "/");
        all_equal(&bench.volume(site, &[]), &mount, &names);
        let (survivable, too_much) = match site {
            SiteName::A => (vec![vec![0, 3], vec![1, 4], vec![2, 5], vec![0, 2, 4, 5]], vec![0, 1]),
            SiteName::B => (vec![vec![0], vec![0, 1], vec![1, 2]], vec![0, 1, 2]),
        };
        for missing in survivable {
            all_equal(&bench.volume(site, &missing), &mount, &names);
        }
        if site == SiteName::A {
            let volume = bench.volume(site, &too_much);
            let failed =
                names.iter().filter(|name| !open(&volume, name).is_ok_and(|file| read(&file).is_ok()));
            assert!(failed.count() > 0);
        }
    }
}

/// A brick is killed while files are written, and not healed; then the other one, for a split-brain.
#[test]
fn unhealed_replicas_are_not_read_and_split_brain_is_refused() {
    let off = [
        ("cluster.self-heal-daemon", "off"),
        ("cluster.data-self-heal", "off"),
        ("cluster.metadata-self-heal", "off"),
        ("cluster.entry-self-heal", "off"),
        ("cluster.quorum-type", "none"),
    ];
    let bench = Bench::up("shardsb", (Redundancy::Replica(2), 1), (Redundancy::None, 1), &off);
    let site = SiteName::A;
    let mount = bench.mount(site);
    let mut names = write_files(&mount);
    let settle = || std::thread::sleep(Duration::from_secs(4));
    settle();
    bench.lab.faults().kill_brick(site, 0).unwrap();
    settle();
    put(&mount.join("sparse"), 3 * SHARD + 10, 90, 2 * SHARD);
    put(&mount.join("linked"), 0, 91, SHARD);
    put(&mount.join("new"), 0, 92, 2 * SHARD + 1);
    Open::new().write(true).open(mount.join("cut")).unwrap().set_len(SHARD).unwrap();
    names.push("new".to_owned());
    settle();
    let volume = bench.volume(site, &[]);
    all_equal(&volume, &mount, &names);
    let ShardState::Present(base) = open(&volume, "linked").unwrap().shard(0).unwrap() else {
        panic!("a hole")
    };
    let standings: Vec<_> = base.copies.iter().map(|copy| copy.standing).collect();
    assert_eq!(standings, [Standing::Blamed, Standing::Chosen]);
    let paths = volume.names_of(base.gfid).unwrap();
    assert_eq!(paths.paths, ["linked", "vms/other name"].map(std::path::PathBuf::from), "{paths:?}");
    let (findings, summary) = audit(&volume);
    let behind = volume.bricks()[0].0.clone();
    for name in ["linked", "sparse", "new", "cut"] {
        let heal = |problem: &Problem| match problem {
            Problem::NeedsHeal { bricks, .. } | Problem::CopyMissing { bricks } => {
                bricks[..] == [behind.clone()]
            }
            _ => false,
        };
        let told =
            |of: &Path| of == Path::new(name) || (name == "linked" && of == Path::new("vms/other name"));
        let of_it = findings.iter().filter(|finding| finding.path.as_deref().is_some_and(told));
        assert!(of_it.into_iter().any(|finding| heal(&finding.problem)), "{name}: {findings:#?}");
    }
    assert_eq!((summary.worst(), summary.is_whole()), (Some(Severity::Attention), true), "{findings:#?}");

    bench.lab.faults().restart_bricks(site).unwrap();
    settle();
    bench.lab.faults().kill_brick(site, 1).unwrap();
    settle();
    put(&mount.join("linked"), 100, 93, 1000);
    settle();
    let volume = bench.volume(site, &[]);
    match open(&volume, "linked").map(|file| read(&file)) {
        Ok(Err(error)) => assert!(error.to_string().contains("split-brain"), "{error}"),
        Ok(Ok(_)) => panic!("a split-brain was read"),
        Err(error) => assert!(matches!(error, ShardError::SplitBrain { .. }), "{error}"),
    }
    // It shows who blames whom.
    let error = open(&volume, "linked").and_then(|file| file.shard(0)).unwrap_err().to_string();
    let bricks: Vec<_> = volume.topology().bricks().map(|brick| brick.name.clone()).collect();
    assert!(bricks.iter().all(|brick| error.contains(&brick.to_string())), "no matrix: {error}");
    let (findings, summary) = audit(&volume);
    let split = |problem: &Problem| matches!(problem, Problem::SplitBrain { change: "data", .. });
    let split: Vec<_> = findings.iter().filter(|finding| split(&finding.problem)).collect();
    assert!(!split.is_empty(), "{findings:#?}");
    // Who accuse each other don't miss each other's changes.
    for finding in &split {
        assert!(finding.problem.advice().contains("--split-brain"));
        let heal = |other: &&AuditFinding| {
            other.path == finding.path
                && matches!(&other.problem, Problem::NeedsHeal { changes, .. } if changes.contains(&"data"))
        };
        assert!(!findings.iter().any(|other| heal(&other)), "{findings:#?}");
    }
    assert!(summary.worst() >= Some(Severity::AtRisk));
    // Each copy by itself is what its brick was given; the mount may still have the other in its cache.
    let (first, second) = (pattern(70, SHARD + 5), pattern(91, SHARD));
    let mut on_brick_0 = first.clone();
    on_brick_0[100..1100].copy_from_slice(&pattern(93, 1000));
    let on_brick_1 = [&second[..], &first[SHARD as usize..]].concat();
    let choosing = |choice: SplitBrainChoice| {
        let options = OpenOptions { split_brain: vec![choice], ..OpenOptions::default() };
        let name = &bench.lab.config().volume(site).name;
        volume_of(bench.lab.site(site), name, &[], options).unwrap()
    };
    for (number, expected) in [(0, &on_brick_0), (1, &on_brick_1)] {
        let file = open(&bench.volume(site, &[1 - number]), "linked").unwrap();
        assert!(read(&file).unwrap() == *expected, "without the other brick than {number}");
        // And with both here, by the caller's choice, which is told.
        let file = open(&choosing(SplitBrainChoice::SourceBrick(bricks[number].clone())), "linked").unwrap();
        assert!(read(&file).unwrap() == *expected, "brick {number} chosen");
        assert!(!file.findings().is_empty());
    }
    let file = open(&choosing(SplitBrainChoice::LatestMtime), "linked").unwrap();
    assert!(read(&file).unwrap() == on_brick_0, "brick 0 was written to last");
}
