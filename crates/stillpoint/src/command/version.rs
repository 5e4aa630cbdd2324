//! `stillpoint version`.

use anyhow::Result;
use serde::Serialize;

use crate::cli::VersionArgs;
use crate::exit::Exit;
use crate::output::{self, Format};

#[derive(Serialize)]
struct Version {
    schema_version: u32,
    version: &'static str,
    /// The ways to reach a hypervisor that are compiled in.
    backends: &'static [&'static str],
    journal_version: u32,
    manifest_version: u32,
}

const BACKENDS: &[&str] = if cfg!(feature = "libvirt") { &["virsh", "libvirt"] } else { &["virsh"] };

pub(crate) fn run(args: &VersionArgs) -> Result<Exit> {
    let version = Version {
        schema_version: 1,
        version: env!("CARGO_PKG_VERSION"),
        backends: BACKENDS,
        journal_version: stillpoint_backup::journal::VERSION,
        manifest_version: stillpoint_backup::manifest::SCHEMA_VERSION,
    };
    match args.output {
        Format::Json => output::print_json(&version)?,
        Format::Human => output::print(&format!(
            "stillpoint {}\nbackends: {}\njournal version: {}\nmanifest version: {}\n",
            version.version,
            version.backends.join(", "),
            version.journal_version,
            version.manifest_version
        ))?,
    }
    Ok(Exit::Done)
}
