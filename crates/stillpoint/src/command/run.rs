//! `stillpoint run`.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use stillpoint_backup::{
    DomainReport, Error, Event, Outcome, Parts, RunConfig, RunReport, Stage, manifest, proof,
};
use stillpoint_georep as georep;
use stillpoint_virt as virt;

use crate::cli::{AfterRun, Global, Quiesce, RunArgs, UndoArgs};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::{logging, signals};

pub(crate) fn run(args: &RunArgs, global: &Global) -> Result<Exit> {
    let config = config(args)?;
    let connect = &args.connect;
    let hypervisor = virt::connect(connect.backend, &connect.connect)
        .with_context(|| format!("can't connect to {}", connect.connect))?;
    let session = georep::Session::new(Arc::new(georep::LocalRunner::new()), args.session.clone());
    let guard = guard(&connect.connect, connect.backend);
    let cancel = signals::cancel_on_signals(signals::RUN).context("can't catch signals")?;
    let shown = Shown::new(global);
    let offline = virt::QemuImg::new();
    let parts = Parts { hypervisor: &*hypervisor, session: &session, guard: &guard, offline: &offline };
    let report = stillpoint_backup::run(&config, &parts, &cancel, &|event| shown.show(&event));
    drop(shown);
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let exit = match &error {
                Error::Locked { .. } => Exit::Locked,
                Error::Unrecovered { .. } => Exit::NeedsRecovery,
                _ => Exit::Failed,
            };
            logging::failed(&error.into());
            return Ok(exit);
        }
    };
    match args.output {
        Format::Json => output::print_json(&report)?,
        Format::Human => output::print(&in_words(&report))?,
    }
    for failure in &report.failures {
        logging::complain(&failure.to_string());
    }
    Ok(match report.outcome {
        Outcome::Proven => Exit::Done,
        Outcome::Partial => Exit::Partial,
        Outcome::NeedsRecovery => Exit::NeedsRecovery,
        Outcome::NeedsOperator => Exit::NeedsOperator,
        _ => Exit::Failed,
    })
}

fn config(args: &RunArgs) -> Result<RunConfig> {
    let sync = {
        let mut sync = georep::SyncOptions::new(&args.mount, args.deadline)
            .with_log_dir(&args.replication.gluster_logs, &args.session);
        sync.rollover = args.replication.drive.rollover;
        sync.max_restarts = args.replication.drive.max_restarts;
        sync
    };
    let take = virt::TakeOptions {
        quiesce: match args.point.quiesce {
            Quiesce::Require => virt::Quiesce::Require,
            Quiesce::Prefer => virt::Quiesce::Prefer,
            Quiesce::Never => virt::Quiesce::Never,
        },
        agent_timeout: args.point.agent_timeout,
        freeze_deadline: args.point.freeze_deadline,
    };
    let override_checks = super::georep::checks("--override-check", &args.replication.override_check)?;
    Ok(RunConfig {
        domains: args.domain.clone(),
        all_domains: args.all,
        disks: args.point.disk.clone(),
        mount: args.mount.clone(),
        primary: args.sites.primary(Some(args.session.primary_volume())),
        secondary: args.sites.secondary(Some(args.session.secondary_volume())),
        state_dir: args.state.state_dir.clone(),
        overlay_dir: args.point.overlay_dir.clone(),
        trust_apparmor: args.point.trust_apparmor,
        take,
        sync,
        undo: undo(&args.undo),
        override_checks,
        deadline: args.deadline,
        after_run: match args.replication.drive.after_run {
            AfterRun::Stopped => stillpoint_backup::AfterRun::Stopped,
            AfterRun::AsFound => stillpoint_backup::AfterRun::AsFound,
        },
        threads: args.threads,
    })
}

/// How overlays are committed.
pub(crate) fn undo(args: &UndoArgs) -> virt::UndoOptions {
    virt::UndoOptions {
        suspend_for_pivot: !args.no_suspend,
        deadline: args.commit_deadline,
        bandwidth: args.bandwidth,
        ..virt::UndoOptions::default()
    }
}

/// Guards that are this program's own `guard`.
pub(crate) fn guard(uri: &str, backend: virt::BackendChoice) -> virt::CommandGuard {
    let uri = uri.to_owned();
    let backend = match backend {
        virt::BackendChoice::Auto => "auto",
        virt::BackendChoice::Virsh => "virsh",
        virt::BackendChoice::Libvirt => "libvirt",
    };
    virt::CommandGuard::new(move |domain, tag, release, deadline| {
        // The link leads to this program even if its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["guard", "--connect", &uri, "--backend", backend])
            .args(["--uuid", &domain.uuid.to_string(), "--tag", tag.as_str()])
            .args([
                "--release",
                &release.to_string(),
                "--deadline",
                &format!("{}ms", deadline.as_millis().max(1)),
            ]);
        command
    })
}

/// What is shown while a run or a recovery goes on.
pub(crate) struct Shown(Mutex<Progress>);

impl Shown {
    pub(crate) fn new(global: &Global) -> Self {
        Self(Mutex::new(Progress::new(global)))
    }

    pub(crate) fn show(&self, event: &Event<'_>) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Stage(stage) => progress.line(stage.to_string()),
            Event::Replication(sync) => {
                if let Some(line) = replication(sync) {
                    progress.line(line);
                }
            }
            Event::Digest { site: stillpoint_backup::SiteName::Secondary, done, total } => {
                progress.bytes("digesting the secondary", *done, *total);
            }
            Event::Commit(commit) if commit.end > 0 => {
                let what = format!("committing {} of {}", commit.target, commit.domain.name);
                progress.bytes(&what, commit.current, commit.end);
            }
            _ => {}
        }
    }
}

/// What a run of replication is at, in a line.
pub(super) fn replication(progress: &georep::SyncProgress) -> Option<String> {
    Some(match progress {
        georep::SyncProgress::Stopping(_) => "stopping replication".to_owned(),
        georep::SyncProgress::CheckpointSet(at) => format!("checkpoint set at {at}"),
        georep::SyncProgress::WaitingForRollover(time) => {
            format!("waiting {:.0} s for changelogs to roll over", time.as_secs_f64())
        }
        georep::SyncProgress::Started => "replication started".to_owned(),
        georep::SyncProgress::Polled { missing, sent, .. } => match missing.first() {
            None => "checkpoint reached".to_owned(),
            Some(first) => {
                let sent =
                    sent.map(|s| format!("{} files, {} sent; ", s.files, indicatif::HumanBytes(s.bytes)));
                format!("waiting for the checkpoint: {}{first}", sent.unwrap_or_default())
            }
        },
        georep::SyncProgress::Restarting { attempt, reason } => format!("restart {attempt}: {reason}"),
        georep::SyncProgress::Unreachable { since, .. } => {
            format!("the far side hasn't been reached for {:.0} s", since.as_secs_f64())
        }
        georep::SyncProgress::Judged { .. } => "stopping replication".to_owned(),
        _ => return None,
    })
}

/// The report for people.
pub(crate) fn in_words(report: &RunReport) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let mut line = |what: String| {
        let _ = writeln!(text, "{what}");
    };
    line(format!("run {}: {}", report.run, report.outcome));
    for recovery in &report.recovered {
        line(format!("  first: {recovery}"));
    }
    for domain in &report.domains {
        line(format!("  {}", domain_in_words(domain)));
        for disk in &domain.disks {
            line(format!("    {}: {}", disk.target, disk.layers.join(" <- ")));
        }
    }
    if let Some(verdict) = &report.verdict {
        line(format!(
            "  replication: checkpoint {} {}{}",
            verdict.checkpoint,
            if verdict.gluster_says_complete { "reached, says Gluster" } else { "not reached" },
            if verdict.restarts > 0 {
                format!(", after {} restarts", verdict.restarts)
            } else {
                String::new()
            },
        ));
    }
    if let Some(proof) = &report.proof {
        for said in proof_in_words(proof).lines() {
            line(format!("  {said}"));
        }
    }
    for undone in &report.commits {
        for disk in &undone.disks {
            line(format!(
                "  committed {} of {}: {} in {}, pivot {}{}",
                disk.target,
                undone.domain.name,
                indicatif::HumanBytes(disk.overlay_bytes),
                took(disk.commit),
                took(disk.pivot),
                disk.suspended.map(|time| format!(", guest paused {}", took(time))).unwrap_or_default(),
            ));
        }
    }
    let touched = report.durations.iter().any(|part| part.stage == Stage::StopReplication);
    line(match report.replication_left_running {
        Some(true) => "  replication was left running".to_owned(),
        Some(false) => "  replication was left stopped".to_owned(),
        None if touched => "  replication was left in a state that isn't known".to_owned(),
        None => "  replication was not touched".to_owned(),
    });
    for warning in &report.warnings {
        line(format!("  warning: {warning}"));
    }
    let durations = report.durations.iter().map(|part| format!("{} {}", part.stage, took(part.took)));
    line(format!("  took: {}", durations.collect::<Vec<_>>().join(", ")));
    text
}

fn domain_in_words(domain: &DomainReport) -> String {
    let name = &domain.domain.name;
    match &domain.point {
        None => format!("domain {name}: no still point"),
        Some(point) => {
            let consistency = match &point.consistency {
                virt::Consistency::FileSystem { frozen } => {
                    format!("{frozen} file systems frozen for {}", took(point.frozen))
                }
                virt::Consistency::Crash { why } => format!("crash-consistent ({why})"),
                _ => String::new(),
            };
            let undone = if domain.undone { "overlays committed" } else { "OVERLAYS LEFT" };
            format!("domain {name}: still point in {}, {consistency}; {undone}", took(point.snapshot))
        }
    }
}

/// A proof for people.
pub(crate) fn proof_in_words(proof: &proof::Proof) -> String {
    let mut text = String::new();
    let compared = &proof.compared;
    let _ = writeln!(
        text,
        "proof: {}; compared {} shards ({} of them empty) of {} files, {} read at the primary, {} at the secondary",
        if proof.holds { "HOLDS" } else { "FAILS" },
        compared.shards,
        compared.empty_shards,
        compared.files,
        indicatif::HumanBytes(compared.primary_bytes_read),
        indicatif::HumanBytes(compared.secondary_bytes_read),
    );
    let _ = writeln!(text, "  primary   {}\n  secondary {}", short(&proof.primary), short(&proof.secondary));
    for choice in &proof.choices {
        let _ = writeln!(text, "  chosen, {choice}");
    }
    for difference in &proof.differences {
        for what in &difference.file {
            let _ = writeln!(text, "  {}: {what}", difference.path);
        }
        for shard in &difference.shards {
            let _ = writeln!(text, "  {}: {shard}", difference.path);
        }
        let more = difference.differing_shards - difference.shards.len() as u64;
        if more > 0 {
            let _ = writeln!(text, "  {}: and {more} shards more", difference.path);
        }
    }
    text
}

fn short(digest: &manifest::Digest) -> String {
    digest.to_string().chars().take(16).collect()
}

fn took(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.0} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
