//! `stillpoint ls`.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, Result};
use serde::Serialize;
use stillpoint_shard::{Entry, EntryKind, FileRef, ShardError, Volume};

use crate::cli::LsArgs;
use crate::command::source;
use crate::exit::Exit;
use crate::output::{self, Format};

/// What is listed.
#[derive(Serialize)]
struct Listing {
    schema_version: u32,
    /// The volume's name; its id where the name isn't known.
    volume: String,
    /// In the order of the walk.
    entries: Vec<Listed>,
    /// What isn't known. With any of these the list isn't whole.
    problems: Vec<String>,
}

/// One entry.
#[derive(Serialize)]
struct Listed {
    /// From the volume's root on. Bytes that are no text are replaced.
    path: String,
    /// `null` for what has none that can be seen: links and special files.
    gfid: Option<String>,
    #[serde(flatten)]
    kind: EntryKind,
}

pub(crate) fn run(args: &LsArgs) -> Result<Exit> {
    let volume = source::volume(&args.volume)?.context("which volume? Name it with --volume or --brick")?;
    let file = source::reference(&args.path, args.volume.mounted_at.as_deref())?;
    let mut problems = Vec::new();
    match args.output {
        Format::Human => output::stream(|out| {
            each(&volume, &file, args, &mut problems, &mut |entry| {
                write_entry(out, &entry, args.long).context("can't write to stdout")
            })
        })?,
        Format::Json => {
            let mut entries = Vec::new();
            each(&volume, &file, args, &mut problems, &mut |entry| {
                entries.push(Listed {
                    path: entry.path.display().to_string(),
                    gfid: entry.gfid.map(|gfid| gfid.to_string()),
                    kind: entry.kind,
                });
                Ok(())
            })?;
            let volume = volume.topology().volume.clone();
            output::print_json(&Listing { schema_version: 1, volume, entries, problems: problems.clone() })?;
        }
    }
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Partial })
}

/// Calls `tell` with each entry that is to be listed.
fn each(
    volume: &Volume,
    file: &FileRef,
    args: &LsArgs,
    problems: &mut Vec<String>,
    tell: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let start = volume.entry(file)?;
    if start.kind != EntryKind::Directory {
        return tell(start);
    }
    let walk = volume.walk(&start.path)?;
    let walk = if args.recursive || args.sharded { walk } else { walk.max_depth(1) };
    for entry in walk {
        match entry {
            Ok(entry) if !args.sharded || entry.is_sharded() => tell(entry)?,
            Ok(_) => {}
            // The names beside it are still worth telling.
            Err(error) => problems.push(ShardError::to_string(&error)),
        }
    }
    Ok(())
}

fn write_entry(out: &mut dyn Write, entry: &Entry, long: bool) -> std::io::Result<()> {
    if long {
        let (letter, size, shard_size) = match &entry.kind {
            EntryKind::Directory => ('d', None, None),
            EntryKind::File { size, shard_size: None, .. } => ('f', Some(*size), None),
            EntryKind::File { size, shard_size, .. } => ('s', Some(*size), *shard_size),
            EntryKind::Symlink => ('l', None, None),
            _ => ('o', None, None),
        };
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let gfid = entry.gfid.map_or_else(|| "-".to_owned(), |gfid| gfid.to_string());
        write!(out, "{letter} {:>15} {:>11} {gfid:>36} ", number(size), number(shard_size))?;
    }
    // A name may hold anything but NUL and `/`; a terminal is not to be controlled by it.
    let path = entry.path.as_os_str().as_bytes();
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => writeln!(out, "{text}"),
        _ => writeln!(out, "{}", path.escape_ascii()),
    }
}
