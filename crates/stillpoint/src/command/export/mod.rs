//! `stillpoint export`.

mod job;
mod report;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use stillpoint_backup::manifest::{DiskManifest, Layer, Manifest, SCHEMA_VERSION};
use stillpoint_shard::{Entry, EntryKind, FileOptions, FileRef, OpenOptions, Volume};

use crate::cli::{ExportArgs, Global};
use crate::command::source;
use crate::exit::{Exit, WHICH_VOLUME, WrongUsage};
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::{logging, signals};
use job::{Job, Made};
use report::Exported;

/// Most files that are copied at a time unasked.
const JOBS: usize = 4;

pub(crate) fn run(args: &ExportArgs, global: &Global) -> Result<Exit> {
    let options = OpenOptions { compare: args.compare, ..args.volume.options() };
    let volume = source::volume_with(&args.volume, options)?.ok_or(WHICH_VOLUME)?;
    let Plan { jobs, problems, failed: hopeless } = plan(args, &volume)?;
    for problem in &problems {
        logging::complain(problem);
    }
    let cancel = signals::cancel_on_signals(signals::READ)?;
    let shown = Shown::new(global, &jobs, args.manifest.is_some());
    let made =
        in_parallel(args.jobs, &jobs, |job| job.run(&volume, args, &cancel, &|bytes| shown.add(bytes)));
    drop(shown);
    let mut outcomes = Vec::with_capacity(jobs.len() + hopeless.len());
    let mut layers = Vec::with_capacity(jobs.len());
    let mut failed = hopeless.len();
    for (job, error) in hopeless {
        let error = error.context(format!("{} wasn't exported", job.path));
        logging::complain(&format!("{error:#}"));
        layers.push(missing(&job.path, &error));
        outcomes.push(Exported::failed(&job, &error));
    }
    for (job, made) in jobs.iter().zip(made) {
        match made {
            Ok(Made { layer, exported }) => {
                layers.extend(layer);
                exported.complain();
                outcomes.push(exported);
            }
            Err(error) => {
                failed += 1;
                let error = error.context(format!("{} wasn't exported", job.path));
                if args.into.is_none() {
                    return Err(error);
                }
                logging::complain(&format!("{error:#}"));
                layers.push(missing(&job.path, &error));
                outcomes.push(Exported::failed(job, &error));
            }
        }
    }
    if let Some(file) = &args.manifest {
        write_manifest(file, layers)?;
    }
    tell(args, &outcomes, &problems)?;
    let in_part = !problems.is_empty() || outcomes.iter().any(|exported| exported.bytes_missing > 0);
    Ok(match failed {
        0 if in_part => Exit::Partial,
        0 => Exit::Done,
        all if all == outcomes.len() => Exit::Failed,
        _ => Exit::Partial,
    })
}

/// What is to be copied where.
struct Plan {
    jobs: Vec<Job>,
    /// What may hold files, and isn't known.
    problems: Vec<String>,
    /// Paths of which nothing can be copied, and why.
    failed: Vec<(Job, anyhow::Error)>,
}

fn plan(args: &ExportArgs, volume: &Volume) -> Result<Plan> {
    let mut plan = Plan { jobs: Vec::new(), problems: Vec::new(), failed: Vec::new() };
    let reference = |path: &str| source::reference(path, args.volume.mounted_at.as_deref());
    let Some(into) = &args.into else {
        let [path, out] = &args.names[..] else {
            bail!(WrongUsage("give PATH and OUT, or --into DIR and any number of PATHs"));
        };
        let options = args.volume.file_options();
        plan.jobs.push(Job::of_named(path.clone(), reference(path)?, out.into(), volume, options)?);
        return Ok(plan);
    };
    if args.volume.file_options() != FileOptions::default() {
        bail!(WrongUsage("--file-size and --block-size are of one file; without --into, give PATH and OUT"));
    }
    let mut outs = HashSet::new();
    for path in &args.names {
        let named = reference(path)?;
        let at = into.join(below(&named));
        // What is wrong with one is no reason to leave the others.
        let found = match files(volume, path, named.clone(), &mut plan.problems) {
            Ok(found) => found,
            Err(error) => {
                plan.failed.push((Job::hopeless(path.clone(), named, at), error));
                continue;
            }
        };
        for (path, reference) in found {
            let out = into.join(below(&reference));
            if !outs.insert(out.clone()) {
                continue;
            }
            match Job::new(path.clone(), reference.clone(), out.clone(), volume) {
                Ok(job) => plan.jobs.push(job),
                Err(error) => plan.failed.push((Job::hopeless(path, reference, out), error)),
            }
        }
    }
    Ok(plan)
}

/// The file of that name, or all below the directory of that name.
fn files(
    volume: &Volume,
    path: &str,
    reference: FileRef,
    problems: &mut Vec<String>,
) -> Result<Vec<(String, FileRef)>> {
    let start = volume.entry(&reference)?;
    if start.kind != EntryKind::Directory {
        return Ok(vec![(path.to_owned(), reference)]);
    }
    let mut files = Vec::new();
    for entry in volume.walk(&start.path)? {
        match entry {
            Ok(Entry { path, kind: EntryKind::File { .. }, .. }) => {
                files.push((path.display().to_string(), FileRef::Path(path)));
            }
            Ok(Entry { kind: EntryKind::Directory, .. }) => {}
            Ok(other) => tracing::warn!("{} is no regular file, and is left out", other.path.display()),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Ok(files)
}

/// Where a file goes below the directory for all: under its path in the volume.
fn below(reference: &FileRef) -> PathBuf {
    let name = match reference {
        FileRef::Path(path) => path.clone(),
        other => PathBuf::from(other.to_string().replace(':', "-")),
    };
    name.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// Does all jobs, some at a time; the results are in the order of the jobs.
fn in_parallel<T: Send>(
    wanted: Option<NonZeroUsize>,
    jobs: &[Job],
    work: impl Fn(&Job) -> Result<T> + Sync,
) -> Vec<Result<T>> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(JOBS);
    let threads = wanted.map_or(processors, NonZeroUsize::get).min(jobs.len());
    let waiting = Mutex::new(jobs.iter().enumerate());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut results: Vec<(usize, Result<T>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            while let Some((number, job)) = next() {
                done.push((number, work(job)));
            }
            done
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// How far all files together are.
struct Shown {
    state: Mutex<(Progress, u64)>,
    what: &'static str,
    total: u64,
}

impl Shown {
    fn new(global: &Global, jobs: &[Job], digested: bool) -> Self {
        let sum = jobs.iter().map(|job| job.size).fold(0, u64::saturating_add);
        // Digested once at the source, and once as it was written.
        let (what, times) = if digested { ("exporting and comparing", 3) } else { ("exporting", 1) };
        Self { state: Mutex::new((Progress::new(global), 0)), what, total: sum.saturating_mul(times) }
    }

    fn add(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, done) = &mut *state;
        *done += bytes;
        progress.bytes(self.what, *done, self.total);
    }
}

fn missing(path: &str, error: &anyhow::Error) -> Layer {
    Layer::Missing { path: path.to_owned(), reason: format!("{error:#}") }
}

fn write_manifest(file: &Path, layers: Vec<Layer>) -> Result<()> {
    let disks = layers
        .into_iter()
        .map(|layer| DiskManifest { domain: None, target: None, layers: vec![layer] })
        .collect();
    let manifest = Manifest { schema_version: SCHEMA_VERSION, disks };
    let mut text = serde_json::to_vec_pretty(&manifest)?;
    text.push(b'\n');
    let fresh = stillpoint_storage::FreshFile::create(file, true)?;
    std::io::Write::write_all(&mut fresh.file(), &text)
        .with_context(|| format!("can't write {}", file.display()))?;
    Ok(fresh.finish()?)
}

fn tell(args: &ExportArgs, outcomes: &[Exported], problems: &[String]) -> Result<()> {
    match (args.output, args.into.is_some(), outcomes) {
        (Format::Json, false, [only]) => output::print_json(only)?,
        (Format::Json, ..) => {
            let all = serde_json::json!({ "schema_version": 1, "files": outcomes, "problems": problems });
            output::print_json(&all)?;
        }
        (Format::Human, ..) => {
            let lines: String = outcomes.iter().map(Exported::in_words).collect();
            output::print(&lines)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_below_the_directory_whatever_they_are_called() {
        let at = |path: &str| below(&FileRef::Path(PathBuf::from(path)));
        assert_eq!(at("vm1/disk.qcow2"), Path::new("vm1/disk.qcow2"));
        assert_eq!(at("/vm1/../../etc/passwd"), Path::new("vm1/etc/passwd"));
        let gfid = "gfid:00000000-0000-0000-0000-000000000001".parse().unwrap();
        assert_eq!(below(&gfid), Path::new("gfid-00000000-0000-0000-0000-000000000001"));
    }
}
