//! Cargo's own helpers that a step needs.

use std::process::Stdio;

use anyhow::{Context, Result};

use crate::shell::Tee;
use crate::workspace::cargo;

/// A cargo subcommand from crates.io, and the version that is installed when there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CargoProgram {
    crate_name: &'static str,
    subcommand: &'static str,
    version: &'static str,
}

/// Licences, bans, sources.
pub(crate) const CARGO_DENY: CargoProgram =
    CargoProgram { crate_name: "cargo-deny", subcommand: "deny", version: "0.20.2" };
/// Builds and runs fuzz targets.
pub(crate) const CARGO_FUZZ: CargoProgram =
    CargoProgram { crate_name: "cargo-fuzz", subcommand: "fuzz", version: "0.13.2" };

impl CargoProgram {
    /// Installs it where it is missing. The build of one takes minutes.
    pub(crate) fn ensure(self, tee: &mut Tee) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let Self { crate_name, version, .. } = self;
        tee.say(&format!("installing {crate_name} {version} from crates.io (once; it takes minutes)"))?;
        tee.run(cargo().args(["install", "--locked", "--quiet", crate_name, "--version", version]))
            .with_context(|| format!("{crate_name} is missing and can't be installed"))
    }

    fn is_there(self) -> bool {
        // Through cargo, which also looks where it installs to.
        cargo()
            .args([self.subcommand, "--version"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
