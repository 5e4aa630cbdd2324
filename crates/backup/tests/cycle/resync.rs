//! When a disk's file may be written back, and that QEMU is held off meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use stillpoint_backup::{DomainStill, Outcome};
use stillpoint_georep::{NotStill, Stillness as _};
use stillpoint_sim::hypervisor::{SimDisk, SimDomain, SimHost};
use stillpoint_testkit::image::oracle::available;
use stillpoint_virt::Hypervisor as _;

use crate::world::World;

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("a file")
}

#[test]
fn a_base_is_still_only_while_our_overlay_is_above_it_and_no_job_runs() {
    let world = World::new(&[("vm1", 1), ("vm2", 1)]);
    let base = world.path("sim/mount").join(&world.disks[0].name);
    let hypervisor = world.host.connect();
    let still = DomainStill::new(&hypervisor, world.disks[0].domain.clone());
    let other = DomainStill::new(&hypervisor, world.disks[1].domain.clone());
    let seen = Mutex::new(Vec::new());
    let report = world
        .run(&world.config(), &|record| {
            let said: Result<String, NotStill> = still.prove(&base, &open(&base));
            seen.lock().expect("no panic").push((record.entry.name(), said));
            assert!(other.prove(&base, &open(&base)).is_err(), "it is no disk of vm2");
        })
        .expect("it began");
    assert_eq!(report.outcome, Outcome::Proven);
    let seen = seen.into_inner().expect("no panic");
    let at = |name: &str| {
        let (_, said) = seen.iter().find(|(entry, _)| entry == name).expect("recorded");
        said.clone().map_err(|no| no.0)
    };
    assert_eq!(at("run.began"), Err("disk vda of domain 'vm1' writes to it".to_owned()));
    for name in ["georep.checkpoint-set", "georep.started", "run.proof-began", "run.proved"] {
        let overlay = at(name).unwrap_or_else(|no| panic!("{name}: {no}"));
        assert!(overlay.contains("writes to") && overlay.contains(".stillpoint-"), "{overlay}");
    }
    // From when the commit runs on, which writes to it.
    assert!(at("virt.pivot-requested").is_err());
    assert!(at("run.ended").is_err());
}

#[test]
fn an_overlay_of_somebody_else_s_is_none_of_ours() {
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().join("vm1.img");
    fs::write(&base, [0; 4096]).expect("written");
    let host = SimHost::new();
    let id = host.add(SimDomain::new("vm1").with(SimDisk::new("vda", base.clone())));
    let hypervisor = host.connect();
    let overlay = dir.path().join("vm1.snap1.qcow2");
    let xml = format!(
        "<domainsnapshot><name>snap1</name><disks><disk name='vda' snapshot='external'><driver type='qcow2'/>\
         <source file='{}'/></disk></disks></domainsnapshot>",
        overlay.display()
    );
    hypervisor.snapshot(&id, &xml).expect("a snapshot");
    assert_eq!(host.chain(&id, "vda").len(), 2);
    let error = DomainStill::new(&hypervisor, id).prove(&base, &open(&base)).expect_err("not ours");
    assert!(error.0.contains("no overlay of ours"), "{error}");
}

#[test]
fn a_domain_that_is_off_has_its_disk_locked_against_every_qemu() {
    if !available("qemu-io") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let disk = dir.path().join("vm1.img");
    fs::write(&disk, [0; 1 << 16]).expect("written");
    let host = SimHost::new();
    let id = host.add(SimDomain::new("vm1").with(SimDisk::new("vda", disk.clone())));
    host.power_off(&id);
    let hypervisor = host.connect();
    let still = DomainStill::new(&hypervisor, id);
    let read = || {
        Command::new("qemu-io").args(["-f", "raw", "-c", "write 0 512"]).arg(&disk).output().expect("qemu-io")
    };

    // Somebody's QEMU has it open.
    let mut qemu = Command::new("qemu-io")
        .args(["-f", "raw"])
        .arg(&disk)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("qemu-io");
    let mut stdin = qemu.stdin.take().expect("a pipe");
    stdin.write_all(b"write 0 512\n").expect("it reads");
    let mut line = String::new();
    BufReader::new(qemu.stdout.take().expect("a pipe")).read_line(&mut line).expect("it answers");
    let error = still.prove(&disk, &open(&disk)).expect_err("it is open");
    assert!(error.0.contains("some QEMU has it open"), "{error}");
    drop(stdin);
    qemu.wait().expect("it ends");

    let held = open(&disk);
    let said = still.prove(&disk, &held).expect("nobody has it");
    assert!(said.contains("off") && said.contains("locked"), "{said}");
    let refused = read();
    assert!(!refused.status.success(), "QEMU opened a file that is locked");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("lock"), "{refused:?}");
    // Asked again, it still holds, and only as long as the file is open.
    still.prove(&disk, &held).expect("nobody has it");
    assert!(!read().status.success());
    drop(held);
    assert!(read().status.success());
}
