//! Copying files out of a volume.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::VolumeArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(
    override_usage = "stillpoint export [OPTIONS] PATH OUT\n       stillpoint export [OPTIONS] --into DIR PATH…",
    after_help = "\
Files are copied as they lie in the volume: an image stays an image. Holes stay holes. Where bricks and OUT are on one
file system that can (XFS, btrfs), blocks are shared instead of copied. A shard of which no good copy can be reached
is an error that names the bricks, never zeros. Machines that use the files must be off, or the files be still (an
overlay above them).

OUT has its name once it is complete. With --resume, --allow-missing or --mapfile it is filled in place instead, and a
mapfile in the format of GNU ddrescue's says which parts are done: an interrupted export goes on where it was, and
parts that were not known are tried again, when more bricks are back. Without --mapfile that is OUT.map, and is removed
once OUT is complete.

Exits 0 when all is copied, 1 when nothing is, 3 when parts of files or some of several files are missing.

Examples:
  stillpoint export --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2 /restore/disk.qcow2
  stillpoint export --brick /bricks/b0 --brick /bricks/b1 gfid:0f2c… /restore/disk.qcow2
  stillpoint export --volume gv1.xml --into /restore --manifest /restore/manifest.json vm1/disk.qcow2 vm2/disk.qcow2
  stillpoint export --brick /bricks/b0 --brick /bricks/b1 --into /restore --allow-missing /
  stillpoint export --volume gv1.xml --resume --allow-missing vm1/disk.qcow2 /restore/disk.qcow2
  stillpoint export --volume gv1.xml --compare vm1/disk.qcow2 /restore/disk.qcow2
  stillpoint export --volume gv1.xml --split-brain source-brick=h1:/bricks/b0 vm1/disk.qcow2 /restore/disk.qcow2"
)]
pub(crate) struct ExportArgs {
    /// Replace OUT if it exists
    #[arg(long, conflicts_with_all = ["resume", "allow_missing", "mapfile"])]
    pub(crate) force: bool,

    /// Write to this directory, each file under its path in the volume; as many PATHs as are wanted, and of a directory
    /// all files below it
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,

    /// Keep what is done when interrupted, and go on with it next time
    #[arg(long)]
    pub(crate) resume: bool,

    /// Leave out, as holes, what can't be read or isn't known, and tell which parts these are
    #[arg(long)]
    pub(crate) allow_missing: bool,

    /// Where to keep which parts of OUT are done, also once it is complete
    #[arg(long, value_name = "FILE", conflicts_with = "into")]
    pub(crate) mapfile: Option<PathBuf>,

    /// Write the digests of all shards of all files to FILE, and compare what was written with them
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Read every byte from all good copies, or fragments, and compare them: a difference is an error that names the
    /// bricks, or with --allow-missing left out
    #[arg(long, env = "STILLPOINT_COMPARE")]
    pub(crate) compare: bool,

    /// How many files are copied at a time; as many as there are processors, at most 4, by default
    #[arg(long, value_name = "N", env = "STILLPOINT_JOBS")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// How to tell what was done
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// The file and where to write it; with --into all files. Each is a path from the volume's root on, or
    /// gfid:UUID
    #[arg(value_name = "PATH", required = true)]
    pub(crate) names: Vec<String>,
}

impl ExportArgs {
    /// Whether files are filled in place, so that what is done is kept.
    pub(crate) const fn in_place(&self) -> bool {
        self.resume || self.allow_missing || self.mapfile.is_some()
    }
}
