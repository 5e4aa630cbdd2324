//! Geo-replication by itself.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use stillpoint_georep::Check;

use super::run::{ConnectArgs, DriveArgs, StateArgs, duration};
use crate::output::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillpoint georep status --session 'gv1 siteB::gv2'
  stillpoint georep doctor --session 'gv1 siteB::gv2' --fix
  stillpoint georep sync --session 'gv1 siteB::gv2' --mount /mnt/gv1
  stillpoint georep resync --session 'gv1 siteB::gv2' --mount /mnt/gv1 --domain vm1 vms/vm1.qcow2")]
pub(crate) struct GeorepArgs {
    #[command(subcommand)]
    pub(crate) verb: GeorepVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GeorepVerb {
    /// Tell what each brick's worker does, and how far it is
    Status(GeorepStatusArgs),
    /// Look for what would keep a checkpoint from being reached, or make it a lie
    Doctor(GeorepDoctorArgs),
    /// Replicate up to now, judge by evidence what came of it, and stop replication again
    Sync(GeorepSyncArgs),
    /// Have files, or shards of them, sent again that an earlier run left out
    Resync(GeorepResyncArgs),
}

/// Which session, and how its primary is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct SessionArgs {
    /// The session of replication
    #[arg(long, value_name = "'VOL HOST::VOL'", env = "STILLPOINT_SESSION")]
    pub(crate) session: stillpoint_georep::SessionName,

    /// What to put before each 'gluster' command, such as 'ssh root@siteA'; it is run here by default
    #[arg(long, value_name = "COMMAND", env = "STILLPOINT_VIA", value_parser = words)]
    pub(crate) via: Option<String>,

    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,
}

/// Where the logs of the primary's nodes are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogArgs {
    /// Where this node's Gluster has its logs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/log/glusterfs",
        env = "STILLPOINT_GLUSTER_LOGS",
        conflicts_with = "log"
    )]
    pub(crate) gluster_logs: PathBuf,

    /// The session's gsyncd.log as it is seen here, instead; repeat for each node of the primary
    #[arg(long, value_name = "FILE", env = "STILLPOINT_GSYNCD_LOG", value_delimiter = ',')]
    pub(crate) log: Vec<PathBuf>,

    /// Another node of the primary, by what to put before a command there, such as 'ssh root@siteA2'; repeatable
    #[arg(long, value_name = "COMMAND", env = "STILLPOINT_LOG_VIA", value_delimiter = ',', value_parser = words)]
    pub(crate) log_via: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A row for each brick of the primary volume, those whose node does not answer included. Times are UTC.

Exit codes: 0 the session was asked; 1 it could not be.

Examples:
  stillpoint georep status --session 'gv1 siteB::gv2'
  stillpoint georep status --session 'gv1 siteB::gv2' --via 'ssh root@siteA' --output json")]
pub(crate) struct GeorepStatusArgs {
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each finding says what was seen, what it leads to, and how to set it right: what a run would refuse, what it would warn
of, and notes. Nothing is changed without --fix. What could not be looked at is told, too; the secondary's host is
asked about its rsync, its clock and what waits to be healed there where --secondary-via says how.

--fix sets options of the session, which restarts workers that run. Options of the primary volume, which concern
everybody who uses it, are set only with --fix-volume as well; nothing else is ever touched. --only says for which
checks. What was set is looked at again.

Exit codes: 0 nothing worse than notes; 1 the session could not be looked at, or an option not be set; 3 warnings;
6 something that a run would refuse.

Examples:
  stillpoint georep doctor --session 'gv1 siteB::gv2' --mount /mnt/gv1
  stillpoint georep doctor --session 'gv1 siteB::gv2' --secondary-via 'ssh root@siteB'
  stillpoint georep doctor --session 'gv1 siteB::gv2' --fix --only secondary-access-mount --only modify-window")]
pub(crate) struct GeorepDoctorArgs {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Where the primary's volume is mounted here
    #[arg(long, value_name = "DIR", env = "STILLPOINT_MOUNT")]
    pub(crate) mount: Option<PathBuf>,

    /// What to put before a command to run it at the secondary's host, such as 'ssh root@siteB'
    #[arg(long, value_name = "COMMAND", env = "STILLPOINT_SECONDARY_VIA", value_parser = words)]
    pub(crate) secondary_via: Option<String>,

    #[command(flatten)]
    pub(crate) logs: LogArgs,

    /// Set options of the session right
    #[arg(long)]
    pub(crate) fix: bool,

    /// Set options of the primary volume right, too
    #[arg(long, requires = "fix")]
    pub(crate) fix_volume: bool,

    /// Set right only what this check finds; repeatable
    #[arg(long, value_name = "CHECK", requires = "fix", value_delimiter = ',', value_parser = check)]
    pub(crate) only: Vec<Check>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Stops replication, sets a checkpoint, touches the volume's root, waits until changelogs are rolled, and only then starts:
so that no worker depends on being told of changes, which some never are. The checkpoint counts as reached when a worker
of every replica set says so of this very checkpoint; it is believed when, besides, no failure was counted and the logs
tell of nothing that was given up or left out. Replication is stopped again on every way out.

What it can't know is whether the contents are the same: 'stillpoint verify' compares them.

Interrupt once (Ctrl-C) to stop replication and end. Twice: nothing is waited for, and replication may go on.

Exit codes: 0 reached and believed; 1 not reached, replication is stopped; 3 reached and not to be believed; 5 another
run has the session; 6 replication could not be stopped, or a check refuses.

Examples:
  stillpoint georep sync --session 'gv1 siteB::gv2' --mount /mnt/gv1
  stillpoint georep sync --session 'gv1 siteB::gv2' --mount /mnt/gv1 --deadline 20m --log-via 'ssh root@siteA2' \\
    --output json")]
pub(crate) struct GeorepSyncArgs {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Where the primary's volume is mounted here
    #[arg(long, value_name = "DIR", env = "STILLPOINT_MOUNT")]
    pub(crate) mount: PathBuf,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// The longest it may take; stopping replication again isn't cut short by it
    #[arg(long, value_name = "DURATION", default_value = "1h", env = "STILLPOINT_DEADLINE", value_parser = duration)]
    pub(crate) deadline: Duration,

    #[command(flatten)]
    pub(crate) drive: DriveArgs,

    /// Go on in spite of what is refused by this name (such as secondary-access-mount); repeatable
    #[arg(long, value_name = "CHECK", env = "STILLPOINT_OVERRIDE", value_delimiter = ',', value_parser = check)]
    pub(crate) override_check: Vec<Check>,

    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What a silent no-op skipped, or what was given up, is not sent again by itself. This writes a block of each shard back as
it is, through the mount; the next run sends these shards.

A guest's write must not get in between. So nothing is written unless the domain's live definition shows an overlay of
ours above the file and no job on that disk, or the domain is off and the file could be locked against every QEMU. That
is looked at before each block. The session's lock is held meanwhile: no run begins.

Exit codes: 0 done; 1 failed; 5 another run has the session; 6 the file is not known to be still, nothing more was
written.

Examples:
  stillpoint georep resync --session 'gv1 siteB::gv2' --mount /mnt/gv1 --domain vm1 vms/vm1.qcow2
  stillpoint georep resync --session 'gv1 siteB::gv2' --mount /mnt/gv1 --domain vm1 --shards 3,7-9 vms/vm1.qcow2")]
pub(crate) struct GeorepResyncArgs {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Where the primary's volume is mounted here
    #[arg(long, value_name = "DIR", env = "STILLPOINT_MOUNT")]
    pub(crate) mount: PathBuf,

    /// The domain that the files are disks of, by name or UUID
    #[arg(long, short, value_name = "NAME", env = "STILLPOINT_DOMAIN")]
    pub(crate) domain: String,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,

    /// Only these shards of the file, counted from 0, such as 3,7-9; all by default
    #[arg(long, value_name = "N,N-M")]
    pub(crate) shards: Option<Shards>,

    /// The size of the file's shards; by default the volume's for --shards, and the smallest there is for whole files, which
    /// misses none. K, M, G are powers of 1024
    #[arg(long, value_name = "BYTES", value_parser = super::read::size)]
    pub(crate) shard_size: Option<u64>,

    /// Files: paths from the volume's root on, or below the mount
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// A command to put before others: words between blanks, one at least.
fn words(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it has at least one word".to_owned()) } else { Ok(text.to_owned()) }
}

/// A check by its name, such as `secondary-access-mount`.
fn check(text: &str) -> Result<Check, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| "there is no such check; 'georep doctor --output json' lists those it makes".to_owned())
}

/// Numbers and ranges of them: `0,3,7-9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shards(pub(crate) BTreeSet<u64>);

impl FromStr for Shards {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// More are a whole file.
        const MOST: u64 = 1 << 24;
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                text.trim().parse::<u64>().map_err(|_| format!("{part:?} is no number, and no range"))
            };
            let (first, last) = (number(first)?, number(last)?);
            if last < first || last - first >= MOST {
                return Err(format!("{part:?} is not a range that can be"));
            }
            all.extend(first..=last);
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_numbers_and_ranges() {
        let read = |text: &str| text.parse::<Shards>().ok().map(|all| all.0.into_iter().collect::<Vec<_>>());
        assert_eq!(read("0,3,7-9"), Some(vec![0, 3, 7, 8, 9]));
        assert_eq!(read("5-5"), Some(vec![5]));
        for wrong in ["", "a", "3-", "-3", "9-7", "0-99999999999", "1,,2"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
