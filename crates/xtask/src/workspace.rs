//! Where things are, and what the workspace is made of: asked of cargo, never listed twice.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The workspace as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    features: std::collections::BTreeMap<String, Vec<String>>,
    targets: Vec<Target>,
    /// `None`: may be published anywhere. An empty list: never.
    publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built in.
    pub(crate) fn load() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = cargo()
            .args(["metadata", "--format-version=1", "--no-deps"])
            .current_dir(here)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo can't be started")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed in {}", here.display());
        }
        let mut workspace: Self =
            serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")?;
        workspace.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(workspace)
    }

    /// The directory with the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.workspace_root
    }

    /// Where cargo builds; everything that xtask makes lies below it too.
    pub(crate) fn target(&self) -> &Path {
        &self.target_directory
    }

    /// The commit that is checked out.
    pub(crate) fn commit(&self) -> Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Whether all that is here is committed.
    pub(crate) fn is_clean(&self) -> Result<bool> {
        self.is_clean_but(&[])
    }

    /// The same, whatever is at `paths` (files, and directories with all below them).
    pub(crate) fn is_clean_but(&self, paths: &[&str]) -> Result<bool> {
        let but: Vec<String> = paths.iter().map(|path| format!(":(exclude,top){path}")).collect();
        let args = ["status", "--porcelain", "--", "."].into_iter().chain(but.iter().map(String::as_str));
        Ok(self.git(&args.collect::<Vec<_>>())?.is_empty())
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(args)
            .current_dir(&self.workspace_root)
            .stdin(Stdio::null())
            .output()
            .context("git can't be started")?;
        if !output.status.success() {
            bail!("`git {}`: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Members that have `feature`.
    pub(crate) fn with_feature<'a>(&'a self, feature: &'a str) -> impl Iterator<Item = &'a Package> {
        self.packages.iter().filter(move |package| package.features.contains_key(feature))
    }

    /// Members that are meant to be published.
    pub(crate) fn publishable(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.publish.as_ref().is_none_or(|to| !to.is_empty()))
    }
}

impl Package {
    /// Integration tests that ask for `feature` by name.
    pub(crate) fn tests_requiring<'a>(&'a self, feature: &'a str) -> impl Iterator<Item = &'a str> {
        self.targets
            .iter()
            .filter(move |target| {
                target.kind.iter().any(|kind| kind == "test")
                    && target.required_features.iter().any(|required| required == feature)
            })
            .map(|target| target.name.as_str())
    }

    /// Every feature but `default`.
    pub(crate) fn features(&self) -> impl Iterator<Item = &str> {
        self.features.keys().map(String::as_str).filter(|name| *name != "default")
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells its own child (us) is not meant for the cargos that we start.
    for (name, _) in std::env::vars_os() {
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_"));
        if is_ours || name == "CARGO_MANIFEST_DIR" || name == "CARGO_MANIFEST_PATH" {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(root: &Path, args: &[&str]) -> bool {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
        command.current_dir(root).stdin(Stdio::null()).stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    #[test]
    fn what_a_full_run_writes_itself_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        if !git(root, &["init", "-q"]) {
            eprintln!("skipped: no git");
            return;
        }
        let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
        std::fs::create_dir_all(root.join("fuzz/corpora")).unwrap();
        write("code", "1");
        write("totals", "1");
        assert!(git(root, &["add", "."]) && git(root, &["commit", "-q", "-m", "first"]));
        let workspace = Workspace {
            workspace_root: root.to_owned(),
            target_directory: root.join("target"),
            packages: Vec::new(),
        };
        let kept = ["totals", "fuzz/corpora"];
        assert!(workspace.is_clean().unwrap());
        write("totals", "2");
        write("fuzz/corpora/new.tar.gz", "1");
        assert!(!workspace.is_clean().unwrap() && workspace.is_clean_but(&kept).unwrap());
        write("fuzz/new", "1");
        assert!(!workspace.is_clean_but(&kept).unwrap());
        std::fs::remove_file(root.join("fuzz/new")).unwrap();
        write("code", "2");
        assert!(!workspace.is_clean_but(&kept).unwrap());
    }
}
