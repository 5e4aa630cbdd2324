//! `stillpoint georep resync`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;
use stillpoint_backup::{DomainStill, StateDir};
use stillpoint_georep::{ResyncError, ResyncFile, ResyncOptions, Resynced, SessionName, Side, resync};
use stillpoint_virt as virt;

use crate::cli::{GeorepResyncArgs, Global};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::{logging, signals};

/// The smallest shard that Gluster makes: steps of it miss no shard of any size.
const SMALLEST: u64 = 4 << 20;

/// What is written as JSON.
#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    session: &'a SessionName,
    shard_size: u64,
    files: &'a [Resynced],
}

pub(super) fn run(args: &GeorepResyncArgs, global: &Global) -> Result<Exit> {
    let session = super::session(&args.session);
    if args.shards.is_some() && args.files.len() > 1 {
        logging::complain("--shards is of one file: name one at a time");
        return Ok(Exit::Usage);
    }
    let shards = args.shards.as_ref().map(|shards| shards.0.clone());
    let state = StateDir::open(&args.state.state_dir)?;
    let Some(_lock) = super::lock(&state, &session)? else { return Ok(Exit::Locked) };
    let cancel = signals::cancel_on_signals(signals::READ).context("can't catch signals")?;

    let hypervisor = virt::connect(args.connect.backend, &args.connect.connect)
        .with_context(|| format!("can't connect to {}", args.connect.connect))?;
    let still = DomainStill::new(&*hypervisor, hypervisor.find(&args.domain)?);
    let shard_size = match (args.shard_size, &shards) {
        (Some(size), _) => size,
        (None, None) => SMALLEST,
        (None, Some(_)) => session
            .volume_info(Side::Primary)?
            .shard_size()
            .context("the volume's shard size can't be read: give the file's by --shard-size")?,
    };
    let file = |path: &PathBuf| ResyncFile {
        path: args
            .mount
            .join(path.strip_prefix(&args.mount).or_else(|_| path.strip_prefix("/")).unwrap_or(path)),
        shards: shards.clone(),
    };
    let files: Vec<ResyncFile> = args.files.iter().map(file).collect();
    let options = ResyncOptions { mount: args.mount.clone(), shard_size };
    let mut progress = Progress::new(global);
    let mut show = |path: &std::path::Path, done: u64, of: u64| {
        progress.line(format!("{}: {done} of {of} shards", path.display()));
    };
    let done = match resync(&files, &options, &still, session.clock(), &mut show, cancel.flag()) {
        Ok(done) => done,
        Err(error @ ResyncError::NotStill { .. }) => {
            drop(progress);
            logging::failed(&error.into());
            return Ok(Exit::NeedsOperator);
        }
        Err(error) => return Err(error.into()),
    };
    drop(progress);
    match args.session.output {
        Format::Json => output::print_json(&Report {
            schema_version: 1,
            session: session.name(),
            shard_size,
            files: &done,
        })?,
        Format::Human => output::print(&in_words(&done, session.name()))?,
    }
    Ok(Exit::Done)
}

fn in_words(done: &[Resynced], session: &SessionName) -> String {
    let mut text = String::new();
    for file in done {
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "{}: {} shards will be sent again; still, since {}",
            output::one_line(&file.path),
            file.shards,
            file.still
        );
    }
    let _ = writeln!(text, "they are sent by the next run: stillpoint georep sync --session '{session}' …");
    text
}
