//! The step `package`: what would go to crates.io is packed, unpacked elsewhere, and built from there.
//!
//! `cargo package` can build what it packs, but not to be relied on: it unpacks the crates below its home's
//! `registry/src`, in a directory named after the target directory's path, and takes what lies there already without
//! looking whether it is still the same. At the second run in one place, a crate would be built against what the
//! others were at the first.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Context;
use crate::report::Outcome;
use crate::workspace::{Package, cargo};

pub(super) fn package(context: &mut Context<'_>) -> Result<Outcome> {
    let packages: Vec<&Package> = context.workspace.publishable().collect();
    let mut pack = cargo();
    pack.args(["package", "--no-verify"]);
    pack.args(packages.iter().flat_map(|package| ["--package", &package.name]));
    if !context.workspace.is_clean()? {
        context.tee.say("the work tree has changes that are not committed: they are packed as they are")?;
        pack.arg("--allow-dirty");
    }
    context.run(&mut pack)?;
    let dir = context.workspace.target().join("xtask/packed");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("can't remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
    for package in &packages {
        let file = format!("package/{}-{}.crate", package.name, package.version);
        let mut unpack = Command::new("tar");
        unpack.arg("-xzf").arg(context.workspace.target().join(file)).arg("-C").arg(&dir);
        context.run(&mut unpack)?;
    }
    let manifest = context.workspace.root().join("Cargo.toml");
    let ours = fs::read_to_string(&manifest).with_context(|| format!("can't read {}", manifest.display()))?;
    write(&dir.join("Cargo.toml"), &(self::manifest(&packages) + &profiles(&ours)))?;
    // With the same versions and profiles, everything else is built already.
    let lock = context.workspace.root().join("Cargo.lock");
    fs::copy(&lock, dir.join("Cargo.lock")).with_context(|| format!("can't copy {}", lock.display()))?;
    let mut build = cargo();
    build.args(["build", "--workspace", "--manifest-path"]).arg(dir.join("Cargo.toml"));
    build.arg("--target-dir").arg(context.workspace.target());
    context.run(&mut build)?;
    context.notes.push(format!("{} crates", packages.len()));
    Ok(Outcome::Passed)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

/// A workspace of what was unpacked, in which the crates find each other in the place of crates.io.
fn manifest(packages: &[&Package]) -> String {
    let (mut members, mut patches) = (String::new(), String::new());
    for Package { name, version, .. } in packages {
        // Writing to a string can't fail.
        let _ = writeln!(members, "    \"{name}-{version}\",");
        let _ = writeln!(patches, "{name} = {{ path = \"{name}-{version}\" }}");
    }
    format!("[workspace]\nresolver = \"3\"\nmembers = [\n{members}]\n\n[patch.crates-io]\n{patches}")
}

/// The tables of a manifest that say how to build, as they stand there.
fn profiles(manifest: &str) -> String {
    let mut is_profile = false;
    let kept = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            is_profile = line.starts_with("[profile.");
        }
        is_profile
    });
    kept.fold("\n".to_owned(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_profiles_are_taken_over() {
        let text =
            "[workspace]\na = 1\n\n[profile.dev]\nb = 2\n[profile.dev.package]\nc = 3\n\n[lints]\nd = 4\n";
        assert_eq!(profiles(text), "\n[profile.dev]\nb = 2\n[profile.dev.package]\nc = 3\n\n");
    }
}
