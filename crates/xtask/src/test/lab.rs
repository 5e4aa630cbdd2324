//! The steps that need more than Rust: Debian packages, root, the lab.

use std::process::Stdio;

use anyhow::Result;

use super::Context;
use crate::debian;
use crate::report::Outcome;
use crate::workspace::cargo;

/// Installs what is missing: first what the lab needs, so that QEMU, libvirt and its development files come from one
/// suite, then what only building needs.
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
    match debian::ensure(&mut context.tee, &["pkg-config", "g++"]) {
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

/// Every test that asks for the feature `e2e`, one after the other: they share the machine's network names,
/// loop devices and processors.
pub(super) fn end_to_end(context: &mut Context<'_>) -> Result<Outcome> {
    if !debian::is_root() || !debian::is_debian() {
        return context.missing("the lab needs root on Debian 12 or later");
    }
    let mut rounds = Vec::new();
    for package in context.workspace.with_feature("e2e") {
        rounds.extend(package.tests_requiring("e2e").map(|test| (package.name.clone(), test.to_owned())));
    }
    for (package, test) in &rounds {
        let settings = context.test_settings();
        context.run(
            cargo()
                .args(["test", "--package", package, "--features", "e2e", "--test", test])
                .args(["--", "--test-threads=1", "--nocapture"])
                // Where tests leave the sites' logs when they fail; their own directory is the package's.
                .env("CARGO_TARGET_DIR", context.workspace.target())
                .envs(settings),
        )?;
    }
    context.notes.push(format!("{} test programs", rounds.len()));
    Ok(Outcome::Passed)
}
