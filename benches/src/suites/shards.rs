//! Reading, digesting and exporting a sharded file.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stillpoint_backup::manifest::{ManifestOptions, file_manifest};
use stillpoint_shard::export::{ExportOptions, copy_file};
use stillpoint_storage::Storage;

use super::volume::{Sharded, build};
use super::{Outcome, Setting};
use crate::cost::{self, Cost};
use crate::side_by_side::{Comparison, Way};

pub(super) const BUFFER: usize = 1 << 20;

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    let sharded = build(setting)?;
    let Sharded { file, shards, bytes } = &sharded;
    let mib = bytes >> 20;

    let read = Comparison::run(
        format!("reading a file of {mib} MiB in {} shards of 4 MiB, one thread", shards.len()),
        Some(*bytes),
        setting.rounds,
        Way::new("stillpoint-shard: ShardedFile::read_exact_at", || read(file)),
        vec![Way::new("cat of the same shards in order, a process", || {
            cost::of_command(Command::new("cat").args(shards))
        })],
    )?;

    let options = ManifestOptions { threads: NonZeroUsize::new(1) };
    let digest = Comparison::run(
        format!("BLAKE3 manifest of that file, {mib} MiB, one thread"),
        Some(*bytes),
        setting.rounds,
        Way::new("stillpoint-backup: file_manifest", || {
            cost::of_work(|| {
                let digested = file_manifest(file, "disk.raw", &options, &|_| Ok(()))?;
                ensure!(digested.manifest.bytes_read == *bytes, "not all was read");
                Ok(())
            })
        }),
        vec![Way::new("a plain loop: read each shard, update one hasher", || plain_digest(shards))],
    )?;
    let (ours, theirs) = (setting.dir.path().join("export.ours"), setting.dir.path().join("export.theirs"));
    let options = ExportOptions::default();
    let export = Comparison::run(
        format!("exporting that file, {mib} MiB, on the bricks' own file system, to disk"),
        Some(*bytes),
        setting.rounds.min(3),
        Way::new("stillpoint-shard: export::copy_file", || {
            // As the shell does with its own: the room of the last round's file is there to be used again.
            if ours.exists() {
                std::fs::remove_file(&ours)?;
            }
            cost::of_work(|| {
                let done = copy_file(file, &ours, &options, &mut |_| ControlFlow::Continue(()))?;
                ensure!(done.copied == *bytes, "not all was copied");
                Ok(())
            })
        }),
        vec![Way::new("cat of the same shards to a file, and sync of it", || {
            let mut cat = Command::new("sh");
            cat.args(["-c", r#"out=$0; cat "$@" > "$out" && sync "$out""#]).arg(&theirs).args(shards);
            cost::of_command(&mut cat)
        })],
    )?;
    let same = std::fs::read(&ours)? == std::fs::read(&theirs)?;
    for file in [ours, theirs] {
        std::fs::remove_file(file)?;
    }
    ensure!(same, "the exports differ");
    Ok(Outcome::Measured(vec![read, digest, export]))
}

/// Reads all of it in pieces of [`BUFFER`], one after the other.
pub(super) fn read(file: &impl Storage) -> Result<Cost> {
    let mut buf = vec![0; BUFFER];
    cost::of_work(|| {
        let mut at = 0;
        while at < file.len() {
            let rest = usize::try_from(file.len() - at).unwrap_or(BUFFER).min(BUFFER);
            file.read_exact_at(at, &mut buf[..rest])?;
            at += rest as u64;
        }
        std::hint::black_box(&buf);
        Ok(())
    })
}

fn plain_digest(shards: &[PathBuf]) -> Result<Cost> {
    let mut buf = vec![0; BUFFER];
    cost::of_work(|| {
        for path in shards {
            let mut hasher = blake3::Hasher::new();
            let mut shard = File::open(path).with_context(|| format!("can't open {}", path.display()))?;
            loop {
                match shard.read(&mut buf)? {
                    0 => break,
                    n => hasher.update(&buf[..n]),
                };
            }
            std::hint::black_box(hasher.finalize());
        }
        Ok(())
    })
}
