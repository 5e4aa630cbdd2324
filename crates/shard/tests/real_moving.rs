//! Files on a real volume to which bricks come and from which they go, read at each stage and while they move.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod mounted;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mounted::{Bench, SHARD, audit, brick_paths, full, listed, open, pattern, put, read, write_files};
use stillpoint_lab::{Redundancy, Site, SiteName, VolumeLayout};
use stillpoint_shard::audit::Severity;
use stillpoint_shard::{BrickMap, Finding, OpenOptions, ShardError, Topology, Volume};

const SITE: SiteName = SiteName::A;

/// Not a property: the machine may be busy with other labs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A volume of two sets at first, and what is on it.
struct Moving {
    bench: Bench,
    redundancy: Redundancy,
    per_set: usize,
    files: BTreeMap<String, Vec<u8>>,
    /// How many files were read, each equal to what was written.
    read: Cell<usize>,
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
        let moving = Self { bench, redundancy, per_set, files, read: Cell::new(0) };
        moving.settle();
        moving
    }

    /// A dispersed volume's marks of the last writes are taken away a second after these, later where the machine is busy.
    fn settle(&self) {
        if matches!(self.redundancy, Redundancy::Disperse { .. }) {
            std::thread::sleep(Duration::from_secs(5));
        }
    }

    fn site(&self) -> &Site {
        self.bench.lab.site(SITE)
    }

    /// As `replica2`, `disperse4+2`.
    fn layout(&self) -> String {
        let layout = VolumeLayout { redundancy: self.redundancy, subvolumes: 1 }.to_string();
        layout.trim_end_matches(":1").to_owned()
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
        println!("{stage}");
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
            self.read.set(self.read.get() + 1);
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
                        self.read.set(self.read.get() + 1);
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

    /// What was moved is whole. On a dispersed volume its fragments stay marked as being written, since the process that
    /// moved it ended before it took the marks away; Gluster's own list of what needs a heal has each, and a heal takes
    /// them away. But for the link file that is left of one with hard links on bricks that leave: it stays on that list.
    fn is_whole_once_healed(&self, stage: &str, leaving: &[String]) {
        if !matches!(self.redundancy, Redundancy::Disperse { .. }) {
            return self.is_whole(stage, &[]);
        }
        self.is_whole(stage, &["unfinished"]);
        self.gluster("heal", "");
        let began = Instant::now();
        loop {
            let info = self.gluster("heal", "info");
            let left = to_be_healed(&info, leaving);
            if left.is_empty() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{stage}: the heal does not end: {left:#?}");
            std::thread::sleep(Duration::from_millis(500));
        }
        self.is_whole(&format!("{stage}, healed"), &[]);
    }

    fn wait_for(&self, action: &str, rest: &str) {
        let began = Instant::now();
        while !self.has_ended(action, rest) {
            assert!(began.elapsed() < PATIENCE, "{action} {rest} does not end");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What `heal info` lists, but for these bricks.
fn to_be_healed<'a>(info: &'a str, but: &[String]) -> Vec<&'a str> {
    let mut counts = true;
    let mut left = Vec::new();
    for line in info.lines() {
        if let Some(brick) = line.strip_prefix("Brick ") {
            counts = !but.iter().any(|known| known == brick.trim());
        } else if counts && line.starts_with(['/', '<']) {
            left.push(line);
        }
    }
    left
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
        Finding::Unfinished { .. } => "unfinished",
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
    moving.settle();
    moving.is_whole("layout fixed, written to", &["misplaced"]);

    moving.moves("rebalance", ("rebalance", ""));
    moving.is_whole_once_healed("rebalanced", &[]);

    // The first set goes. Not committed, its bricks still belong to the volume, and hold no name's share.
    let volume = moving.bench.volume(SITE, &[]);
    let bricks: Vec<String> =
        volume.topology().subvolumes[0].bricks.iter().map(|brick| brick.name.to_string()).collect();
    let leaving = format!("{kind} {}", bricks.join(" "));
    moving.moves("removal of bricks", ("remove-brick", &leaving));
    let volume = moving.bench.volume(SITE, &[]);
    let gone = volume.topology().bricks().filter(|brick| brick.decommissioned).count();
    assert_eq!(gone, moving.per_set);
    moving.is_whole_once_healed("bricks removed, not committed", &bricks);
    moving.gluster("remove-brick", &format!("{leaving} commit"));
    let volume = moving.bench.volume(SITE, &[]);
    assert_eq!(volume.topology().bricks().count(), 2 * moving.per_set);
    moving.is_whole("bricks removed", &[]);
    let (findings, summary) = audit(&volume);
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(summary.is_whole() && summary.worst() <= Some(Severity::Harmless), "{text:#?} {summary:#?}");
    // A file that were not equal would have ended it.
    let read = moving.read.get();
    println!("matrix bricks come and go, {}: tried {read}, passed {read}", moving.layout());
}

#[test]
fn replicated_files_are_read_while_bricks_come_and_go() {
    bricks_come_and_go("shardmove", Redundancy::Replica(2), "replica 2", 2);
}

/// The replicated ones stand for the others, but for a full run.
fn in_full(instance: &str, redundancy: Redundancy, per_set: usize) {
    if full() {
        bricks_come_and_go(instance, redundancy, "", per_set);
    } else {
        println!("skipped: the replicated ones stand for them, but for STILLPOINT_FULL=1");
    }
}

#[test]
fn files_without_replicas_are_read_while_bricks_come_and_go() {
    in_full("shardmove1", Redundancy::None, 1);
}

#[test]
fn files_dispersed_over_three_are_read_while_bricks_come_and_go() {
    in_full("shardmove2", Redundancy::Disperse { data: 2, parity: 1 }, 3);
}

#[test]
fn files_dispersed_over_six_are_read_while_bricks_come_and_go() {
    in_full("shardmove3", Redundancy::Disperse { data: 4, parity: 2 }, 6);
}
