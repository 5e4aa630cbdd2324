//! The steps, in the order in which they run: what is cheap and tells most comes first.

use anyhow::Result;

use super::{Context, Step, lab, package};
use crate::fuzz::{self, Build, Long};
use crate::lanes::in_lanes;
use crate::programs::{CARGO_DENY, CARGO_FUZZ};
use crate::report::Outcome;
use crate::workspace::cargo;

/// All of them.
pub(super) const ALL: &[Step] = &[
    Step { name: "fmt", about: "rustfmt has nothing to change", run: fmt },
    Step {
        name: "packages",
        about: "the Debian packages that the tests need are installed",
        run: lab::packages,
    },
    Step { name: "clippy", about: "clippy, warnings denied, without libvirt", run: clippy },
    Step { name: "test", about: "unit, integration and doc tests, without libvirt", run: tests },
    Step {
        name: "features",
        about: "each published crate builds with each feature alone and with none",
        run: features,
    },
    Step {
        name: "clippy-libvirt",
        about: "clippy, warnings denied, with libvirt's C library",
        run: clippy_libvirt,
    },
    Step {
        name: "test-libvirt",
        about: "the tests of the crates that can use libvirt's C library",
        run: tests_libvirt,
    },
    Step { name: "doc", about: "the API's documentation builds, warnings denied", run: doc },
    Step { name: "deny", about: "licences, bans and sources of all dependencies", run: deny },
    Step {
        name: "advisories",
        about: "no dependency has a known vulnerability (needs the RustSec database)",
        run: advisories,
    },
    Step {
        name: "consumer",
        about: "a crate outside the workspace uses each library through its public API",
        run: consumer,
    },
    Step {
        name: "package",
        about: "each published crate packs and builds from its package",
        run: package::package,
    },
    Step { name: "fuzz", about: "every fuzz target runs for a few seconds from its seeds", run: fuzz_smoke },
    Step { name: "e2e", about: "the whole cycle on real programs, in the lab", run: lab::end_to_end },
];

fn fmt(context: &mut Context<'_>) -> Result<Outcome> {
    context.run(cargo().args(["fmt", "--all", "--check"]))?;
    // These two are workspaces of their own.
    for manifest in ["fuzz/Cargo.toml", "tests/consumer/Cargo.toml"] {
        context.run(cargo().args(["fmt", "--check", "--manifest-path", manifest]))?;
    }
    Ok(Outcome::Passed)
}

fn clippy(context: &mut Context<'_>) -> Result<Outcome> {
    // Test code that only the lab runs is held to the same.
    context.run(
        cargo()
            .args(["clippy", "--workspace", "--all-targets"])
            .args(e2e_feature(context))
            .args(DENY_WARNINGS),
    )?;
    Ok(Outcome::Passed)
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

fn e2e_feature(context: &Context<'_>) -> Vec<&'static str> {
    if context.workspace.with_feature("e2e").next().is_some() {
        vec!["--features", "e2e"]
    } else {
        Vec::new()
    }
}

fn tests(context: &mut Context<'_>) -> Result<Outcome> {
    let settings = context.small_test_settings();
    context.run(cargo().args(["test", "--workspace"]).envs(settings))?;
    Ok(Outcome::Passed)
}

fn features(context: &mut Context<'_>) -> Result<Outcome> {
    let mut rounds = Vec::new();
    for package in context.workspace.publishable() {
        rounds.push((package.name.clone(), None));
        // The lab's and libvirt's have steps of their own.
        let alone = package.features().filter(|name| !["e2e", "libvirt"].contains(name));
        rounds.extend(alone.map(|name| (package.name.clone(), Some(name.to_owned()))));
    }
    for (package, feature) in rounds {
        let mut check = cargo();
        check.args(["check", "--quiet", "--no-default-features", "--package", &package]);
        if let Some(feature) = &feature {
            check.args(["--features", feature]);
        }
        context.run(&mut check)?;
    }
    Ok(Outcome::Passed)
}

/// `--package NAME…` of the crates that can be built with libvirt's C library.
fn with_libvirt(context: &Context<'_>) -> Vec<String> {
    context
        .workspace
        .with_feature("libvirt")
        .flat_map(|package| ["--package".to_owned(), package.name.clone()])
        .collect()
}

fn clippy_libvirt(context: &mut Context<'_>) -> Result<Outcome> {
    if let Some(outcome) = lab::no_libvirt(context)? {
        return Ok(outcome);
    }
    let packages = with_libvirt(context);
    context.run(
        cargo()
            .arg("clippy")
            .args(packages)
            .args(["--all-targets", "--features", "libvirt"])
            .args(DENY_WARNINGS),
    )?;
    Ok(Outcome::Passed)
}

fn tests_libvirt(context: &mut Context<'_>) -> Result<Outcome> {
    if let Some(outcome) = lab::no_libvirt(context)? {
        return Ok(outcome);
    }
    let settings = context.small_test_settings();
    let mut test = |arguments: &[&str]| {
        context
            .run(cargo().arg("test").args(arguments).args(["--features", "libvirt"]).envs(settings.clone()))
    };
    test(&["--package", "stillpoint-virt"])?;
    // The others only pass the choice on: their tests of the whole ask nothing of libvirt's library.
    test(&["--package", "stillpoint", "--package", "stillpoint-backup", "--lib", "--bins"])?;
    test(&["--package", "stillpoint-backup", "--doc"])?;
    Ok(Outcome::Passed)
}

fn doc(context: &mut Context<'_>) -> Result<Outcome> {
    context.run(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    Ok(Outcome::Passed)
}

fn deny(context: &mut Context<'_>) -> Result<Outcome> {
    CARGO_DENY.ensure(&mut context.tee)?;
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut check = cargo();
        check.args(["deny", "--manifest-path", manifest, "--config", "deny.toml", "--log-level", "error"]);
        context.run(check.args(["check", "bans", "licenses", "sources"]))?;
    }
    Ok(Outcome::Passed)
}

fn advisories(context: &mut Context<'_>) -> Result<Outcome> {
    CARGO_DENY.ensure(&mut context.tee)?;
    // The database lies on GitHub, which a machine that builds may not reach.
    let fetched = context.tee.status(
        cargo()
            .args(["deny", "fetch", "db"])
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(context.workspace.root()),
    )?;
    if !fetched.success() {
        return Ok(Outcome::NotRun("the RustSec advisory database can't be reached from here".to_owned()));
    }
    context.run(cargo().args(["deny", "check", "--disable-fetch", "advisories"]))?;
    Ok(Outcome::Passed)
}

fn consumer(context: &mut Context<'_>) -> Result<Outcome> {
    // What the workspace has built of its dependencies, the profiles being the same, is not built again.
    let target = context.workspace.target().to_owned();
    let manifest = ["--manifest-path", "tests/consumer/Cargo.toml", "--target-dir"];
    context
        .run(cargo().arg("clippy").args(manifest).arg(&target).arg("--all-targets").args(DENY_WARNINGS))?;
    context.run(cargo().arg("test").args(manifest).arg(&target))?;
    Ok(Outcome::Passed)
}

fn fuzz_smoke(context: &mut Context<'_>) -> Result<Outcome> {
    CARGO_FUZZ.ensure(&mut context.tee)?;
    // libFuzzer's runtime is C++ (see the step `packages`).
    let targets = fuzz::targets(context.workspace)?;
    let whole = if context.full { 1800 } else { 75 };
    let each = (whole / targets.len().max(1) as u64).max(3);
    // One processor is enough for a target.
    let lanes = 2;
    if context.full {
        let long = Long { seconds: each, lanes, keep: true };
        fuzz::run_long(context.workspace, &mut context.tee, &targets, long)?;
    } else {
        fuzz::build(context.workspace, &mut context.tee, Build::Quick)?;
        let (workspace, tee) = (context.workspace, &context.tee);
        in_lanes(lanes, &targets, |target| {
            let mut lane = tee.lane(target)?;
            fuzz::run_target(workspace, &mut lane, Build::Quick, target, each)
        })?;
    }
    context.notes.push(format!("{} targets, {each} s each", targets.len()));
    Ok(Outcome::Passed)
}
