//! Files on a real volume to which bricks come and from which they go, read at each stage and while they move.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod mounted;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mounted::{Bench, SHARD, brick_paths, full, listed, open, pattern, put, read, write_files};
use stillpoint_lab::{Redundancy, Site, SiteName};
use stillpoint_shard::{BrickMap, Finding, OpenOptions, ShardError, Topology, Volume};

const SITE: SiteName = SiteName::A;

/// Not a property: the machine may be busy with other labs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A volume of two sets at first, and what is on it.
struct Moving {
    bench: Bench,
    per_set: usize,
    files: BTreeMap<String, Vec<u8>>,
}

impl Moving {
    fn up(instance: &str, redundancy: Redundancy, per_set: usize) -> Self {
        // One file at a time moves.
        let bench = Bench::up(
            instance,
            (redundancy, 2),
            (Redundancy::None, 1),
            &[("cluster.rebal-throttle", "lazy")],
        );
        let mount = bench.mount(SITE);
        let mut names = write_files(&mount);
        put(&mount.join("long"), 0, 100, 40 * SHARD);
        names.push("long".to_owned());
        let files =
            names.into_iter().map(|name| (name.clone(), fs::read(mount.join(name)).unwrap())).collect();
        Self { bench, per_set, files }
    }

    fn site(&self) -> &Site {
        self.bench.lab.site(SITE)
    }

    fn volume_name(&self) -> String {
        self.bench.lab.config().volume(SITE).name.clone()
    }

    /// Runs `gluster volume ACTION VOLUME REST`.
    fn gluster(&self, action: &str, rest: &str) -> String {
        let name = self.volume_name();
        self.site().sh(&format!("gluster --mode=script volume {action} {name} {rest}")).unwrap()
    }

    /// Every file by every description that is asked for, and the names of the volume. What is found odd must be among
    /// `odd`, by the name of the finding.
    fn is_whole(&self, stage: &str, odd: &[&str]) {
        let names: Vec<String> = self.files.keys().cloned().collect();
        let volume = self.bench.volume(SITE, &[]);
        listed(&volume, &self.bench.mount(SITE), &names);
        let mut found = self.compare(&volume, stage);
        // The same by nothing but bricks.
        let bricks: Vec<PathBuf> = volume.bricks().into_iter().map(|(_, local)| local).collect();
        let alone = Topology::from_bricks(&bricks)
            .and_then(|topology| Volume::open(topology, &BrickMap::default(), OpenOptions::default()))
            .unwrap_or_else(|error| panic!("{stage}, by bricks alone: {error}"));
        found.extend(self.compare(&alone, &format!("{stage}, by bricks alone")));
        for (name, finding) in found {
            assert!(odd.contains(&kind_of(&finding)), "{stage}: {name}: {finding}");
        }
    }

    fn compare(&self, volume: &Volume, stage: &str) -> Vec<(String, Finding)> {
        let mut findings = Vec::new();
        for (name, expected) in &self.files {
            let file = open(volume, name).unwrap_or_else(|error| panic!("{stage}: {name}: {error}"));
            let bytes = read(&file).unwrap_or_else(|error| panic!("{stage}: {name}: {error}"));
            assert!(&bytes == expected, "{stage}: {name} differs");
            findings.extend(file.findings().into_iter().map(|finding| (name.clone(), finding)));
        }
        findings
    }

    /// Starts something that moves files, stops it in the middle of one and reads them all; then reads them while it goes
    /// on, until it has ended.
    fn moves(&self, stage: &str, (action, rest): (&str, &str)) {
        self.gluster(action, &format!("{rest} start{}", if action == "rebalance" { " force" } else { "" }));
        let mover = self.stopped_in_the_middle();
        let volume = self.bench.volume(SITE, &[]);
        let found = self.compare(&volume, &format!("{stage}, stopped"));
        self.site().sh(&format!("kill -CONT {mover}")).unwrap();
        let seen = found.iter().any(|(_, finding)| kind_of(finding) == "migrating");
        assert!(seen, "{stage}: nothing was told to be in migration: {found:?}");

        let (mut right, mut again) = (0, 0);
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{stage} does not end");
            for (name, expected) in &self.files {
                match self.read_moving(name) {
                    Ok(bytes) => {
                        assert!(&bytes == expected, "{stage}, under way: {name} differs");
                        right += 1;
                    }
                    // It went while it was looked at.
                    Err(error) => {
                        assert!(error.is_retryable(), "{stage}, under way: {name}: {error}");
                        again += 1;
                    }
                }
            }
            if self.has_ended(action, rest) {
                break;
            }
        }
        println!("{stage}: {right} files read while files moved, {again} to be read again");
        assert!(right > 0, "{stage}: nothing was read while files moved");
    }

    fn read_moving(&self, name: &str) -> Result<Vec<u8>, ShardError> {
        let file = open(&self.bench.volume(SITE, &[]), name)?;
        read(&file).map_err(|error| match error.downcast::<ShardError>() {
            Ok(error) => error,
            Err(error) => ShardError::Read(error),
        })
    }

    /// Stops the process that moves files while a shard is in migration; its id.
    fn stopped_in_the_middle(&self) -> String {
        let name = self.volume_name();
        let find = format!(
            "cat $(find /run/gluster /var/lib/glusterd -path '*{name}*' -path '*rebalance*' -name '*.pid') /dev/null"
        );
        let shards: Vec<PathBuf> = self
            .bench
            .volume(SITE, &[])
            .bricks()
            .into_iter()
            .map(|(_, brick)| brick.join(".shard"))
            .collect();
        let began = Instant::now();
        let mut mover = String::new();
        while began.elapsed() < PATIENCE {
            if mover.is_empty() {
                mover = self.site().sh(&find).unwrap_or_default().trim().to_owned();
            }
            if mover.is_empty() || !is_migrating(&shards) {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let _ = self.site().sh(&format!("kill -STOP {mover}"));
            // What it had asked for is done.
            std::thread::sleep(Duration::from_millis(200));
            if is_migrating(&shards) {
                return mover;
            }
            let _ = self.site().sh(&format!("kill -CONT {mover}"));
        }
        panic!("no shard was seen in migration by process {mover:?}");
    }

    fn has_ended(&self, action: &str, rest: &str) -> bool {
        let status = self.gluster(action, &format!("{rest} status"));
        assert!(!status.contains("failed  ") && !status.contains("stopped"), "{status}");
        status.contains("completed") && !status.contains("in progress")
    }

    fn wait_for(&self, action: &str, rest: &str) {
        let began = Instant::now();
        while !self.has_ended(action, rest) {
            assert!(began.elapsed() < PATIENCE, "{action} {rest} does not end");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Whether any file of these directories is the source of a migration: sticky and set-gid together.
fn is_migrating(directories: &[PathBuf]) -> bool {
    let marked = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.metadata().ok())
            .any(|data| data.permissions().mode() & 0o3000 == 0o3000)
    };
    directories.iter().any(|directory| marked(directory))
}

fn kind_of(finding: &Finding) -> &'static str {
    match finding {
        Finding::Misplaced { .. } => "misplaced",
        Finding::Migrating { .. } => "migrating",
        Finding::Duplicate { .. } => "duplicate",
        _ => "other",
    }
}

/// `kind` is what `add-brick` and `remove-brick` take before the bricks.
fn bricks_come_and_go(instance: &str, redundancy: Redundancy, kind: &str, per_set: usize) {
    let mut moving = Moving::up(instance, redundancy, per_set);
    moving.is_whole("before", &[]);

    let come = brick_paths(moving.site(), "come", 0..per_set);
    moving.gluster("add-brick", &format!("{kind} {come} force"));
    moving.is_whole("bricks added", &[]);

    // The names are shared out anew, the files stay: what is written now goes to where it belongs now.
    moving.gluster("rebalance", "fix-layout start");
    moving.wait_for("rebalance", "");
    moving.is_whole("layout fixed", &["misplaced"]);
    let mount = moving.bench.mount(SITE);
    for (index, seed) in [(1, 110), (4, 111), (9, 112), (10, 113)] {
        put(&mount.join("sparse"), index * SHARD + 5, seed, SHARD / 2);
        let at = (index * SHARD + 5) as usize;
        let sparse = moving.files.get_mut("sparse").unwrap();
        sparse[at..at + (SHARD / 2) as usize].copy_from_slice(&pattern(seed, SHARD / 2));
    }
    fs::rename(mount.join("cut"), mount.join("vms/cut")).unwrap();
    let cut = moving.files.remove("cut").unwrap();
    moving.files.insert("vms/cut".to_owned(), cut);
    moving.is_whole("layout fixed, written to", &["misplaced"]);

    moving.moves("rebalance", ("rebalance", ""));
    moving.is_whole("rebalanced", &[]);

    // The first set goes. Not committed, its bricks still belong to the volume, and hold no name's share.
    let volume = moving.bench.volume(SITE, &[]);
    let leaving: Vec<String> =
        volume.topology().subvolumes[0].bricks.iter().map(|brick| brick.name.to_string()).collect();
    let leaving = format!("{kind} {}", leaving.join(" "));
    moving.moves("removal of bricks", ("remove-brick", &leaving));
    let volume = moving.bench.volume(SITE, &[]);
    let gone = volume.topology().bricks().filter(|brick| brick.decommissioned).count();
    assert_eq!(gone, moving.per_set);
    moving.is_whole("bricks removed, not committed", &[]);
    moving.gluster("remove-brick", &format!("{leaving} commit"));
    let volume = moving.bench.volume(SITE, &[]);
    assert_eq!(volume.topology().bricks().count(), 2 * moving.per_set);
    moving.is_whole("bricks removed", &[]);
}

#[test]
fn replicated_files_are_read_while_bricks_come_and_go() {
    bricks_come_and_go("shardmove", Redundancy::Replica(2), "replica 2", 2);
}

#[test]
fn files_without_replicas_are_read_while_bricks_come_and_go() {
    if !full() {
        println!("skipped: the replicated ones stand for them, but for STILLPOINT_FULL=1");
        return;
    }
    bricks_come_and_go("shardmove1", Redundancy::None, "", 1);
}
