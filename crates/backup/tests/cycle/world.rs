//! Two sites that exist only in a directory: a machine with guests whose disks are files on a "mount", a primary and a
//! secondary volume in Gluster's format, and a session of replication between them.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stillpoint_backup::journal::{Record, RunBegan, read};
use stillpoint_backup::recover::{Reach, RecoverOptions, RunRecovery, recover};
use stillpoint_backup::{
    AfterRun, Cancel, Error, Event, Parts, RunConfig, RunReport, Site, SiteSpec, StateDir, run,
};
use stillpoint_georep::Session;
use stillpoint_shard::BrickMapping;
use stillpoint_sim::hypervisor::{
    SimCrash, SimDisk, SimDomain, SimGuards, SimHost, SimHypervisor, SimOffline,
};
use stillpoint_sim::replication::SimulatedSession;
use stillpoint_testkit::volume::{BrickTrees, Shape};
use stillpoint_virt::{DomainId, GuardSpawner, Hypervisor, OfflineCommit, UndoOptions};

/// Bytes in a shard.
pub(crate) const SHARD: u64 = 4096;
/// Bytes in each disk: seven shards, the last one not whole.
const DISK: u64 = 6 * SHARD + 1000;

/// A guest's disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) domain: DomainId,
    pub(crate) target: String,
    /// Its name in the volume.
    pub(crate) name: String,
}

/// What both sites hold.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) host: SimHost,
    pub(crate) disks: Vec<Disk>,
    pub(crate) session: SimulatedSession,
    primary: Arc<Mutex<BrickTrees>>,
    pub(crate) secondary: Arc<Mutex<BrickTrees>>,
    /// What each disk should hold, by all that its guest wrote.
    written: Mutex<BTreeMap<String, Vec<u8>>>,
    writes: Mutex<u64>,
}

fn content(name: &str) -> Vec<u8> {
    let seed = name.bytes().map(u64::from).sum::<u64>();
    let byte = |at: u64| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) as u8;
    let mut bytes: Vec<u8> = (0..DISK).map(byte).collect();
    // One shard that holds nothing.
    bytes[3 * SHARD as usize..4 * SHARD as usize].fill(0);
    bytes
}

impl World {
    /// Domains, each with so many disks.
    pub(crate) fn new(domains: &[(&str, usize)]) -> Self {
        // Where syncing costs nothing, if there is such a place: thousands of records are synced here.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        let session =
            SimulatedSession::new("gv1 siteB::gv2".parse().expect("a session"), &dir.path().join("sim"))
                .expect("a session");
        session.set_config("log-rsync-performance", "true");
        let volume = |name: &str, replicas| {
            let at = dir.path().join(name);
            fs::create_dir(&at).expect("a directory");
            let shape = Shape {
                name: name.to_owned(),
                subvolumes: 2,
                replicas,
                shard_size: SHARD,
                ..Shape::default()
            };
            BrickTrees::create(&at, shape).expect("brick trees")
        };
        let (mut primary, mut secondary) = (volume("gv1", 2), volume("gv2", 1));
        let host = SimHost::new();
        let mount = dir.path().join("sim/mount");
        let mut disks = Vec::new();
        let mut written = BTreeMap::new();
        for (name, count) in domains {
            let mut domain = SimDomain::new(name);
            let mut its = Vec::new();
            for number in 0..*count {
                let target = format!("vd{}", char::from(b'a' + number as u8));
                let file = format!("{name}-{target}.img");
                fs::write(mount.join(&file), content(&file)).expect("a disk");
                // Its bytes are no image, and are said not to be.
                domain = domain.with(SimDisk::new(&target, mount.join(&file)).format("raw"));
                its.push((target, file));
            }
            let id = host.add(domain);
            for (target, name) in its {
                // In the same order at both sites, so that the gfids are the same.
                primary.create_file(&name).expect("a file");
                secondary.create_file(&name).expect("a file");
                written.insert(name.clone(), content(&name));
                disks.push(Disk { domain: id.clone(), target, name });
            }
        }
        primary.save().expect("dumps");
        secondary.save().expect("dumps");
        for (name, trees) in [("gv1", &primary), ("gv2", &secondary)] {
            trees
                .write_glusterd_directory(&dir.path().join(format!("{name}.glusterd")))
                .expect("a description");
        }
        let world = Self {
            dir,
            host,
            disks,
            session,
            primary: Arc::new(Mutex::new(primary)),
            secondary: Arc::new(Mutex::new(secondary)),
            written: Mutex::new(written),
            writes: Mutex::new(0),
        };
        world.replicate_when_asked();
        world
    }

    /// What replication does: the far side gets what the primary's bricks hold.
    fn replicate_when_asked(&self) {
        let secondary = Arc::clone(&self.secondary);
        let bricks = self.dir.path().join("bricks-hold");
        let names: Vec<String> = self.disks.iter().map(|disk| disk.name.clone()).collect();
        self.session.on_replicate(Box::new(move || {
            let mut trees = secondary.lock().expect("one at a time");
            for name in &names {
                let bytes = fs::read(bricks.join(name)).expect("what the bricks hold");
                write(&mut trees, name, &bytes);
            }
            trees.save().expect("dumps");
        }));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn mount(&self) -> PathBuf {
        self.path("sim/mount")
    }

    /// What a mount does sooner or later: sends what the bases hold to the bricks.
    fn flush(&self) {
        let mut trees = self.primary.lock().expect("one at a time");
        let held = self.path("bricks-hold");
        fs::create_dir_all(&held).expect("a directory");
        for disk in &self.disks {
            let bytes = fs::read(self.mount().join(&disk.name)).expect("a base");
            write(&mut trees, &disk.name, &bytes);
            fs::write(held.join(&disk.name), bytes).expect("a copy");
        }
        trees.save().expect("dumps");
    }

    /// Every guest that can writes a little.
    pub(crate) fn guests_write(&self) {
        let mut writes = self.writes.lock().expect("one at a time");
        for disk in &self.disks {
            *writes += 1;
            let offset = *writes * 997 % (DISK - 16);
            // The fourth shard stays empty.
            let offset =
                if (3 * SHARD - 8..4 * SHARD).contains(&offset) { offset + SHARD + 8 } else { offset };
            let bytes = writes.to_be_bytes();
            if self.host.guest_write(&disk.domain, &disk.target, offset, &bytes) {
                let mut written = self.written.lock().expect("one at a time");
                let held = written.get_mut(&disk.name).expect("a disk of this world");
                held[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
    }

    pub(crate) fn site(&self, name: &str, trees: &Mutex<BrickTrees>) -> Site {
        let trees = trees.lock().expect("one at a time");
        let mappings = (0..trees.brick_count()).map(|number| {
            let brick = trees.brick(number);
            BrickMapping {
                brick: trees.brick_name(number).parse().expect("a brick's name"),
                local: Some(brick.to_owned()),
                xattr_dump: Some(brick.with_extension("getfattr")),
            }
        });
        let spec = SiteSpec::Described { spec: self.path(&format!("{name}.glusterd")), volume: None };
        Site { spec, mappings: mappings.collect() }
    }

    pub(crate) fn config(&self) -> RunConfig {
        let mut names: Vec<String> = self.disks.iter().map(|disk| disk.domain.name.clone()).collect();
        names.dedup();
        let deadline = Duration::from_secs(600);
        RunConfig {
            domains: names,
            all_domains: false,
            disks: Vec::new(),
            mount: self.mount(),
            primary: self.site("gv1", &self.primary),
            secondary: self.site("gv2", &self.secondary),
            state_dir: self.path("state"),
            overlay_dir: None,
            trust_apparmor: false,
            take: stillpoint_virt::TakeOptions::default(),
            sync: self.session.options(deadline),
            undo: quick(),
            override_checks: Vec::new(),
            deadline,
            after_run: AfterRun::Stopped,
            threads: None,
        }
    }

    /// A run, during which the guests write after each step and the mount flushes as mounts do; `on_step` sees each
    /// record once it is on disk.
    pub(crate) fn run_as(
        &self,
        config: &RunConfig,
        hypervisor: &SimHypervisor,
        guard: &dyn GuardSpawner,
        cancel: &Cancel,
        on_step: &(dyn Fn(&Record) + Sync),
    ) -> Result<RunReport, Error> {
        let session = self.session.session();
        let offline = SimOffline::of(&self.host, hypervisor);
        let parts = Parts { hypervisor, session: &session, guard, offline: &offline };
        self.guests_write();
        run(config, &parts, cancel, &|event| match event {
            Event::Stage(stillpoint_backup::Stage::Replicate) => self.flush(),
            Event::Recorded(record) => {
                on_step(record);
                self.guests_write();
            }
            _ => {}
        })
    }

    pub(crate) fn run(
        &self,
        config: &RunConfig,
        on_step: &(dyn Fn(&Record) + Sync),
    ) -> Result<RunReport, Error> {
        self.run_as(config, &self.host.connect(), &SimGuards::new(&self.host), &Cancel::new(), on_step)
    }

    /// A run whose process dies: `dies` is asked after each record, `hypervisor` may be set to die at a call. `None`: it
    /// died.
    pub(crate) fn run_and_die(
        &self,
        hypervisor: &SimHypervisor,
        guard: &dyn GuardSpawner,
        dies: &(dyn Fn(&Record) -> bool + Sync),
    ) -> Option<Result<RunReport, Error>> {
        hypervisor.crash_by_unwinding();
        let died = catch_unwind(AssertUnwindSafe(|| {
            self.run_as(&self.config(), hypervisor, guard, &Cancel::new(), &|record| {
                if dies(record) {
                    hypervisor.kill();
                    // As SIGKILL does: nothing after this has any effect.
                    resume_unwind(Box::new(SimCrash));
                }
            })
        }));
        match died {
            Ok(report) => Some(report),
            Err(why) if why.is::<SimCrash>() => None,
            Err(why) => resume_unwind(why),
        }
    }

    pub(crate) fn recover(&self) -> Vec<RunRecovery> {
        let state = StateDir::open(&self.path("state")).expect("a state directory");
        let options = RecoverOptions { dry_run: false, undo: quick() };
        recover(&state, self, &options, &|event| {
            if let Event::Recorded(_) = event {
                self.guests_write();
            }
        })
        .expect("the state directory is readable")
    }

    /// What recovery would do.
    pub(crate) fn look(&self) -> Vec<RunRecovery> {
        let state = StateDir::open(&self.path("state")).expect("a state directory");
        let options = RecoverOptions { dry_run: true, undo: quick() };
        recover(&state, self, &options, &|_| {}).expect("the state directory is readable")
    }

    /// Recovery whose process dies after so many records of its own.
    pub(crate) fn recover_and_die(&self, after: u64) {
        let state = StateDir::open(&self.path("state")).expect("a state directory");
        let options = RecoverOptions { dry_run: false, undo: quick() };
        let records = std::sync::atomic::AtomicU64::new(0);
        let died = catch_unwind(AssertUnwindSafe(|| {
            recover(&state, self, &options, &|event| {
                let recorded = matches!(event, Event::Recorded(_));
                if recorded && records.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == after {
                    resume_unwind(Box::new(SimCrash));
                }
            })
        }));
        assert!(died.is_err_and(|why| why.is::<SimCrash>()), "it wrote fewer than {after} records");
    }

    /// The newest run's steps, by name.
    pub(crate) fn steps(&self) -> Vec<String> {
        let state = StateDir::open(&self.path("state")).expect("a state directory");
        let newest = state.runs().expect("readable").pop().expect("a run");
        let contents = read(&state.run_dir(&newest).join("journal")).expect("a journal");
        contents.records.iter().map(|record| record.entry.name()).collect()
    }

    /// Nothing of any run is left, replication is stopped, and no write of a guest is lost.
    pub(crate) fn ensure_clean(&self) {
        assert!(!self.session.is_running(), "replication runs");
        let written = self.written.lock().expect("one at a time").clone();
        for disk in &self.disks {
            let base = self.mount().join(&disk.name);
            assert_eq!(self.host.chain(&disk.domain, &disk.target), std::slice::from_ref(&base), "{disk:?}");
            assert!(!self.host.has_job(&disk.domain), "{disk:?} has a job");
            assert!(!self.host.is_frozen(&disk.domain), "{disk:?} is frozen");
            assert!(!self.host.is_suspended(&disk.domain), "{disk:?} is suspended");
            assert!(fs::read(&base).expect("a base") == written[&disk.name], "{disk:?} lost a write");
        }
        let mut left: Vec<_> = list(&self.mount());
        left.retain(|name| !self.disks.iter().any(|disk| disk.name == *name));
        assert_eq!(left, Vec::<String>::new(), "left on the mount");
    }

    /// The far side's file that holds a shard of a disk.
    pub(crate) fn far_shard(&self, disk: &Disk, index: u64) -> PathBuf {
        let trees = self.secondary.lock().expect("one at a time");
        let brick = trees.shard_subvolume(&disk.name, index).expect("a layout");
        trees.brick(brick).join(trees.shard_path(&disk.name, index))
    }
}

impl Reach for World {
    fn hypervisor(&self, began: &RunBegan) -> Result<Box<dyn Hypervisor>, Error> {
        let hypervisor = self.host.connect();
        assert_eq!(began.connect, hypervisor.uri());
        Ok(Box::new(hypervisor))
    }

    fn session(&self, _: &RunBegan) -> Session {
        self.session.session()
    }

    fn guard(&self, _: &RunBegan) -> Box<dyn GuardSpawner> {
        Box::new(SimGuards::new(&self.host))
    }

    fn offline(&self, _: &RunBegan) -> Box<dyn OfflineCommit> {
        Box::new(SimOffline::new(&self.host))
    }
}

fn write(trees: &mut BrickTrees, name: &str, bytes: &[u8]) {
    // What is zeros is never sent where nothing was.
    for (number, shard) in bytes.chunks(SHARD as usize).enumerate() {
        if shard.iter().any(|byte| *byte != 0) {
            trees.write(name, number as u64 * SHARD, shard).expect("written");
        }
    }
    trees.truncate(name, bytes.len() as u64).expect("cut");
}

fn quick() -> UndoOptions {
    UndoOptions { poll: Duration::from_millis(1), ..UndoOptions::default() }
}

fn list(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}
