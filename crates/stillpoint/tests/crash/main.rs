//! SIGKILL at any step of a run on real programs, and what is true afterwards.

#[path = "../lab/mod.rs"]
mod lab;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use stillpoint_lab::GuestConfig;

use crate::lab::{Stage, Test, run_in_lab};

const TESTS: &[Test] = &[
    ("a_guest_frozen_at_the_crash_is_thawed_within_5_s", frozen),
    ("recover_undoes_a_crash_at_any_moment", any_moment),
    ("recover_undoes_a_crash_after_every_journalled_step", every_step),
    ("the_guests_own_checksums_are_right_after_all_of_it", guest_checks_itself),
];

fn main() -> ExitCode {
    run_in_lab("crash", GuestConfig::default(), TESTS)
}

const SIGKILL: i32 = 9;

/// Runs until the journal's record `step` is on disk, and dies there.
fn die_after(stage: &Stage, step: &str) -> Result<()> {
    let output = stage.run_command().env("STILLPOINT_CRASH_AFTER_STEP", step).output()?;
    if output.status.signal() != Some(SIGKILL) {
        bail!(
            "it did not die after {step}, but ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn recovered(stage: &Stage) -> Result<()> {
    stage.recover()?.expect(0)?;
    stage.ensure_no_overlay()?;
    stage.ensure_stopped()?;
    stage.ensure_guest_writes()?;
    // Once more finds nothing to do.
    stage.recover()?.expect(0)?;
    Ok(())
}

fn frozen(stage: &Stage) -> Result<()> {
    die_after(stage, "virt.frozen")?;
    // By itself: nobody recovers yet.
    stage.ensure_guest_writes_within(Duration::from_secs(5))?;
    recovered(stage)
}

fn every_step(stage: &Stage) -> Result<()> {
    stage.proven_run()?;
    let names: Vec<String> = stage.newest_journal()?.iter().map(|record| record.entry.name()).collect();
    let last = names.len();
    ensure!(last > 10, "a run records {last} steps: {names:?}");
    let mut passed = 0;
    let mut failed = Vec::new();
    // The last record says that nothing is left to do.
    for (place, name) in names.iter().enumerate().take(last - 1) {
        let step = (place + 1).to_string();
        let began = Instant::now();
        let outcome = die_after(stage, &step)
            .and_then(|()| {
                stage.ensure_guest_writes_within(Duration::from_secs(15)).context("before recovery")
            })
            .and_then(|()| recovered(stage));
        match outcome {
            Ok(()) => {
                passed += 1;
                eprintln!("crash after {step} {name}: recovered, {:.1} s", began.elapsed().as_secs_f64());
            }
            Err(error) => {
                eprintln!("crash after {step} {name}: {error:#}");
                failed.push(format!("{step} {name}: {error:#}"));
                // What is left would fail all that follows.
                break;
            }
        }
    }
    eprintln!("matrix crash-real: tried {}, passed {passed}", passed + failed.len());
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    // And a run after all of them is proven.
    stage.proven_run().map(|_| ())
}

/// Between the journal's records too: with `STILLPOINT_FULL`, many moments drawn over the length of a run; else a few.
fn any_moment(stage: &Stage) -> Result<()> {
    let rounds: u64 = if std::env::var_os("STILLPOINT_FULL").is_some() { 40 } else { 2 };
    // About as long as a run takes.
    let length = Duration::from_secs(25);
    let mut state = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64 | 1;
    let mut passed = 0;
    for _ in 0..rounds {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let after = length.mul_f64((state >> 11) as f64 / (1_u64 << 53) as f64);
        let mut run = stage.run_command().stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(after);
        run.kill()?;
        run.wait()?;
        let last = stage.newest_journal().ok().and_then(|records| Some(records.last()?.entry.name()));
        stage
            .ensure_guest_writes_within(Duration::from_secs(15))
            .and_then(|()| recovered(stage))
            .with_context(|| format!("killed {after:?} after its start, the last record {last:?}"))?;
        passed += 1;
        eprintln!("killed {:.3} s after its start, at {last:?}: recovered", after.as_secs_f64());
    }
    eprintln!("matrix crash-any-moment: tried {rounds}, passed {passed}");
    Ok(())
}

fn guest_checks_itself(stage: &Stage) -> Result<()> {
    stage.ensure_guests_checksums()
}
