//! Listing what is left of files whose base is gone.

use anyhow::Result;
use serde::Serialize;
use stillpoint_shard::{LeftOver, Remains, Volume};

use crate::cli::LsArgs;
use crate::exit::Exit;
use crate::output::{self, Format};

#[derive(Serialize)]
struct Listing {
    schema_version: u32,
    volume: String,
    left_over: Vec<LeftOver>,
}

/// Lists what was asked for: of deleted files, of files without a base, or both.
pub(super) fn list(volume: &Volume, args: &LsArgs) -> Result<Exit> {
    let mut left_over = volume.left_over()?;
    left_over.retain(|left| match left.remains {
        Remains::Deleted => args.deleted,
        _ => args.orphans,
    });
    match args.output {
        Format::Json => {
            let volume = volume.topology().volume.clone();
            output::print_json(&Listing { schema_version: 1, volume, left_over })?;
        }
        Format::Human => output::stream(|out| {
            for left in &left_over {
                write!(out, "gfid:{}", left.gfid)?;
                if args.long {
                    write!(out, " {}", in_words(left))?;
                }
                writeln!(out)?;
            }
            Ok(())
        })?,
    }
    Ok(Exit::Done)
}

fn in_words(left: &LeftOver) -> String {
    let why = match left.remains {
        Remains::Deleted => "deleted",
        Remains::Orphaned => "without base",
        Remains::BaseMissing => "base not here",
        _ => "left",
    };
    let known = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    format!(
        "{why}: {} bytes in {} shards, the last {}; size {}, block size {}",
        left.bytes,
        left.shards,
        left.last.map_or_else(|| "-".to_owned(), |last| last.to_string()),
        known(left.size),
        known(left.shard_size)
    )
}
