//! Listing what is in a volume.

use clap::Args;

use super::VolumeArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
The long form tells for each entry: what it is (d directory, f file, s file in shards, l symbolic link,
r what is left of a file that was deleted or lost its base, o other), its
size in bytes, the bytes in a shard, its gfid and its path.

What bricks that are missing may have is told on stderr; the exit code is 3 then, since the list is not whole.

Examples:
  stillpoint ls --volume /var/lib/glusterd/vols/gv1
  stillpoint ls -lR --volume /var/log/glusterfs/mnt-gv1.log vms
  stillpoint ls --sharded --brick /bricks/b0 --brick /bricks/b1 --output json
  stillpoint ls -l --volume gv1.xml gfid:0f2c…
  stillpoint ls --deleted --orphans --volume gv1.xml")]
pub(crate) struct LsArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// Tell what each entry is, its size and its gfid
    #[arg(short, long)]
    pub(crate) long: bool,

    /// Go into directories, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,

    /// Only files in shards, wherever they are below PATH
    #[arg(long)]
    pub(crate) sharded: bool,

    /// What is left of files that were deleted, and whose shards still wait for that; by gfid, with what is known
    #[arg(long, conflicts_with_all = ["recursive", "sharded"])]
    pub(crate) deleted: bool,

    /// What is left of files of which there are shards, but no base, or none on the bricks that are here; by gfid
    #[arg(long, conflicts_with_all = ["recursive", "sharded"])]
    pub(crate) orphans: bool,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// A directory or file: a path from the volume's root on, or gfid:UUID of a file
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) path: String,
}
