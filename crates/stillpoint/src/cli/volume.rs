//! Naming volumes and bricks.

use std::path::PathBuf;

use clap::Args;
use stillpoint_backup::{Site, SiteSpec};
use stillpoint_shard::BrickMapping;

/// Which volume a path is in. With neither `--volume` nor `--brick`, paths are ordinary files.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Volume")]
pub(crate) struct VolumeArgs {
    /// Read from a volume's bricks; SPEC is glusterd's directory of the volume, the XML of 'gluster volume info
    /// --xml', a volfile, or a client's log with one in it, told apart by content
    #[arg(long, value_name = "SPEC", env = "STILLPOINT_VOLUME", conflicts_with = "brick")]
    pub(crate) volume: Option<PathBuf>,

    /// Which volume, where SPEC describes several or bricks are of several; of bricks also by its id
    #[arg(long, value_name = "NAME", env = "STILLPOINT_VOLUME_NAME")]
    pub(crate) volume_name: Option<String>,

    /// Read from these bricks, which make out among themselves how the volume is made; repeat for each
    #[arg(long, value_name = "DIR")]
    pub(crate) brick: Vec<PathBuf>,

    /// Where a brick is here, if not at its own path; repeatable
    #[arg(long, value_name = "HOST:/PATH=LOCAL", env = "STILLPOINT_MAP", value_delimiter = ',')]
    pub(crate) map: Vec<BrickMapping>,

    /// Where the volume was mounted, so that absolute names inside it resolve
    #[arg(long, value_name = "DIR", env = "STILLPOINT_MOUNTED_AT")]
    pub(crate) mounted_at: Option<PathBuf>,
}

impl VolumeArgs {
    /// The volume that is named, if one is.
    pub(crate) fn site(&self) -> Option<Site> {
        let spec = match &self.volume {
            Some(spec) => SiteSpec::Described { spec: spec.clone(), volume: self.volume_name.clone() },
            None if self.brick.is_empty() => return None,
            None => match &self.volume_name {
                None => SiteSpec::Bricks(self.brick.clone()),
                Some(volume) => SiteSpec::BricksOf { bricks: self.brick.clone(), volume: volume.clone() },
            },
        };
        Some(Site { spec, mappings: self.map.clone() })
    }
}

/// Two sites' volumes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sites")]
pub(crate) struct SiteArgs {
    /// The primary's volume: glusterd's directory of it, the XML of 'gluster volume info --xml', or a volfile
    #[arg(long, value_name = "SPEC", env = "STILLPOINT_PRIMARY", required_unless_present = "primary_brick")]
    pub(crate) primary: Option<PathBuf>,

    /// The primary's bricks, instead of --primary; repeat for each
    #[arg(long, value_name = "DIR", conflicts_with = "primary")]
    pub(crate) primary_brick: Vec<PathBuf>,

    /// The secondary's volume: glusterd's directory of it, the XML of 'gluster volume info --xml', or a volfile
    #[arg(
        long,
        value_name = "SPEC",
        env = "STILLPOINT_SECONDARY",
        required_unless_present = "secondary_brick"
    )]
    pub(crate) secondary: Option<PathBuf>,

    /// The secondary's bricks, instead of --secondary; repeat for each
    #[arg(long, value_name = "DIR", conflicts_with = "secondary")]
    pub(crate) secondary_brick: Vec<PathBuf>,

    /// Where a brick is here, if not at its own path; repeatable
    #[arg(long, value_name = "HOST:/PATH=LOCAL", env = "STILLPOINT_MAP", value_delimiter = ',')]
    pub(crate) map: Vec<BrickMapping>,
}

impl SiteArgs {
    /// The primary's volume; `name` says which, where several are described.
    pub(crate) fn primary(&self, name: Option<&str>) -> Site {
        self.site(self.primary.as_ref(), &self.primary_brick, name)
    }

    /// The secondary's volume; `name` says which, where several are described.
    pub(crate) fn secondary(&self, name: Option<&str>) -> Site {
        self.site(self.secondary.as_ref(), &self.secondary_brick, name)
    }

    fn site(&self, spec: Option<&PathBuf>, bricks: &[PathBuf], name: Option<&str>) -> Site {
        let spec = match spec {
            Some(spec) => SiteSpec::Described { spec: spec.clone(), volume: name.map(str::to_owned) },
            None => SiteSpec::Bricks(bricks.to_vec()),
        };
        Site { spec, mappings: self.map.clone() }
    }
}
