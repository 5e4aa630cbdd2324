//! The lab itself, for real: what it promises comes up, its faults are faults, and it leaves nothing.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint_lab::{
    GuestConfig, Lab, LabConfig, LabError, ROOT, SiteName, VolumeConfig, check_guest_disks, instances,
};

/// Not a property: the machine may be busy with other labs.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a lab may have changed on the machine at large.
#[derive(Debug, PartialEq)]
struct Machine {
    hosts: String,
    ssh: BTreeSet<(PathBuf, Vec<u8>)>,
    glusterd: BTreeSet<PathBuf>,
    libvirt: BTreeSet<PathBuf>,
}

fn listing(directory: &str) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

impl Machine {
    fn now() -> Self {
        let with_content = |path: PathBuf| (path.clone(), fs::read(path).unwrap_or_default());
        Self {
            hosts: fs::read_to_string("/etc/hosts").unwrap(),
            ssh: listing("/root/.ssh").into_iter().map(with_content).collect(),
            glusterd: listing("/var/lib/glusterd"),
            libvirt: listing("/etc/libvirt/qemu"),
        }
    }
}

/// Everything on the machine that carries a lab's name: looked for by other means than the lab's own.
fn traces(instance: &str) -> Vec<String> {
    let directory = format!("{ROOT}/{instance}");
    let link = format!("sp-{instance}-");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        if path == Path::new("/proc").join(std::process::id().to_string()) || !path.join("ns").exists() {
            continue;
        }
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&directory) {
            found.push(format!("process {}: {command}", path.display()));
        }
        let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        if let Some(mount) =
            mounts.lines().find(|line| line.contains(&format!("{directory}/")) || line.contains(&link))
        {
            found.push(format!("mount of {}: {mount}", path.display()));
        }
    }
    let output = Command::new("losetup").args(["--list", "--noheadings"]).output().unwrap();
    let loops = String::from_utf8_lossy(&output.stdout).into_owned();
    found.extend(loops.lines().filter(|line| line.contains(&directory)).map(|line| format!("loop {line}")));
    for place in ["/run/netns", "/sys/class/net"] {
        found.extend(
            listing(place)
                .iter()
                .filter(|path| path.to_string_lossy().contains(&link))
                .map(|path| path.display().to_string()),
        );
    }
    found.extend(
        listing(ROOT)
            .iter()
            .filter(|path| path.to_string_lossy().contains(instance))
            .map(|path| path.display().to_string()),
    );
    found
}

/// Takes the lab down whatever happens, and keeps its logs if the test fails.
struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(lab) = Lab::attach(self.0)
        {
            lab.keep_logs(self.0);
        }
        if let Err(error) = Lab::down(self.0) {
            eprintln!("{error}");
        }
    }
}

fn config_with_two_disks(instance: &str) -> LabConfig {
    let guest = GuestConfig { disks_mib: vec![256, 128], pause_ms: 50, ..GuestConfig::default() };
    LabConfig { guest: Some(guest), ..LabConfig::named(instance) }
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !check() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come true");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Raw copies of the guest's disks, read through the mount.
fn copies(lab: &Lab, directory: &Path) -> Vec<PathBuf> {
    let guest = lab.guest().unwrap();
    let disks = guest.disks();
    let copy = |(index, disk): (usize, &PathBuf)| {
        let raw = directory.join(format!("{index}.raw"));
        let mut command = lab.site(SiteName::A).command("qemu-img");
        let status = command.args(["convert", "-U", "-O", "raw"]).arg(disk).arg(&raw).status().unwrap();
        assert!(status.success());
        raw
    };
    disks.iter().enumerate().map(copy).collect()
}

#[test]
fn a_lab_comes_up_takes_faults_and_leaves_nothing() {
    let name = "tlab1";
    let machine = Machine::now();
    let _guard = Guard(name);
    let config = config_with_two_disks(name);
    let lab = Lab::up(&config).unwrap();
    assert_eq!(lab.problems(), Vec::<String>::new());
    assert_eq!(lab.session_states().unwrap().len(), 4);

    // Again: the same lab.
    let prefix = lab.site(SiteName::A).prefix();
    assert_eq!(Lab::up(&config).unwrap().site(SiteName::A).prefix(), prefix);
    let other = LabConfig { bricks_gib: 3, ..config.clone() };
    assert!(matches!(Lab::up(&other), Err(LabError::Invalid(_))));

    let guest = lab.guest().unwrap();
    guest.wait_counter_above(20, PATIENCE).unwrap();

    // Frozen: of one instant, and clean without a replay of the journal.
    let scratch = tempfile::tempdir().unwrap();
    guest.virsh(&["domfsfreeze", guest.name()]).unwrap();
    let frozen_at = guest.counter().unwrap().unwrap();
    let check = check_guest_disks(&copies(&lab, scratch.path()), 128).unwrap();
    guest.virsh(&["domfsthaw", guest.name()]).unwrap();
    assert!(check.is_whole(), "{check:?}");
    assert!(
        check.disks.iter().all(|disk| !disk.journal_replayed && disk.counter + 1 >= frozen_at),
        "{check:?}"
    );
    guest.wait_counter_above(frozen_at + 1, PATIENCE).unwrap();

    // Killed: as after a crash, whole after a replay.
    lab.faults().kill_guest().unwrap();
    eventually("libvirt sees the crash", || guest.state().unwrap() == "shut off");
    let last = guest.counter().unwrap().unwrap();
    let raw = copies(&lab, scratch.path());
    let check = check_guest_disks(&raw, 128).unwrap();
    assert!(check.is_whole() && check.disks.iter().all(|disk| disk.journal_replayed), "{check:?}");
    assert!(
        check.disks.iter().all(|disk| disk.counter >= last),
        "what the guest told of is on disk: {check:?}"
    );
    damage(&raw[0]);
    assert!(!check_guest_disks(&raw, 128).is_ok_and(|check| check.is_whole()), "damage is seen");
    guest.start().unwrap();
    guest.wait_counter_above(last, PATIENCE).unwrap();
    assert!(guest.boot_checks().unwrap().iter().all(|check| check.ok));
    assert_eq!(guest.restart_and_verify(PATIENCE).unwrap().len(), 2);

    // Replication, and rsync writing nothing.
    let (a, b) = (lab.site(SiteName::A), lab.site(SiteName::B));
    let replicated =
        |name: &str| fs::metadata(b.host_mount().join(name)).map_or(0, |metadata| metadata.len());
    // Written while the session is stopped, and rolled: a worker of Gluster 11 that runs may never hear of a live
    // changelog, one that starts reads what is on disk.
    let write_between = |name: &str| {
        lab.session_command(&["stop"]).unwrap();
        fs::write(a.host_mount().join(name), "content").unwrap();
        thread::sleep(Duration::from_secs(6));
        lab.session_command(&["start"]).unwrap();
    };
    write_between("before");
    eventually("a file is replicated", || replicated("before") == 7);
    lab.faults().break_rsync().unwrap();
    let log = a.log_dir().join("geo-replication/gv1_siteB_gv2/gsyncd.log");
    let runs = || fs::read_to_string(&log).unwrap().matches("regular files transferred: 0,").count();
    let before = runs();
    write_between("after");
    let arrived = b.host_mount().join("after");
    eventually("the broken rsync's file has a name", || arrived.exists());
    eventually("rsync has run, for each replica", || runs() >= before + 2);
    assert_eq!(replicated("after"), 0, "a broken rsync transfers nothing");
    assert!(lab.session_states().unwrap().iter().all(|state| state == "Active"), "and says nothing");
    lab.faults().mend_rsync().unwrap();

    faults(&lab);
    tamper(&lab);

    let logs = tempfile::tempdir().unwrap();
    lab.collect_logs(logs.path()).unwrap();
    assert!(fs::read_to_string(logs.path().join("siteA/now.txt")).unwrap().contains("glusterd"));
    assert!(logs.path().join("siteB/log-glusterfs/glusterd.log").is_file());

    Lab::down(name).unwrap();
    assert_eq!(traces(name), Vec::<String>::new());
    assert_eq!(Machine::now(), machine);
    assert!(matches!(Lab::attach(name), Err(LabError::NoSuchLab { .. })));
    Lab::down(name).unwrap();
}

/// Overwrites a piece of every data file that lies in the first 64 MiB.
fn damage(image: &Path) {
    let mut bytes = fs::read(image).unwrap();
    let end = bytes.len().min(64 << 20);
    for at in (8 << 20..end).step_by(64 << 10) {
        bytes[at] ^= 0xff;
    }
    fs::write(image, bytes).unwrap();
}

fn faults(lab: &Lab) {
    let (a, faults) = (lab.site(SiteName::A), lab.faults());
    let guest = lab.guest().unwrap();
    let goes_on = || guest.wait_counter_above(guest.counter().unwrap().unwrap() + 2, PATIENCE).unwrap();
    let reach = || a.sh("timeout 5 bash -c '</dev/tcp/siteB/22'").is_ok();

    assert!(reach());
    faults.cut_link().unwrap();
    assert!(!faults.link_is_up().unwrap() && !reach());
    goes_on();
    faults.mend_link().unwrap();
    eventually("the link is back", reach);

    let pid = faults.kill_brick(SiteName::A, 1).unwrap();
    assert!(
        faults.brick_pid(SiteName::A, 1).unwrap().is_none() && faults.kill_brick(SiteName::A, 1).is_err()
    );
    assert!(lab.problems().iter().any(|problem| problem.contains("brick 1 of siteA")));
    goes_on();
    faults.restart_bricks(SiteName::A).unwrap();
    assert_ne!(faults.brick_pid(SiteName::A, 1).unwrap(), Some(pid));

    faults.kill_glusterd(SiteName::A).unwrap();
    assert!(a.gluster(["volume", "list"]).is_err());
    goes_on();
    faults.restart_glusterd(SiteName::A).unwrap();
    assert!(a.gluster(["volume", "list"]).unwrap().contains("gv1"));

    let qemu = guest.qemu_pid();
    faults.kill_libvirtd(SiteName::A).unwrap();
    assert!(guest.state().is_err());
    faults.restart_libvirtd(SiteName::A).unwrap();
    assert!(guest.is_running().unwrap());
    assert_eq!(guest.qemu_pid(), qemu, "the guest outlives libvirtd");

    let file = lab.site(SiteName::B).bricks_file_system().join("more");
    faults.fill(SiteName::B, 0).unwrap();
    assert!(fs::write(&file, vec![1; 1 << 20]).is_err(), "no room for 1 MiB");
    faults.free(SiteName::B).unwrap();
    fs::write(&file, vec![1; 1 << 20]).unwrap();
    fs::remove_file(&file).unwrap();
    eventually("everything is mended", || lab.problems().is_empty());
}

/// Finds the guest's shards on the bricks, damages one copy and sees the replicas differ.
fn tamper(lab: &Lab) {
    let guest = lab.guest().unwrap();
    guest.stop().unwrap();
    let a = lab.site(SiteName::A);
    let path = &guest.volume_paths()[0];
    let indices = a.shard_indices(path).unwrap();
    let copies = a.shard_copies(path, indices[0]).unwrap();
    assert_eq!(copies.len(), 2, "replica 2: {copies:?}");
    let same = || fs::read(&copies[0]).unwrap() == fs::read(&copies[1]).unwrap();
    assert!(same());
    stillpoint_lab::tamper::flip_byte(&copies[0], 100).unwrap();
    assert!(!same());
    stillpoint_lab::tamper::flip_byte(&copies[0], 100).unwrap();
    assert!(same());
    assert_eq!(a.shard_copies(path, 0).unwrap().len(), 2);
}

/// Not a test: the process that the next one kills in the middle of `up`.
#[test]
#[ignore = "a part of the test of half-made labs, which runs it"]
fn up_to_be_killed() {
    let Ok(name) = std::env::var("STILLPOINT_LAB_TO_BE_KILLED") else { return };
    drop(Lab::up(&LabConfig::named(name)).unwrap());
}

/// Starts `up` in a process of its own and kills that when it says a certain thing.
fn kill_up_when_it_says(name: &str, words: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "up_to_be_killed", "--ignored", "--nocapture"])
        .env("STILLPOINT_LAB_TO_BE_KILLED", name)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let said = stderr.lines().map_while(Result::ok).any(|line| line.contains(words));
    assert!(said, "up never said {words:?}");
    // Into the step that it has just begun.
    thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_half_made_lab_is_taken_down_and_another_beside_it_goes_on() {
    let (name, beside) = ("tlab2", "tlab3");
    let machine = Machine::now();
    let (_guard, _other) = (Guard(name), Guard(beside));
    let volume = |name: &str, layout: &str| VolumeConfig {
        name: name.to_owned(),
        layout: layout.parse().unwrap(),
        shard_mib: Some(4),
        options: Vec::new(),
    };
    // The neighbour comes up while the other's file systems are mounted, and must not hold on to them.
    kill_up_when_it_says(name, "glusterd");
    let neighbour = Lab::up(&LabConfig {
        primary: volume("one", "disperse2+1:1"),
        secondary: volume("two", "arbiter:1"),
        session: None,
        guest: None,
        ..LabConfig::named(beside)
    })
    .unwrap();
    Lab::down(name).unwrap();
    assert_eq!(traces(name), Vec::<String>::new());
    for words in ["file systems", "sites", "geo-replication session"] {
        kill_up_when_it_says(name, words);
        assert!(!traces(name).is_empty(), "killed at {words:?}");
        assert!(matches!(Lab::attach(name), Err(LabError::Unhealthy { .. })));
        Lab::down(name).unwrap();
        assert_eq!(traces(name), Vec::<String>::new(), "killed at {words:?}");
    }
    // A lab whose state is lost is found by its network namespaces.
    kill_up_when_it_says(name, "glusterd");
    fs::remove_file(format!("{ROOT}/{name}/state.json")).unwrap();
    Lab::down(name).unwrap();
    assert_eq!(traces(name), Vec::<String>::new());
    // One whose namespaces have lost their names is found by its first processes.
    kill_up_when_it_says(name, "glusterd");
    for site in ["a", "b"] {
        assert!(
            Command::new("ip")
                .args(["netns", "delete", &format!("sp-{name}-{site}")])
                .status()
                .unwrap()
                .success()
        );
    }
    Lab::down(name).unwrap();
    assert_eq!(traces(name), Vec::<String>::new());

    assert_eq!(neighbour.problems(), Vec::<String>::new());
    assert!(instances().unwrap().contains(&beside.to_owned()));
    for site in [SiteName::A, SiteName::B] {
        fs::write(neighbour.site(site).host_mount().join("file"), "content").unwrap();
        assert_eq!(neighbour.site(site).brick_dirs().len(), 3);
    }
    Lab::down(beside).unwrap();
    assert_eq!(traces(beside), Vec::<String>::new());
    assert_eq!(Machine::now(), machine);
}
