//! A run of replication with nothing to do, beside the script that Gluster ships.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use stillpoint_lab::{Lab, LabConfig, Site, SiteName};

use super::{Outcome, Setting, mount};
use crate::cost::{self, Cost};
use crate::side_by_side::{Comparison, Timing};

const INSTANCE: &str = "bench";

/// Where Debian has the script.
const SCRIPT: &str = "/usr/lib/x86_64-linux-gnu/glusterfs/scripts/schedule_georep.py";

/// The script waits for ever for a worker that is starved: this much is enough to see.
const BOUND: u64 = 180;

pub(super) fn run(setting: &Setting) -> Result<Outcome> {
    if setting.quick {
        return Ok(Outcome::Skipped("no session is set up for --quick".to_owned()));
    }
    if let Some(why) = mount::lacking() {
        return Ok(Outcome::Skipped(format!("a session to run takes {why}")));
    }
    if !Path::new(SCRIPT).exists() {
        return Ok(Outcome::Skipped(format!("{SCRIPT} is not there to run against")));
    }
    // What an earlier run left that was killed.
    Lab::down(INSTANCE)?;
    let measured = on_a_lab(setting);
    let down = Lab::down(INSTANCE);
    let measured = measured?;
    down?;
    Ok(Outcome::Measured(measured))
}

/// Once each: both wait far more than they work, and the script takes minutes.
fn on_a_lab(setting: &Setting) -> Result<Vec<Comparison>> {
    let config = LabConfig { guest: None, install_packages: false, ..LabConfig::named(INSTANCE) };
    let lab = Lab::up(&config)?;
    lab.wait_for_session_active(Duration::from_secs(120))?;
    let site = lab.site(SiteName::A);
    let state = setting.dir.path().join("state");
    let (volume, far) = (&config.primary.name, &config.secondary.name);
    let mut comparisons = Vec::new();
    for rollover in ["15", "3"] {
        site.gluster(["volume", "set", volume, "changelog.rollover-time", rollover])?;
        let mut ours = site.command(&setting.stillpoint);
        ours.args(["georep", "sync", "--session", &format!("{volume} siteB::{far}"), "--deadline", "3m"]);
        ours.arg("--mount").arg(site.mount()).arg("--state-dir").arg(&state);
        let ours = cost::of_command(&mut ours)?;

        // `timeout` ends with 124 where it had to end the script.
        let mut theirs = site.command("sh");
        theirs.args(["-c", r#"timeout -k 5 "$@" || [ $? = 124 ]"#, "sh", &BOUND.to_string()]);
        theirs.args(["/usr/bin/python3", SCRIPT, volume, "siteB", far, "--no-color"]);
        let theirs = cost::of_command(&mut theirs)?;
        let hung = theirs.wall >= Duration::from_secs(BOUND);
        stop(site, volume, far)?;
        let end = if hung { format!(", ended after {BOUND} s") } else { String::new() };
        comparisons.push(Comparison {
            what: format!(
                "replicating to a checkpoint with nothing to do, changelogs rolled every {rollover} s"
            ),
            ours: once("stillpoint georep sync", ours),
            peers: vec![once(&format!("schedule_georep.py{end}"), theirs)],
            bytes: None,
        });
    }
    Ok(comparisons)
}

/// Replication stopped, whatever the script left.
fn stop(site: &Site, volume: &str, far: &str) -> Result<()> {
    let far = format!("siteB::{far}");
    let mut command = site.command("gluster");
    command.args(["--mode=script", "volume", "geo-replication", volume, &far, "stop", "force"]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || said.contains("not running") || said.contains("not set up") {
        Ok(())
    } else {
        bail!("replication can't be stopped: {said}")
    }
}

fn once(name: &str, cost: Cost) -> Timing {
    Timing { name: name.to_owned(), best: cost, median: cost }
}
