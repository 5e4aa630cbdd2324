//! The lab's command line, as `cargo xtask lab` and the example `lab` run it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::config::{GuestConfig, LabConfig, SessionConfig, SiteName};
use crate::lab::{Lab, instances};
use crate::layout::VolumeLayout;

/// Two sites of real GlusterFS, libvirt and QEMU on this machine (needs root and Debian).
#[derive(Debug, Args)]
pub struct LabArgs {
    /// The lab's name; labs of different names stand side by side
    #[arg(long, default_value = "default", env = "STILLPOINT_LAB_INSTANCE", global = true)]
    instance: String,

    /// How to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, global = true)]
    output: OutputFormat,

    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Build the lab, or attach to it if it is up
    Up(UpArgs),
    /// Take the lab down, whole or half-made, and leave nothing of it
    Down {
        /// All labs
        #[arg(long)]
        all: bool,
    },
    /// Tell what is there and what is missing; exits with 1 if something is
    Status,
    /// Names of the labs
    List,
    /// Run a command at a site
    Exec {
        /// A (primary) or B (secondary)
        site: SiteName,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// The guest at site A
    Guest {
        #[command(subcommand)]
        command: GuestCommand,
    },
    /// Make or mend a fault
    Fault {
        #[command(subcommand)]
        command: FaultCommand,
    },
    /// Copy the sites' logs into a directory
    Logs {
        /// Where to
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Layout of site A's volume: distribute:N, replica2:N, replica3:N, arbiter:N or disperse4+2:N
    #[arg(long)]
    primary: Option<VolumeLayout>,
    /// Layout of site B's volume
    #[arg(long)]
    secondary: Option<VolumeLayout>,
    /// Shard size in MiB at both sites
    #[arg(long)]
    shard_mib: Option<u32>,
    /// Size of each site's sparse file system for bricks, in GiB
    #[arg(long)]
    bricks_gib: Option<u32>,
    /// Sizes of the guest's disks in MiB, e.g. 1024,512
    #[arg(long, value_delimiter = ',')]
    disks: Vec<u32>,
    /// Make no guest
    #[arg(long)]
    no_guest: bool,
    /// Make no geo-replication session
    #[arg(long)]
    no_session: bool,
    /// Create the session, but don't start it
    #[arg(long)]
    session_stopped: bool,
    /// Leave secondary-access-mount at Gluster's default, false: with rsync 3.5.0 nothing is replicated and nothing
    /// is said
    #[arg(long)]
    rsync_no_op: bool,
    /// One active worker per replica set, by a lock on a volume of its own
    #[arg(long)]
    meta_volume: bool,
    /// The primary volume's changelog.rollover-time in seconds
    #[arg(long)]
    rollover: Option<u32>,
    /// Fail instead of installing missing packages
    #[arg(long)]
    no_install: bool,
    /// A configuration in JSON, in place of the other options
    #[arg(long, exclusive = true)]
    config: Option<PathBuf>,
}

impl UpArgs {
    fn config(&self, instance: &str) -> Result<LabConfig> {
        if let Some(path) = &self.config {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut config: LabConfig = serde_json::from_str(&text)
                .with_context(|| format!("cannot understand {}", path.display()))?;
            config.instance = instance.to_owned();
            return Ok(config);
        }
        let mut config = LabConfig::named(instance);
        if let Some(layout) = self.primary {
            config.primary.layout = layout;
        }
        if let Some(layout) = self.secondary {
            config.secondary.layout = layout;
        }
        if let Some(size) = self.shard_mib {
            config.primary.shard_mib = Some(size);
            config.secondary.shard_mib = Some(size);
        }
        if let Some(size) = self.bricks_gib {
            config.bricks_gib = size;
        }
        config.install_packages = !self.no_install;
        let mut session = SessionConfig {
            secondary_access_mount: !self.rsync_no_op,
            use_meta_volume: self.meta_volume,
            start: !self.session_stopped,
            ..SessionConfig::default()
        };
        if let Some(seconds) = self.rollover {
            session.rollover_seconds = seconds;
        }
        config.session = (!self.no_session).then_some(session);
        let mut guest = GuestConfig::default();
        if !self.disks.is_empty() {
            guest.disks_mib.clone_from(&self.disks);
        }
        config.guest = (!self.no_guest).then_some(guest);
        Ok(config)
    }
}

#[derive(Debug, Subcommand)]
enum GuestCommand {
    /// Start it and wait for its first round
    Start,
    /// Have it finish its round, unmount and turn itself off
    Stop,
    /// Pull its plug
    Destroy,
    /// Print its console
    Console,
    /// Print the last round it has on disk
    Counter,
    /// Stop it, start it, and have it check all its files
    Verify,
}

#[derive(Debug, Subcommand)]
enum FaultCommand {
    /// Take the network between the sites down
    LinkCut,
    /// Bring the network between the sites back
    LinkMend,
    /// Kill a brick's process
    BrickKill {
        /// A or B
        site: SiteName,
        /// Its place in the volume, from 0
        index: usize,
    },
    /// Start the bricks that don't run
    BrickRestart {
        /// A or B
        site: SiteName,
    },
    /// Kill glusterd
    GlusterdKill {
        /// A or B
        site: SiteName,
    },
    /// Kill glusterd and start it again
    GlusterdRestart {
        /// A or B
        site: SiteName,
    },
    /// Kill libvirtd
    LibvirtdKill {
        /// A or B
        site: SiteName,
    },
    /// Kill libvirtd and start it again
    LibvirtdRestart {
        /// A or B
        site: SiteName,
    },
    /// Kill the guest's QEMU
    GuestKill,
    /// Fill a site's file system for bricks
    Fill {
        /// A or B
        site: SiteName,
        /// So much is left free, in MiB
        #[arg(long, default_value_t = 0)]
        leave: u64,
    },
    /// Free what `fill` took
    Free {
        /// A or B
        site: SiteName,
    },
    /// Make the session's worker for a brick stand still while its row says Active
    WorkerStarve {
        /// The brick's place in the primary volume, from 0
        index: usize,
    },
    /// Let it go on
    WorkerFeed {
        /// The brick's place in the primary volume, from 0
        index: usize,
    },
    /// Site B's rsync writes nothing and exits with 0
    RsyncBreak,
    /// Site B's rsync is the real one again
    RsyncMend,
}

/// Does what the command line says.
///
/// # Errors
/// The first step that failed.
pub fn run(args: LabArgs) -> Result<()> {
    let instance = args.instance.as_str();
    match args.command {
        LabCommand::Up(up) => {
            let lab = Lab::up(&up.config(instance)?)?;
            print_status(instance, args.output)?;
            drop(lab);
            Ok(())
        }
        LabCommand::Down { all: false } => Ok(Lab::down(instance)?),
        LabCommand::Down { all: true } => {
            for name in instances()? {
                Lab::down(&name)?;
            }
            Ok(())
        }
        LabCommand::Status => {
            if print_status(instance, args.output)? {
                Ok(())
            } else {
                bail!("lab {instance:?} is not whole")
            }
        }
        LabCommand::List => print(args.output, &instances()?, &instances()?.join("\n")),
        LabCommand::Exec { site, command } => exec(&Lab::attach(instance)?, site, &command),
        LabCommand::Guest { command } => guest(&Lab::attach(instance)?, &command, args.output),
        LabCommand::Fault { command } => fault(&Lab::attach(instance)?, &command),
        LabCommand::Logs { directory } => Ok(Lab::attach(instance)?.collect_logs(&directory)?),
    }
}

fn print<T: serde::Serialize>(format: OutputFormat, value: &T, text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match format {
        OutputFormat::Text => writeln!(stdout, "{text}")?,
        OutputFormat::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(value)?)?,
    }
    Ok(())
}

/// Prints the status; whether the lab is there and whole.
fn print_status(instance: &str, format: OutputFormat) -> Result<bool> {
    let status = Lab::status(instance)?;
    let mut text = format!("lab {instance}: ");
    match status.phase {
        None => text += "there is none",
        Some(phase) => {
            text += &format!(
                "{phase:?}, 10.77.{}.0/24, {} processes\n",
                status.subnet.unwrap_or(0),
                status.processes
            );
            for (site, mount) in &status.mounts {
                text += &format!("{site}: mount {}\n", mount.display());
                for brick in status.bricks.get(site).into_iter().flatten() {
                    text += &format!("{site}: brick {}\n", brick.display());
                }
            }
            let link = match status.link_up {
                Some(true) => "up",
                Some(false) => "cut",
                None => "unknown",
            };
            text += &format!("link: {link}\nsession: {}\n", status.session.join(", "));
            if let Some(guest) = &status.guest {
                text += &format!("guest: {guest}, round {}\n", status.guest_counter.unwrap_or(0));
            }
            for (step, seconds) in &status.timings {
                text += &format!("took {seconds:.1} s: {step}\n");
            }
            for problem in &status.problems {
                text += &format!("PROBLEM: {problem}\n");
            }
        }
    }
    print(format, &status, text.trim_end())?;
    Ok(status.phase.is_some() && status.problems.is_empty())
}

/// Becomes the command: its status, its signals and its terminal are its own.
fn exec(lab: &Lab, site: SiteName, command: &[String]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else { bail!("no command") };
    Err(lab.site(site).command(program).args(arguments).exec()).context("cannot start nsenter")
}

fn guest(lab: &Lab, command: &GuestCommand, format: OutputFormat) -> Result<()> {
    let guest = lab.guest().context("this lab has no guest")?;
    match command {
        GuestCommand::Start => {
            guest.start()?;
            guest.wait_counter_above(0, Duration::from_secs(120))?;
        }
        GuestCommand::Stop => guest.stop()?,
        GuestCommand::Destroy => guest.destroy()?,
        GuestCommand::Console => print!("{}", guest.console()?),
        GuestCommand::Counter => {
            let counter = guest.counter()?;
            print(
                format,
                &counter,
                &counter.map_or_else(|| "none".to_owned(), |counter| counter.to_string()),
            )?;
        }
        GuestCommand::Verify => {
            let checks = guest.restart_and_verify(Duration::from_secs(180))?;
            let lines: Vec<&str> = checks.iter().map(|check| check.line.as_str()).collect();
            print(format, &checks, &lines.join("\n"))?;
        }
    }
    Ok(())
}

fn fault(lab: &Lab, command: &FaultCommand) -> Result<()> {
    let faults = lab.faults();
    match *command {
        FaultCommand::LinkCut => faults.cut_link()?,
        FaultCommand::LinkMend => faults.mend_link()?,
        FaultCommand::BrickKill { site, index } => {
            faults.kill_brick(site, index)?;
        }
        FaultCommand::BrickRestart { site } => faults.restart_bricks(site)?,
        FaultCommand::GlusterdKill { site } => faults.kill_glusterd(site)?,
        FaultCommand::GlusterdRestart { site } => faults.restart_glusterd(site)?,
        FaultCommand::LibvirtdKill { site } => faults.kill_libvirtd(site)?,
        FaultCommand::LibvirtdRestart { site } => faults.restart_libvirtd(site)?,
        FaultCommand::GuestKill => {
            faults.kill_guest()?;
        }
        FaultCommand::Fill { site, leave } => faults.fill(site, leave)?,
        FaultCommand::Free { site } => faults.free(site)?,
        FaultCommand::WorkerStarve { index } => {
            faults.starve_worker(index)?;
        }
        FaultCommand::WorkerFeed { index } => {
            faults.feed_worker(index)?;
        }
        FaultCommand::RsyncBreak => faults.break_rsync()?,
        FaultCommand::RsyncMend => faults.mend_rsync()?,
    }
    Ok(())
}
