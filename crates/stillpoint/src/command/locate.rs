//! `stillpoint locate`.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use stillpoint_shard::{Located, ShardState, Standing};

use crate::cli::LocateArgs;
use crate::command::source;
use crate::exit::Exit;
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
    #[serde(flatten)]
    located: Located,
}

pub(crate) fn run(args: &LocateArgs) -> Result<Exit> {
    let file = source::file(&args.volume, &args.path)?;
    let answer = Answer {
        schema_version: 1,
        path: args.path.clone(),
        gfid: file.gfid().to_string(),
        size: file.size(),
        shard_size: file.shard_size(),
        located: file.locate(args.offset)?,
    };
    match args.output {
        Format::Json => output::print_json(&answer)?,
        Format::Human => output::print(&in_words(&answer))?,
    }
    Ok(Exit::Done)
}

fn in_words(answer: &Answer) -> String {
    let located = &answer.located;
    // Writing to a String can't fail.
    let mut text = format!(
        "{} (gfid {}): byte {} is byte {} of shard {}\n",
        answer.path, answer.gfid, located.offset, located.offset_in_shard, located.shard
    );
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
