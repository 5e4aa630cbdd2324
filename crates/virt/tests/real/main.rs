//! The suite against a real libvirtd with real QEMUs, through `virsh` and through the `virt` crate, and a process that is
//! killed at every step.
//!
//! One program in several roles, by its first argument: none of ours (the tests), `cycle` (a process that takes and undoes a
//! still point and kills itself at a step), `recover`, `guard` (a guard process).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod daemon;
mod deaths;
mod kills;
mod roles;
mod space;
mod stage;
mod stages;
#[path = "../suite/mod.rs"]
mod suite;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use daemon::Daemon;
use stage::{Real, Way};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("cycle") => return roles::cycle(&arguments[1..]),
        Some("recover") => return roles::recover(&arguments[1..]),
        Some("guard") => return roles::guard(&arguments[1..]),
        _ => {}
    }
    if let Some(missing) = Daemon::missing() {
        assert!(std::env::var_os("STILLPOINT_REQUIRE_ORACLES").is_none(), "required, and missing: {missing}");
        println!("skipped: {missing}");
        return ExitCode::SUCCESS;
    }
    let daemon = Daemon::start();
    let (mut passed, mut failed) = (0, 0);
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut run = |name: &str, test: &dyn Fn()| {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            return;
        }
        let begun = Instant::now();
        match panic::catch_unwind(AssertUnwindSafe(test)) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ok, {:.1?}", begun.elapsed());
            }
            Err(_) => {
                failed += 1;
                println!("test {name} FAILED");
                daemon.keep_logs(name);
            }
        }
    };
    for way in [Way::Virsh, Way::Libvirt] {
        for (name, test) in suite::SUITE {
            run(&format!("{way:?}: {name}"), &|| test(&Real::new(&daemon, way)));
        }
        run(&format!("{way:?}: libvirtd crashes in a commit"), &|| {
            deaths::libvirtd_in_a_commit(&daemon, way)
        });
        run(&format!("{way:?}: QEMU is killed in a commit"), &|| deaths::qemu_in_a_commit(&daemon, way));
        if way == Way::Libvirt || std::env::var_os("STILLPOINT_FULL").is_some() {
            run(&format!("{way:?}: the base's file system is full"), &|| space::of_the_base(&daemon, way));
            run(&format!("{way:?}: the overlay's file system is full"), &|| {
                space::of_the_overlay(&daemon, way)
            });
        }
        for case in stages::cases(way) {
            let (who, step, delay, suspend) = case;
            let delay = delay.map(|delay| format!(" and {delay} ms")).unwrap_or_default();
            let cpus = if suspend { "stopped" } else { "running" };
            run(&format!("{way:?}: {who:?} dies at {step}{delay}, CPUs {cpus} for the pivot"), &|| {
                stages::dies(&daemon, way, case);
            });
        }
        // Recovery is the same code over both: once is enough unless everything is asked for.
        if way == Way::Virsh || std::env::var_os("STILLPOINT_FULL").is_some() {
            run(&format!("{way:?}: killed at every step"), &|| kills::at_every_step(&daemon, way));
        }
    }
    run("a guard resumes a guest within 5 s of its parent's SIGKILL", &|| kills::guard_resumes(&daemon));
    run("in the lab: frozen, taken, committed; killed while frozen and while suspended", &agent::in_the_lab);
    println!("matrix libvirt: tried {}, passed {passed}", passed + failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
