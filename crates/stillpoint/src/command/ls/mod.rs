//! `stillpoint ls`.

mod left;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde::Serialize;
use stillpoint_shard::{Entry, EntryKind, FileRef, Finding, OnChoice, OpenOptions, ShardError, Volume};

use crate::cli::LsArgs;
use crate::command::source;
use crate::exit::{Exit, WHICH_VOLUME};
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
    /// What a rule of `--split-brain` decided of what is listed.
    choices: Vec<String>,
}

/// One entry.
#[derive(Serialize)]
struct Listed {
    /// From the volume's root on. Bytes that are no text are replaced.
    path: String,
    /// `null` for what has none that can be seen: links and special files.
    gfid: Option<String>,
    /// The paths that lead to it, where it was named by its gfid.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    #[serde(flatten)]
    kind: EntryKind,
}

pub(crate) fn run(args: &LsArgs) -> Result<Exit> {
    source::no_file_options(&args.volume)?;
    let (options, choices) = telling(args.volume.options());
    let volume = source::volume_with(&args.volume, options)?.ok_or(WHICH_VOLUME)?;
    if args.deleted || args.orphans {
        return left::list(&volume, args);
    }
    let file = source::reference(&args.path, args.volume.mounted_at.as_deref())?;
    let mut problems = Vec::new();
    let names = names_of(&volume, &file, &mut problems)?;
    match args.output {
        Format::Human => output::stream(|out| {
            each(&volume, &file, args, &mut problems, &mut |entry| {
                write_entry(out, &entry, args.long).context("can't write to stdout")
            })?;
            for name in names.iter().flatten() {
                writeln!(out, "  named {}", output::one_line(name)).context("can't write to stdout")?;
            }
            Ok(())
        })?,
        Format::Json => {
            let mut entries = Vec::new();
            each(&volume, &file, args, &mut problems, &mut |entry| {
                entries.push(Listed {
                    path: entry.path.display().to_string(),
                    gfid: entry.gfid.map(|gfid| gfid.to_string()),
                    names: names.as_ref().map(|names| shown(names)),
                    kind: entry.kind,
                });
                Ok(())
            })?;
            let volume = volume.topology().volume.clone();
            let choices = std::mem::take(&mut *choices.lock().unwrap_or_else(PoisonError::into_inner));
            let problems = problems.clone();
            output::print_json(&Listing { schema_version: 1, volume, entries, problems, choices })?;
        }
    }
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Partial })
}

/// The same options, and where each choice is kept besides being told.
fn telling(options: OpenOptions) -> (OpenOptions, Arc<Mutex<Vec<String>>>) {
    let choices = Arc::new(Mutex::new(Vec::new()));
    let (kept, before) = (Arc::clone(&choices), options.on_choice);
    let on_choice = OnChoice(Arc::new(move |choice: &Finding| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(choice.to_string());
        if let Some(OnChoice(tell)) = &before {
            tell(choice);
        }
    }));
    (OpenOptions { on_choice: Some(on_choice), ..options }, choices)
}

/// The paths of what is named by its gfid. What contradicts them is a problem.
fn names_of(volume: &Volume, file: &FileRef, problems: &mut Vec<String>) -> Result<Option<Vec<PathBuf>>> {
    let FileRef::Gfid(gfid) = file else { return Ok(None) };
    let names = volume.names_of(*gfid)?;
    for finding in names.findings {
        match finding {
            Finding::NoName { .. } => tracing::info!("{finding}"),
            _ => problems.push(finding.to_string()),
        }
    }
    Ok(Some(names.paths))
}

fn shown(names: &[PathBuf]) -> Vec<String> {
    names.iter().map(|name| name.display().to_string()).collect()
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
            EntryKind::Remains { size, shard_size, .. } => ('r', Some(*size), *shard_size),
            EntryKind::Symlink => ('l', None, None),
            _ => ('o', None, None),
        };
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let gfid = entry.gfid.map_or_else(|| "-".to_owned(), |gfid| gfid.to_string());
        write!(out, "{letter} {:>15} {:>11} {gfid:>36} ", number(size), number(shard_size))?;
    }
    writeln!(out, "{}", output::one_line(&entry.path))
}
