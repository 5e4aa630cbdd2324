//! What runs before have found worth trying again: in `fuzz/corpora`, one packed file a target.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::target::{Build, cargo_fuzz};
use crate::shell::Tee;
use crate::workspace::Workspace;

/// Where a target's corpus lies while it is worked with.
pub(super) fn dir(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.target().join("fuzz-corpus").join(target)
}

fn packed(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.root().join(super::CORPORA).join(target).with_extension("tar.gz")
}

/// Puts the kept inputs beside those that runs here have found.
pub(super) fn unpack(workspace: &Workspace, tee: &mut Tee, target: &str) -> Result<()> {
    let (dir, packed) = (dir(workspace, target), packed(workspace, target));
    std::fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
    if packed.is_file() {
        tee.run(Command::new("tar").arg("-xzf").arg(&packed).arg("-C").arg(&dir))?;
    }
    Ok(())
}

/// Keeps the inputs that reach what no smaller one does, and drops the others.
pub(super) fn pack(workspace: &Workspace, tee: &mut Tee, target: &str) -> Result<()> {
    let (dir, packed) = (dir(workspace, target), packed(workspace, target));
    let mut minimise = cargo_fuzz(workspace);
    minimise.args(["fuzz", "cmin"]).args(Build::Optimised.options()).arg("--target-dir");
    tee.run(minimise.arg(workspace.target().join("fuzz")).arg(target).arg(&dir))?;
    if let Some(parent) = packed.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    }
    // The same inputs make the same file.
    let script = "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a=r,u+w -C \"$1\" -cf - . \
                  | gzip -9n > \"$2.new\" && mv \"$2.new\" \"$2\"";
    tee.run(Command::new("sh").args(["-c", script, "sh"]).arg(&dir).arg(&packed))
}
