//! `stillpoint locate`.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use stillpoint_shard::{FileRef, Located, Names, ShardState, Standing};

use crate::cli::LocateArgs;
use crate::command::source;
use crate::exit::{Exit, WHICH_VOLUME};
use crate::logging;
use crate::output::{self, Format};

/// Where a byte lies.
#[derive(Serialize)]
struct Answer {
    schema_version: u32,
    /// As the file was named.
    path: String,
    /// The file's identity in its volume.
    gfid: String,
    /// The file's length in bytes.
    size: u64,
    /// Bytes in a shard; `null` where the file isn't sharded.
    shard_size: Option<u64>,
    /// The paths that lead to it, where it was named by its gfid.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    #[serde(flatten)]
    located: Located,
    /// What is odd on the bricks, of what was looked at.
    findings: Vec<String>,
}

/// The paths of a gfid.
#[derive(Serialize)]
struct Named {
    schema_version: u32,
    gfid: String,
    names: Vec<String>,
    /// What contradicts them.
    findings: Vec<String>,
}

pub(crate) fn run(args: &LocateArgs) -> Result<Exit> {
    let reference = source::reference(&args.path, args.volume.mounted_at.as_deref())?;
    if args.offset.is_none() && !matches!(reference, FileRef::Gfid(_)) {
        logging::complain("which byte? Give an OFFSET; only of a gfid it can be left out");
        return Ok(Exit::Usage);
    }
    let volume = source::volume(&args.volume)?.ok_or(WHICH_VOLUME)?;
    let names = match &reference {
        FileRef::Gfid(gfid) => Some((gfid.to_string(), volume.names_of(*gfid)?)),
        _ => None,
    };
    if let (None, Some((gfid, names))) = (args.offset, &names) {
        return tell_names(args, gfid, names);
    }
    let file = volume.open_file_with(&reference, &args.volume.file_options())?;
    let located = file.locate(args.offset.unwrap_or(0))?;
    let (names, contradicted) = names.map_or((None, Vec::new()), |(_, names)| {
        (Some(names.paths.iter().map(|path| path.display().to_string()).collect()), names.findings)
    });
    for finding in &contradicted {
        tracing::warn!("{finding}");
    }
    let answer = Answer {
        schema_version: 1,
        path: args.path.clone(),
        gfid: file.gfid().to_string(),
        size: file.size(),
        shard_size: file.shard_size(),
        located,
        names,
        findings: contradicted.iter().chain(&file.findings()).map(ToString::to_string).collect(),
    };
    match args.output {
        Format::Json => output::print_json(&answer)?,
        Format::Human => output::print(&in_words(&answer))?,
    }
    Ok(Exit::Done)
}

fn tell_names(args: &LocateArgs, gfid: &str, names: &Names) -> Result<Exit> {
    for finding in &names.findings {
        tracing::warn!("{finding}");
    }
    let paths = names.paths.iter().map(|path| path.display().to_string());
    match args.output {
        Format::Human => output::stream(|out| {
            names.paths.iter().try_for_each(|path| Ok(writeln!(out, "{}", output::one_line(path))?))
        })?,
        Format::Json => output::print_json(&Named {
            schema_version: 1,
            gfid: gfid.to_owned(),
            names: paths.collect(),
            findings: names.findings.iter().map(ToString::to_string).collect(),
        })?,
    }
    Ok(if names.paths.is_empty() { Exit::Failed } else { Exit::Done })
}

fn in_words(answer: &Answer) -> String {
    let located = &answer.located;
    // Writing to a String can't fail.
    let mut text = format!(
        "{} (gfid {}): byte {} is byte {} of shard {}\n",
        answer.path, answer.gfid, located.offset, located.offset_in_shard, located.shard
    );
    for name in answer.names.iter().flatten() {
        let _ = writeln!(text, "  named {}", output::one_line(name.as_ref()));
    }
    match &located.state {
        ShardState::Hole => text.push_str("  which is a hole\n"),
        ShardState::Present(shard) => {
            let _ = writeln!(text, "  on {}, gfid {}", shard.subvolume, shard.gfid);
            for copy in &shard.copies {
                let standing = match copy.standing {
                    Standing::Chosen => "read",
                    Standing::Good => "as good",
                    Standing::Blamed => "blamed",
                    Standing::Arbiter => "arbiter",
                    Standing::Outdated => "outdated",
                    _ => "unknown",
                };
                let fragment = copy.fragment.map(|number| format!("fragment {number}, ")).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "  {}: {} ({fragment}{standing}, {} bytes long, {} allocated)",
                    copy.brick,
                    copy.local.display(),
                    copy.len,
                    copy.allocated
                );
            }
        }
    }
    text
}
