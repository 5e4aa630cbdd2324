//! The lab that all tests share, and what they ask of it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::Value;
use stillpoint_lab::{Guest, GuestConfig, Lab, LabConfig, SiteName};

/// Names a lab that is up already.
const LAB: &str = "STILLPOINT_E2E_LAB";

/// Both sites, and where the runs' state is kept.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    /// Scratch space on the host, seen at both sites under the same path.
    pub(crate) scratch: tempfile::TempDir,
    keep: bool,
}

/// How a `stillpoint` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) report: Option<Value>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Stage {
    /// Brings the lab up with this guest.
    pub(crate) fn set(instance: &str, guest: GuestConfig) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("stillpoint-e2e-").tempdir()?;
        if let Ok(up) = std::env::var(LAB) {
            return Ok(Self { lab: Lab::attach(&up)?, scratch, keep: true });
        }
        let lab = Lab::up(&LabConfig { guest: Some(guest), ..LabConfig::named(instance) })?;
        Ok(Self { lab, scratch, keep: false })
    }

    /// Takes the lab down.
    pub(crate) fn strike(&self) -> Result<()> {
        if self.keep {
            return Ok(());
        }
        Ok(Lab::down(&self.lab.config().instance)?)
    }

    /// Copies the lab's logs to where CI prints them.
    pub(crate) fn keep_logs(&self, test: &str) {
        let root = self.lab.keep_logs(test);
        let _ = Command::new("cp").args(["-r"]).arg(self.state()).arg(root.join("stillpoint-state")).status();
    }

    pub(crate) fn guest(&self) -> Guest<'_> {
        self.lab.guest().expect("the lab is made with a guest")
    }

    /// The state directory of all runs.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// `--volume` of a site: glusterd's directory of its volume.
    pub(crate) fn volume_spec(&self, site: SiteName) -> PathBuf {
        self.lab.site(site).glusterd_dir().join("vols").join(&self.lab.config().volume(site).name)
    }

    /// The program under test, at site A.
    pub(crate) fn stillpoint(&self) -> Command {
        let mut command = self.lab.site(SiteName::A).command(env!("CARGO_BIN_EXE_stillpoint"));
        command.stdin(Stdio::null()).env_remove("STILLPOINT_LOG");
        command
    }

    /// `stillpoint run` for the lab's guest.
    pub(crate) fn run_command(&self) -> Command {
        self.run_command_within("4m")
    }

    /// The same with a `--deadline`.
    pub(crate) fn run_command_within(&self, deadline: &str) -> Command {
        let config = self.lab.config();
        let session = format!("{} siteB::{}", config.primary.name, config.secondary.name);
        let mut command = self.stillpoint();
        command
            .args(["run", "--output", "json", "--domain", self.guest().name(), "--session", &session])
            .arg("--mount")
            .arg(self.lab.site(SiteName::A).mount())
            .arg("--primary")
            .arg(self.volume_spec(SiteName::A))
            .arg("--secondary")
            .arg(self.volume_spec(SiteName::B))
            .arg("--state-dir")
            .arg(self.state())
            .args(["--deadline", deadline, "--commit-deadline", "4m"]);
        command
    }

    /// `stillpoint recover`.
    pub(crate) fn recover(&self) -> Result<Ended> {
        let mut command = self.stillpoint();
        command
            .args(["recover", "--output", "json", "--commit-deadline", "4m", "--state-dir"])
            .arg(self.state());
        finish(&mut command)
    }

    /// One healthy run that must be proven.
    pub(crate) fn proven_run(&self) -> Result<Value> {
        finish(&mut self.run_command())?.proven()
    }

    /// Where the newest run keeps what it knows.
    pub(crate) fn newest_run_dir(&self) -> Result<PathBuf> {
        let state = stillpoint_backup::StateDir::open(&self.state())?;
        let newest = state.runs()?.into_iter().max().context("there is no run")?;
        Ok(state.run_dir(&newest))
    }

    /// The journal of the newest run.
    pub(crate) fn newest_journal(&self) -> Result<Vec<stillpoint_backup::journal::Record>> {
        Ok(stillpoint_backup::journal::read(&self.newest_run_dir()?.join("journal"))?.records)
    }

    /// No disk of the guest is an overlay in the live or the inactive XML, no job is left, no overlay's file lies
    /// beside the disks.
    pub(crate) fn ensure_no_overlay(&self) -> Result<()> {
        let guest = self.guest();
        for which in [&["dumpxml", guest.name()][..], &["dumpxml", "--inactive", guest.name()]] {
            let xml = guest.virsh(which)?;
            for disk in guest.disks() {
                ensure!(
                    xml.contains(&format!("'{}'", disk.display())),
                    "{which:?} has no {}:\n{xml}",
                    disk.display()
                );
            }
            ensure!(!xml.contains("<mirror"), "{which:?} shows a job:\n{xml}");
            ensure!(!xml.contains(".stillpoint-"), "{which:?} shows an overlay:\n{xml}");
        }
        let directory = self.lab.site(SiteName::A).mount().join("vm");
        let files = self.lab.site(SiteName::A).sh(&format!("ls {}", directory.display()))?;
        ensure!(!files.contains(".stillpoint-"), "an overlay's file is left:\n{files}");
        Ok(())
    }

    /// Every row of the session says Stopped.
    pub(crate) fn ensure_stopped(&self) -> Result<()> {
        let config = self.lab.config();
        let secondary = format!("siteB::{}", config.secondary.name);
        let status = self.lab.site(SiteName::A).gluster([
            "volume",
            "geo-replication",
            &config.primary.name,
            &secondary,
            "status",
        ])?;
        for running in ["Active", "Passive", "Initializing", "Faulty"] {
            ensure!(!status.contains(running), "replication is not stopped:\n{status}");
        }
        Ok(())
    }

    /// The guest runs and writes.
    pub(crate) fn ensure_guest_writes(&self) -> Result<()> {
        self.ensure_guest_writes_within(Duration::from_secs(20))
    }

    /// The guest runs and writes within a time.
    pub(crate) fn ensure_guest_writes_within(&self, limit: Duration) -> Result<()> {
        let guest = self.guest();
        let before = guest.counter()?.unwrap_or(0);
        guest.wait_counter_above(before, limit)?;
        ensure!(guest.state()? == "running", "the guest is {}", guest.state()?);
        Ok(())
    }

    /// The guest, started anew, finds every file of its own as it wrote it.
    pub(crate) fn ensure_guests_checksums(&self) -> Result<()> {
        let checks = self.guest().restart_and_verify(Duration::from_secs(120))?;
        ensure!(!checks.is_empty() && checks.iter().all(|check| check.ok), "{checks:?}");
        Ok(())
    }

    /// A run that stops itself after a journalled step; `meanwhile` is called before it goes on.
    pub(crate) fn run_paused_after(
        &self,
        step: &str,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<Ended> {
        paused(self.run_command(), step, meanwhile, || Ok(()))
    }
}

/// Runs a command that stops itself after a journalled step; calls `meanwhile` while it is stopped, lets it go on,
/// calls `then`, and waits for its end.
pub(crate) fn paused(
    mut command: Command,
    step: &str,
    meanwhile: impl FnOnce() -> Result<()>,
    then: impl FnOnce() -> Result<()>,
) -> Result<Ended> {
    let began = Instant::now();
    command.env("STILLPOINT_PAUSE_AFTER_STEP", step).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let paused = loop {
        if process_state(child.id())? == 'T' {
            break Ok(());
        }
        if child.try_wait()?.is_some() {
            break Err(anyhow!("the run ended before {step}"));
        }
        if began.elapsed() > Duration::from_secs(240) {
            child.kill()?;
            break Err(anyhow!("the run did not come to {step} within 240 s"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let done = paused.and_then(|()| meanwhile());
    let _ = Command::new("kill").args(["-CONT", &child.id().to_string()]).status();
    let done = done.and_then(|()| then());
    let ended = Ended::from(child.wait_with_output()?, began.elapsed());
    done.with_context(|| format!("the run: {ended:?}"))?;
    Ok(ended)
}

/// The letter of `/proc/PID/stat` for a process's state.
fn process_state(pid: u32) -> Result<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after) = stat.rsplit_once(')').context("no ) in stat")?;
    after.trim_start().chars().next().context("stat is cut short")
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Result<Ended> {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    Ok(Ended::from(output, began.elapsed()))
}

impl Ended {
    pub(crate) fn from(output: Output, took: Duration) -> Self {
        Self {
            code: output.status.code(),
            report: serde_json::from_slice(&output.stdout).ok(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took,
        }
    }

    /// The report of a run that must have ended with this code.
    pub(crate) fn expect(self, code: i32) -> Result<Value> {
        ensure!(self.code == Some(code), "exit code {code} was expected: {self:#?}");
        let took = self.took;
        self.report.with_context(|| format!("no JSON on stdout after {took:?}; stderr:\n{}", self.stderr))
    }

    /// The report of a run that must be proven.
    pub(crate) fn proven(self) -> Result<Value> {
        let report = self.expect(0)?;
        ensure!(report["outcome"] == "proven" && report["proof"]["holds"] == true, "not proven: {report:#}");
        ensure!(report["proof"]["differences"] == Value::Array(Vec::new()), "differences: {report:#}");
        ensure!(report["proof"]["compared"]["shards"].as_u64() > Some(1), "nothing was compared: {report:#}");
        Ok(report)
    }

    /// The shards that a failed run names, as `(index, kind)`.
    pub(crate) fn differing_shards(self) -> Result<Vec<(u64, String)>> {
        let report = self.expect(1)?;
        ensure!(
            report["outcome"] == "failed" && report["proof"]["holds"] == false,
            "it did not fail by proof: {report:#}"
        );
        shards_of(&report["proof"])
    }
}

/// The shards that a proof names, as `(index, kind)`.
pub(crate) fn shards_of(proof: &Value) -> Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    for file in proof["differences"].as_array().context("no differences")? {
        for shard in file["shards"].as_array().context("no shards")? {
            let index = shard["index"].as_u64().context("no index")?;
            let kind = shard["kind"].as_str().context("no kind")?;
            if shard["name"].as_str().is_none_or(str::is_empty) {
                bail!("a shard without a name: {shard}");
            }
            found.push((index, kind.to_owned()));
        }
    }
    Ok(found)
}
