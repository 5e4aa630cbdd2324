//! The command line.

mod allow;
mod audit;
mod bitmaps;
mod check;
mod compare;
mod export;
mod extract;
mod georep;
mod image;
mod inspect;
mod keys;
mod ls;
mod map;
mod measure;
mod named;
mod read;
mod run;
mod snapshots;
mod volume;

use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand};

pub(crate) use allow::AllowArgs;
pub(crate) use audit::AuditArgs;
pub(crate) use bitmaps::BitmapsArgs;
pub(crate) use check::CheckArgs;
pub(crate) use compare::CompareArgs;
pub(crate) use export::ExportArgs;
pub(crate) use extract::{CompressionType, DiskFormat, ExtractArgs};
pub(crate) use georep::{
    GeorepArgs, GeorepDoctorArgs, GeorepResyncArgs, GeorepStatusArgs, GeorepSyncArgs, GeorepVerb, LogArgs,
    SessionArgs,
};
pub(crate) use image::{DiskArgs, TableArgs, TellArgs};
pub(crate) use inspect::InspectArgs;
pub(crate) use keys::KeyArgs;
pub(crate) use ls::LsArgs;
pub(crate) use map::MapArgs;
pub(crate) use measure::MeasureArgs;
pub(crate) use named::{Named, only};
pub(crate) use read::{InfoArgs, LocateArgs, VerifyArgs};
pub(crate) use run::{AfterRun, GuardArgs, Quiesce, RecoverArgs, RunArgs, UndoArgs};
pub(crate) use snapshots::SnapshotsArgs;
pub(crate) use volume::{SiteArgs, VolumeArgs, options_of};

/// Still points of virtual machines on GlusterFS: replicated, proven, undone.
#[derive(Debug, Parser)]
#[command(name = "stillpoint", version, propagate_version = true, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed and clean, 2 usage, 3 partial, 4 needs recovery ('stillpoint recover'), 5 locked,
6 needs an operator. 'info', 'check', 'map', 'measure' and 'compare' have qemu-img's.

Results go to stdout, everything else to stderr. STILLPOINT_LOG takes a filter such as 'debug' or
'stillpoint_georep=trace'.";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Say more on stderr; twice for every step, three times for everything
    #[arg(short, long, global = true, action = ArgAction::Count, env = "STILLPOINT_VERBOSE")]
    pub(crate) verbose: u8,

    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose", env = "STILLPOINT_QUIET")]
    pub(crate) quiet: bool,

    /// When to colour what is written
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "STILLPOINT_COLOR")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what an image is, as 'qemu-img info' does
    Info(Named<InfoArgs>),
    /// Tell in plain words what an image is, and whether to let in one of a stranger's
    Inspect(Named<InspectArgs>),
    /// Look for damage in an image, as 'qemu-img check' does
    Check(Named<CheckArgs>),
    /// Tell where the data of a disk lies, as 'qemu-img map' does
    Map(Named<MapArgs>),
    /// Tell how much room a disk needs as a new image, as 'qemu-img measure' does
    Measure(Named<MeasureArgs>),
    /// Tell whether two disks are the same, as 'qemu-img compare' does, and where they differ
    Compare(Named<CompareArgs>),
    /// Write an image's disk, or a snapshot's, to a file of its own
    Extract(Named<ExtractArgs>),
    /// List an image's internal snapshots, as 'qemu-img snapshot -l' does
    Snapshots(Named<SnapshotsArgs>),
    /// List an image's dirty bitmaps, and what is set in them
    Bitmaps(Named<BitmapsArgs>),
    /// List what is in a volume, straight from its bricks
    Ls(Named<LsArgs>),
    /// Tell where a byte of a file in a volume lies: shard, bricks, offset
    Locate(Named<LocateArgs>),
    /// Copy files out of a volume, straight from its bricks
    Export(Named<ExportArgs>),
    /// Look for damage in a volume, straight on its bricks, and tell what it means for the data
    Audit(Named<AuditArgs>),
    /// Compare a file on two volumes, shard by shard, and print the proof
    Verify(Named<VerifyArgs>),
    /// Take a still point of domains, replicate it, prove it at the other site, and undo it
    Run(Box<Named<RunArgs>>),
    /// Look at geo-replication, find what is wrong with it, and drive it to a checkpoint that can be believed
    Georep(Box<Named<GeorepArgs>>),
    /// Finish or undo what interrupted runs left
    Recover(Named<RecoverArgs>),
    /// Tell the version, and what is compiled in
    Version(Named<VersionArgs>),
    /// Write man pages or shell completions
    #[command(hide = true)]
    Generate(Named<GenerateArgs>),
    /// Thaw or resume a domain when stdin ends
    #[command(hide = true)]
    Guard(Named<GuardArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillpoint version
  stillpoint version --output json")]
pub(crate) struct VersionArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: crate::output::Format,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(subcommand)]
    pub(crate) what: Generate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Write man pages, one for each command
    Man {
        /// The directory to write them to
        dir: std::path::PathBuf,
    },
    /// Write a shell's completions to stdout
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
