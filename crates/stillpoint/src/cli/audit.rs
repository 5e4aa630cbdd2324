//! Auditing a volume.

use std::num::NonZeroUsize;

use clap::Args;

use super::VolumeArgs;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Each finding is told with how bad it is (harmless, attention, at risk, lost), what it means for the data, and what to
do. A finding about many shards of a file is told once. As JSON, each finding is a line of its own, so that a volume of
any size can be read as it comes. Nothing is written to the bricks.

Without --compare names, xattrs, counters and lengths are looked at; with it the contents of all good copies as well,
and the fragments of dispersed volumes are checked against each other, which reads everything there is.

Of the whole volume (PATH /, the default), shards that belong to no file and files that wait to be deleted are looked
for, too. A volume that is written to meanwhile shows what is under way; audit again what doesn't go away by itself.

Exit codes: 0 nothing was found that is worse than harmless, and everything was looked at; 1 the audit could not be
made, or was interrupted; 3 not everything could be looked at; 6 something needs attention, is at risk or lost.

Examples:
  stillpoint audit --volume /var/lib/glusterd/vols/gv1
  stillpoint audit --volume /var/lib/glusterd/vols/gv1 --compare --jobs 8 vms
  stillpoint audit --brick /bricks/b0 --brick /bricks/b1 --output json
  stillpoint audit --volume gv1.xml gfid:0f2c…")]
pub(crate) struct AuditArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    /// Read all good copies and compare them, and check fragments against each other
    #[arg(long)]
    pub(crate) compare: bool,

    /// How many shards are looked at at a time; as many as there are processors, at most 4, by default
    #[arg(long, value_name = "N", env = "STILLPOINT_JOBS")]
    pub(crate) jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// A directory or file: a path from the volume's root on, or gfid:UUID of a file
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) path: String,
}
