//! What is measured.

mod check;
mod compare;
mod extract;
mod index;
mod info;
mod map;
mod mount;
mod read;
mod shards;
mod sync;
mod volume;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::cost;
use crate::images::Images;
use crate::peers::Work;
use crate::side_by_side::{Comparison, Way};

/// What all suites work with.
#[derive(Debug)]
pub struct Setting {
    /// The program `stillpoint`.
    pub stillpoint: PathBuf,
    /// Whether inputs are small.
    pub quick: bool,
    /// How often each way is run and counted.
    pub rounds: u32,
    /// Where inputs are made.
    pub dir: TempDir,
    /// Images that are kept from run to run.
    pub images: Images,
    /// Where results are kept from run to run.
    pub kept: PathBuf,
}

impl Setting {
    /// The setting of one run.
    ///
    /// # Errors
    /// When there is no such program, or no room for inputs.
    pub fn new(stillpoint: PathBuf, quick: bool) -> Result<Self> {
        if !stillpoint.is_file() {
            bail!("{} is not there; `cargo xtask bench` builds it", stillpoint.display());
        }
        let dir = tempfile::Builder::new()
            .prefix("stillpoint-bench-")
            .tempdir()
            .context("no temporary directory")?;
        let target = stillpoint.ancestors().nth(2).context("the program is in no target directory")?;
        let bench = target.join("bench");
        let images = Images::new(&bench, quick)?;
        let kept = bench.join(if quick { "results-quick.json" } else { "results.json" });
        Ok(Self { stillpoint, quick, rounds: if quick { 3 } else { 10 }, dir, images, kept })
    }
}

/// What came of a suite.
#[derive(Debug)]
pub enum Outcome {
    /// What was measured.
    Measured(Vec<Comparison>),
    /// Why nothing was.
    Skipped(String),
}

/// A suite.
pub type Suite = fn(&Setting) -> Result<Outcome>;

/// All suites with their names, in the order in which they run.
pub const ALL: &[(&str, Suite)] = &[
    ("info", info::run),
    ("map", map::run),
    ("check", check::run),
    ("read", read::run),
    ("compare", compare::run),
    ("extract", extract::run),
    ("shards", shards::run),
    ("index", index::run),
    ("mount", mount::run),
    ("sync", sync::run),
];

/// A program as the first peer, and other libraries that do the same to the image at `path`.
fn with_libraries<'a>(
    program: &str,
    command: &'a mut Command,
    libraries: &'static [(&'static str, Work)],
    path: &'a Path,
) -> Vec<Way<'a>> {
    let mut ways = vec![Way::new(program, move || cost::of_command(command))];
    ways.extend(
        libraries.iter().map(|(name, work)| Way::new(*name, move || cost::of_work(|| work(path).map(drop)))),
    );
    ways
}

/// Whether a program that is measured against is here.
fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A peer is missing: said, or an error where the caller insists on every peer.
fn without(program: &str) -> Result<Outcome> {
    if std::env::var_os("STILLPOINT_REQUIRE_ORACLES").is_some_and(|value| value == "1") {
        bail!("{program} is missing, and STILLPOINT_REQUIRE_ORACLES=1 asks for it");
    }
    Ok(Outcome::Skipped(format!("no {program}")))
}
