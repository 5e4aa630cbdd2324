//! `cargo xtask demo`: the main job, for real, between two sites on this machine.

mod point;
mod stages;
mod steps;
mod summary;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use stillpoint_lab::{GuestConfig, Lab, LabConfig};

use crate::debian;
use crate::shell::Tee;
use crate::workspace::Workspace;
use stages::Stages;

/// What `cargo xtask demo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the lab standing; `cargo xtask lab --instance demo down` takes it down.
    #[arg(long)]
    keep: bool,
    /// The lab's name, so that it can stand beside others.
    #[arg(long, default_value = "demo")]
    instance: String,
}

const PLAN: &str = "\
What it does, in this order:
  1. installs the Debian packages that are missing: GlusterFS, libvirt, QEMU, rsync, OpenSSH, XFS
  2. builds two sites in network and mount namespaces, a sharded volume at each, geo-replication between them
  3. boots a guest that writes files and their checksums for ever
  4. runs `stillpoint run`: snapshot, replication to a checkpoint, proof of both sites' bricks, commit
  5. exports the guest's disk from the secondary's bricks; e2fsck and the guest's own checksums judge it
  6. takes everything down again";

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let missing = missing_here();
    if !missing.is_empty() {
        println!("The demo can't run here: {}.\n{PLAN}", missing.join("; "));
        return Ok(ExitCode::FAILURE);
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // The second one ends us on the spot.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let workspace = Workspace::load()?;
    let mut tee = Tee::create(&workspace.target().join("xtask/logs/demo.log"))?;
    let mut stages = Stages::new(Arc::clone(&interrupted));

    let outcome = steps::run(&workspace, &mut tee, &mut stages, &lab_config(&args.instance));
    let stays = args.keep && Lab::attach(&args.instance).is_ok();
    let lab_ended = if stays {
        tee.say(&format!(
            "the lab stays up; `cargo xtask lab --instance {} down` takes it down",
            args.instance
        ))
    } else {
        stages.last("lab down", || Lab::down(&args.instance).context("the lab was not taken down whole"))
    };
    match outcome {
        Ok(done) => {
            lab_ended?;
            tee.say(&summary::text(&done, &stages))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            tee.say(&format!("\nThe demo failed: {error:#}\n{}", stages.table()))?;
            lab_ended?;
            if interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The lab's own defaults, with larger files, so that there are some dozens of shards to compare.
fn lab_config(instance: &str) -> LabConfig {
    let guest = GuestConfig { largest_file_kib: 4096, ..GuestConfig::default() };
    LabConfig { guest: Some(guest), ..LabConfig::named(instance) }
}

fn missing_here() -> Vec<String> {
    let mut missing = Vec::new();
    if !debian::is_debian() {
        missing.push("this is not Debian (12 or 13)".to_owned());
    }
    if !debian::is_root() {
        missing.push("it takes root, for namespaces, mounts and loop devices".to_owned());
        let packages = stillpoint_lab::missing_packages().unwrap_or_default();
        if debian::is_debian() && !packages.is_empty() {
            missing.push(format!("root would install the Debian packages {}", packages.join(" ")));
        }
    }
    missing
}
