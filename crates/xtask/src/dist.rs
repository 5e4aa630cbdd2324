//! `cargo xtask dist`: what a release consists of.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::shell::Tee;
use crate::workspace::{Workspace, cargo};

/// What `cargo xtask dist` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Build with libvirt's C library (needs its development files).
    #[arg(long)]
    libvirt: bool,
}

/// Shells, and what each calls a file of completions.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "stillpoint"), ("zsh", "_stillpoint"), ("fish", "stillpoint.fish")];

/// The habit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tee = Tee::create(&workspace.target().join("xtask/logs/dist.log"))?;
    let mut build = cargo();
    build.current_dir(workspace.root()).args(["build", "--release", "--locked", "--package", "stillpoint"]);
    if args.libvirt {
        build.args(["--features", "libvirt"]);
    }
    tee.run(&mut build)?;

    let name = format!(
        "stillpoint-{}-{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS
    );
    let dist = workspace.target().join("dist");
    let dir = dist.join(&name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("can't empty {}", dir.display()))?;
    }
    for part in ["man", "completions"] {
        std::fs::create_dir_all(dir.join(part)).with_context(|| format!("can't make {}", dir.display()))?;
    }
    let binary = dir.join("stillpoint");
    copy(&workspace.target().join("release/stillpoint"), &binary)?;
    for page in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&workspace.root().join(page), &dir.join(page))?;
    }
    tee.run(Command::new(&binary).args(["generate", "man"]).arg(dir.join("man")))?;
    for (shell, file) in COMPLETIONS {
        let output = Command::new(&binary)
            .args(["generate", "completions", shell])
            .output()
            .with_context(|| format!("{} can't be started", binary.display()))?;
        ensure!(output.status.success(), "the completions of {shell} can't be made");
        let path = dir.join("completions").join(file);
        std::fs::write(&path, output.stdout).with_context(|| format!("can't write {}", path.display()))?;
    }
    let archive = format!("{name}.tar.gz");
    tee.run(Command::new("tar").current_dir(&dist).args([
        "--owner=0",
        "--group=0",
        "--sort=name",
        "-czf",
        &archive,
        &name,
    ]))?;
    tee.say(&format!("{}", dist.join(archive).display()))?;
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("can't copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
