//! A process that dies anywhere in a run leaves what recovery makes whole.

use std::io::Write as _;

use stillpoint_backup::Outcome;
use stillpoint_backup::recover::Recovered;
use stillpoint_sim::hypervisor::{Crash, SimGuards};

use crate::world::World;

/// Says it past the test harness, which would keep what `println` writes to itself: the totals are collected.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is there");
}

/// What must be true after recovery, and after recovery again, and of a run after that.
fn ensure_recovered(world: &World, of: &str) {
    let recovered = world.recover();
    for run in &recovered {
        assert_eq!(run.outcome, Recovered::Finished, "{of}: {run}");
    }
    world.ensure_clean();
    assert_eq!(world.recover(), [], "{of}");
    let report = world.run(&world.config(), &|_| {}).unwrap_or_else(|error| panic!("{of}: {error}"));
    assert_eq!(report.outcome, Outcome::Proven, "{of}: {:?}", report.failures);
    world.ensure_clean();
}

#[test]
fn recovery_makes_whole_what_a_crash_after_any_record_left() {
    let mut tried = 0;
    for disks in [1, 3] {
        let of_run = |guards: fn(&World) -> SimGuards| {
            for after in 1.. {
                let world = World::new(&[("vm1", disks)]);
                let outcome =
                    world.run_and_die(&world.host.connect(), &guards(&world), &|record| record.seq == after);
                if let Some(report) = outcome {
                    // It has no such record any more: all were tried.
                    assert_eq!(report.expect("it began").outcome, Outcome::Proven);
                    return after - 1;
                }
                let died_after = world.steps().pop().expect("a step");
                ensure_recovered(&world, &format!("after {after}, {died_after}"));
            }
            unreachable!("a run ends")
        };
        tried += of_run(|world| SimGuards::new(&world.host));
        // Guards that die too, as in a power cut that only the guest survives.
        tried += of_run(|world| SimGuards::new(&world.host).dying());
    }
    say(&format!("matrix crash-simulated-records: tried {tried}, passed {tried}"));
    assert!(tried > 80, "{tried}");
}

#[test]
fn recovery_makes_whole_what_a_crash_before_or_after_any_call_left() {
    let mut tried = 0;
    for crash in [Crash::Before, Crash::After] {
        for call in 1.. {
            let world = World::new(&[("vm1", 1)]);
            let hypervisor = world.host.connect();
            hypervisor.crash_at(call, crash);
            let outcome = world.run_and_die(&hypervisor, &SimGuards::new(&world.host), &|_| false);
            if outcome.is_some() && !hypervisor.is_dead() {
                break;
            }
            tried += 1;
            ensure_recovered(&world, &format!("{crash:?} call {call}"));
        }
    }
    say(&format!("matrix crash-simulated-calls: tried {tried}, passed {tried}"));
    assert!(tried > 40, "{tried}");
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    for after in 1..6 {
        let world = World::new(&[("vm1", 2)]);
        let died = world.run_and_die(&world.host.connect(), &SimGuards::new(&world.host), &|record| {
            record.entry.name() == "georep.started"
        });
        assert!(died.is_none());
        world.recover_and_die(after);
        ensure_recovered(&world, &format!("recovery, record {after}"));
    }
}

#[test]
fn a_new_run_finishes_the_last_one_first() {
    let world = World::new(&[("vm1", 1)]);
    let died = world.run_and_die(&world.host.connect(), &SimGuards::new(&world.host), &|record| {
        record.entry.name() == "virt.commit-ready"
    });
    assert!(died.is_none());
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert_eq!(report.outcome, Outcome::Proven, "{:?}", report.failures);
    let [recovered] = &report.recovered[..] else { panic!("{:?}", report.recovered) };
    assert_eq!((recovered.outcome, recovered.ended), (Recovered::Finished, Some(Outcome::Proven)));
    world.ensure_clean();
}

#[test]
fn a_dry_run_tells_and_does_nothing() {
    let world = World::new(&[("vm1", 1)]);
    let died = world.run_and_die(&world.host.connect(), &SimGuards::new(&world.host), &|record| {
        record.entry.name() == "georep.started"
    });
    assert!(died.is_none());
    let steps = world.steps();
    let looked = world.look();
    assert_eq!(looked[0].outcome, Recovered::Looked);
    assert_eq!(looked[0].domains[0].found, ["vda: on-overlay"]);
    assert_eq!(looked[0].domains[0].actions, ["vda: commit"]);
    assert!(world.session.is_running());
    assert_eq!(world.steps(), steps);
    ensure_recovered(&world, "after a dry run");
}

#[test]
fn a_guest_that_is_shut_down_after_any_record_of_a_run_ends_on_its_bases_and_stays_off() {
    let mut tried = 0;
    for after in 1.. {
        let world = World::new(&[("vm1", 1)]);
        let off = std::sync::atomic::AtomicBool::new(false);
        let ran = world.run(&world.config(), &|record| {
            if record.seq == after {
                world.host.power_off(&world.disks[0].domain);
                off.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        });
        let report = ran.expect("it began");
        if !off.into_inner() {
            break;
        }
        tried += 1;
        let of = format!("after {after}: {:?}", report.failures);
        assert!(matches!(report.outcome, Outcome::Proven | Outcome::Failed), "{of}");
        world.ensure_clean();
        assert_eq!(world.recover(), [], "{of}");
    }
    say(&format!("matrix shut-down-simulated: tried {tried}, passed {tried}"));
    assert!(tried > 20, "{tried}");
}

#[test]
fn a_dry_run_tells_what_it_would_do_with_files_of_a_domain_that_is_off() {
    let world = World::new(&[("vm1", 2)]);
    let died = world.run_and_die(&world.host.connect(), &SimGuards::new(&world.host), &|record| {
        record.entry.name() == "georep.started"
    });
    assert!(died.is_none());
    world.host.power_off(&world.disks[0].domain);
    let looked = world.look();
    assert_eq!(looked[0].domains[0].found, ["vda: offline-overlay", "vdb: offline-overlay"]);
    assert_eq!(looked[0].domains[0].actions, ["vda: commit-offline", "vdb: commit-offline"]);
    assert_eq!(looked[0].problems, Vec::<String>::new());
    world.host.save(&world.disks[0].domain);
    let looked = world.look();
    assert_eq!(looked[0].outcome, Recovered::Looked);
    assert_eq!(looked[0].domains[0].actions, Vec::<String>::new());
    assert!(looked[0].problems[0].contains("managedsave-remove"), "{:?}", looked[0].problems);
    assert_eq!(world.recover()[0].outcome, Recovered::NeedsOperator);
    world.host.start(&world.disks[0].domain);
    assert_eq!(world.recover()[0].outcome, Recovered::Finished);
    world.ensure_clean();
}
