//! `stillpoint export`.

use anyhow::{Context as _, Result};
use serde::Serialize;
use stillpoint_shard::export::{ExportOptions, copy_file};

use crate::cli::{ExportArgs, Global};
use crate::command::source;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::progress::Progress;

/// What was exported.
#[derive(Serialize)]
struct Exported {
    schema_version: u32,
    /// As it was named.
    path: String,
    /// The file's identity in its volume.
    gfid: String,
    /// The file that was written.
    out: String,
    /// Its length in bytes.
    bytes: u64,
    /// How many of these were copied; the others are holes.
    bytes_copied: u64,
    /// What was odd on the bricks.
    findings: Vec<String>,
}

pub(crate) fn run(args: &ExportArgs, global: &Global) -> Result<Exit> {
    let file = source::file(&args.volume, &args.path)?;
    let options = ExportOptions { overwrite: args.force };
    let mut progress = Progress::new(global);
    let done =
        copy_file(&file, &args.out, &options, &mut |step| progress.bytes("exporting", step.done, step.total))
            .with_context(|| format!("{} wasn't exported", args.path))?;
    drop(progress);
    let exported = Exported {
        schema_version: 1,
        path: args.path.clone(),
        gfid: file.gfid().to_string(),
        out: args.out.display().to_string(),
        bytes: done.total,
        bytes_copied: done.copied,
        findings: file.findings().iter().map(ToString::to_string).collect(),
    };
    for finding in &exported.findings {
        tracing::warn!("{finding}");
    }
    match args.output {
        Format::Json => output::print_json(&exported)?,
        Format::Human => output::print(&format!(
            "{} (gfid {}): {} bytes, {} of them copied, to {}\n",
            exported.path, exported.gfid, exported.bytes, exported.bytes_copied, exported.out
        ))?,
    }
    Ok(Exit::Done)
}
