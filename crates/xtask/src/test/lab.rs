//! The steps that need more than Rust: Debian packages, root, the lab.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Result;

use super::Context;
use crate::debian;
use crate::lanes::in_lanes;
use crate::report::Outcome;
use crate::workspace::cargo;

/// Installs what is missing: first what the lab needs, so that QEMU, libvirt and its development files come from one
/// suite, then what only building needs, and what reads our mapfiles.
pub(super) fn packages(context: &mut Context<'_>) -> Result<Outcome> {
    if !debian::is_debian() {
        return context.missing(
            "what the tests compare with is installed on Debian only: qemu-utils, libvirt-dev, GlusterFS",
        );
    }
    let missing = stillpoint_lab::missing_packages()?;
    if !missing.is_empty() {
        let list = missing.join(" ");
        if !debian::is_root() {
            return context
                .missing(&format!("Debian packages are missing, and installing them takes root: {list}"));
        }
        context.tee.say(&format!("installing the Debian packages {list}"))?;
        if let Err(error) = stillpoint_lab::install_missing_packages() {
            return context.missing(&format!("Debian packages can't be installed: {error}"));
        }
    }
    match debian::ensure(&mut context.tee, &["pkg-config", "g++", "gddrescue"]) {
        Ok(()) => Ok(Outcome::Passed),
        Err(error) => context.missing(&format!("{error:#}")),
    }
}

/// `Some` when libvirt's development files are not here.
pub(super) fn no_libvirt(context: &mut Context<'_>) -> Result<Option<Outcome>> {
    let found = std::process::Command::new("pkg-config")
        .args(["--atleast-version=6.0.0", "libvirt"])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if found {
        return Ok(None);
    }
    context
        .missing(
            "libvirt's development files (6.0 or later) are missing: on Debian, libvirt-dev and pkg-config",
        )
        .map(Some)
}

/// How many test programs run at once, each with a lab of its own: they wait for replication most of the time.
const LANES: usize = 3;

/// Every test program that asks for the feature `e2e`.
pub(super) fn end_to_end(context: &mut Context<'_>) -> Result<Outcome> {
    if !debian::is_root() || !debian::is_debian() {
        return context.missing("the lab needs root on Debian 12 or later");
    }
    let mut rounds = Vec::new();
    for package in context.workspace.with_feature("e2e") {
        rounds.extend(package.tests_requiring("e2e").map(|test| (package.name.clone(), test.to_owned())));
    }
    // The programs are built first, one after the other: building takes both processors, and waits for no one.
    let settings = context.test_settings();
    for (package, test) in &rounds {
        let mut build = program(package, test, context.workspace.target());
        context.run(build.arg("--no-run").envs(settings.clone()))?;
    }
    // What takes longest begins first, so that no lane is left alone with it.
    rounds.sort_by_key(|(package, _)| match package.as_str() {
        "stillpoint" => 0,
        "stillpoint-georep" => 1,
        "stillpoint-virt" => 2,
        "stillpoint-lab" => 3,
        _ => 4,
    });
    let (workspace, tee) = (context.workspace, &context.tee);
    in_lanes(LANES, &rounds, |(package, test)| {
        let mut command = program(package, test, workspace.target());
        command.args(["--", "--test-threads=1", "--nocapture"]).envs(settings.clone());
        command.current_dir(workspace.root());
        let began = Instant::now();
        let mut lane = tee.lane(test)?;
        lane.run(&mut command)?;
        lane.say(&format!("{package} {test}: passed in {:.0} s", began.elapsed().as_secs_f64()))
    })?;
    let count = rounds.len();
    context.notes.push(format!("{count} test programs"));
    Ok(Outcome::Passed)
}

/// `cargo test` of one program. By the whole workspace, so that what all crates need has the features that it was built
/// with before: asked for by the package alone, much of it would be built once more.
fn program(package: &str, test: &str, target: &Path) -> Command {
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--features", &format!("{package}/e2e"), "--test", test])
        // Where tests leave the sites' logs when they fail; their own directory is the package's.
        .env("CARGO_TARGET_DIR", target);
    command
}
