//! Commands that act.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::SiteArgs;
use crate::output::Format;

/// Which hypervisor, and how it is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hypervisor")]
pub(crate) struct ConnectArgs {
    /// The connect URI
    #[arg(long, value_name = "URI", default_value = "qemu:///system", env = "STILLPOINT_CONNECT")]
    pub(crate) connect: String,

    /// How to reach it: auto, virsh or libvirt
    #[arg(long, value_name = "BACKEND", default_value = "auto", env = "STILLPOINT_BACKEND")]
    pub(crate) backend: stillpoint_virt::BackendChoice,
}

#[derive(Debug, Args)]
#[command(after_help = "\
One run: replication is stopped; every domain's disks get an overlay each, in one atomic snapshot; replication is
driven to a checkpoint and stopped; both sites' bricks are digested and compared; the overlays are committed. Only a
proof that holds is a success. A run that was interrupted is finished by the next one, or by 'stillpoint recover'.

Interrupt once (Ctrl-C) to end cleanly: overlays are committed. Twice: nothing is waited for, 'recover' does the rest.

Example:
  stillpoint run --domain vm1 --session 'gv1 siteB::gv2' --mount /mnt/gv1 \\
    --primary /var/lib/glusterd/vols/gv1 --secondary /siteB/glusterd/vols/gv2 --state-dir /var/lib/stillpoint")]
pub(crate) struct RunArgs {
    /// A domain, by name or UUID; repeatable
    #[arg(
        long,
        short,
        value_name = "NAME",
        required_unless_present = "all",
        env = "STILLPOINT_DOMAIN",
        value_delimiter = ','
    )]
    pub(crate) domain: Vec<String>,

    /// All domains that run and have a disk below --mount
    #[arg(long, env = "STILLPOINT_ALL")]
    pub(crate) all: bool,

    /// The session of replication
    #[arg(long, value_name = "'VOL HOST::VOL'", env = "STILLPOINT_SESSION")]
    pub(crate) session: stillpoint_georep::SessionName,

    /// Where the primary's volume is mounted here
    #[arg(long, value_name = "DIR", env = "STILLPOINT_MOUNT")]
    pub(crate) mount: PathBuf,

    #[command(flatten)]
    pub(crate) sites: SiteArgs,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,

    #[command(flatten)]
    pub(crate) point: PointArgs,

    #[command(flatten)]
    pub(crate) replication: ReplicationArgs,

    #[command(flatten)]
    pub(crate) undo: UndoArgs,

    /// The longest that everything up to the proof may take; undoing isn't cut short by it
    #[arg(long, value_name = "DURATION", default_value = "1h", env = "STILLPOINT_DEADLINE", value_parser = duration)]
    pub(crate) deadline: Duration,

    /// How many threads digest at each site; as many as there are processors, at most 4, by default
    #[arg(long, value_name = "N", env = "STILLPOINT_THREADS")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,

    /// How to write the report
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,
}

/// Where runs are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArgs {
    /// Where journals, reports and locks are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/stillpoint", env = "STILLPOINT_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
}

/// How the still point is taken.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Still point")]
pub(crate) struct PointArgs {
    /// Whether the guest's file systems must be frozen for the snapshot
    #[arg(long, value_enum, default_value = "prefer", env = "STILLPOINT_QUIESCE")]
    pub(crate) quiesce: Quiesce,

    /// How long the guest agent may take to answer
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "STILLPOINT_AGENT_TIMEOUT", value_parser = duration)]
    pub(crate) agent_timeout: Duration,

    /// How long the guest may stay frozen before it is thawed regardless
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "STILLPOINT_FREEZE_DEADLINE", value_parser = duration)]
    pub(crate) freeze_deadline: Duration,

    /// A disk that takes part, such as vda or vm1:vda; repeatable. All disks of a domain by default
    #[arg(long, value_name = "[DOMAIN:]TARGET", env = "STILLPOINT_DISK", value_delimiter = ',')]
    pub(crate) disk: Vec<stillpoint_backup::DiskChoice>,

    /// Where overlays go; beside their bases by default
    #[arg(long, value_name = "DIR", env = "STILLPOINT_OVERLAY_DIR")]
    pub(crate) overlay_dir: Option<PathBuf>,

    /// Go on where AppArmor and a libvirt older than 12.1 would deny a commit its base
    #[arg(long, env = "STILLPOINT_TRUST_APPARMOR")]
    pub(crate) trust_apparmor: bool,
}

/// How a session is driven to its checkpoint and left, whoever asks for it.
#[derive(Debug, Clone, Args)]
pub(crate) struct DriveArgs {
    /// How long bricks take to roll their changelogs; asked of Gluster by default
    #[arg(long, value_name = "DURATION", env = "STILLPOINT_ROLLOVER", value_parser = duration)]
    pub(crate) rollover: Option<Duration>,

    /// How often a worker that stands still is restarted
    #[arg(long, value_name = "N", default_value_t = 2, env = "STILLPOINT_MAX_RESTARTS")]
    pub(crate) max_restarts: u32,

    /// How replication is left
    #[arg(long, value_enum, default_value = "stopped", env = "STILLPOINT_AFTER_RUN")]
    pub(crate) after_run: AfterRun,
}

/// How replication is driven.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replication")]
pub(crate) struct ReplicationArgs {
    /// Where Gluster's logs are
    #[arg(long, value_name = "DIR", default_value = "/var/log/glusterfs", env = "STILLPOINT_GLUSTER_LOGS")]
    pub(crate) gluster_logs: PathBuf,

    #[command(flatten)]
    pub(crate) drive: DriveArgs,

    /// Go on in spite of what the preflight refuses by this name (such as secondary-access-mount); repeatable
    #[arg(long, value_name = "CHECK", env = "STILLPOINT_OVERRIDE", value_delimiter = ',')]
    pub(crate) override_check: Vec<String>,
}

/// How overlays are committed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Undoing")]
pub(crate) struct UndoArgs {
    /// How long the commit of all overlays may take; what isn't committed then is left for 'recover'
    #[arg(long, value_name = "DURATION", default_value = "6h", env = "STILLPOINT_COMMIT_DEADLINE", value_parser = duration)]
    pub(crate) commit_deadline: Duration,

    /// The most bytes a second that a commit copies; K, M, G are powers of 1024
    #[arg(long, value_name = "BYTES", env = "STILLPOINT_BANDWIDTH", value_parser = super::read::size)]
    pub(crate) bandwidth: Option<u64>,

    /// Let the guest run while a commit pivots. A crash in that moment can then leave two halves
    #[arg(long, env = "STILLPOINT_NO_SUSPEND")]
    pub(crate) no_suspend: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quiesce {
    /// Fail when the guest agent can't freeze
    Require,
    /// Freeze if the guest agent can, and say so if it can't
    Prefer,
    /// Don't freeze
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AfterRun {
    /// Stopped
    Stopped,
    /// As it was found
    AsFound,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Looks at the domains, the files and the session first; the journals say only which. Safe to run at any time, and
twice.

Examples:
  stillpoint recover --dry-run
  stillpoint recover --state-dir /var/lib/stillpoint")]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Tell what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,

    /// The connect URI to use instead of the one in the journal
    #[arg(long, value_name = "URI", env = "STILLPOINT_CONNECT")]
    pub(crate) connect: Option<String>,

    /// How to reach the hypervisor: auto, virsh or libvirt
    #[arg(long, value_name = "BACKEND", default_value = "auto", env = "STILLPOINT_BACKEND")]
    pub(crate) backend: stillpoint_virt::BackendChoice,

    #[command(flatten)]
    pub(crate) undo: UndoArgs,

    /// How to write what was done
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,
}

/// A duration such as `90s`, `5m` or `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("it can't be zero".to_owned()) } else { Ok(duration) }
}

/// What a guard is told by the process that starts it.
#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    /// The connect URI
    #[arg(long)]
    pub(crate) connect: String,

    /// How to reach it
    #[arg(long)]
    pub(crate) backend: stillpoint_virt::BackendChoice,

    /// The domain's UUID
    #[arg(long)]
    pub(crate) uuid: String,

    /// What to undo: thaw or resume
    #[arg(long)]
    pub(crate) release: stillpoint_virt::Release,

    /// When to act at the latest
    #[arg(long, value_parser = duration)]
    pub(crate) deadline: Duration,

    /// The still point; only for a person who lists processes to see whose guard it is
    #[arg(long)]
    pub(crate) tag: String,
}
