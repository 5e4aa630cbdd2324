//! Naming volumes and bricks.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use stillpoint_backup::{Site, SiteSpec};
use stillpoint_shard::{BrickMapping, FileOptions, OnChoice, OpenOptions, SizeChoice, SplitBrainChoice};

use super::read::size;

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

    /// Which copy to believe where copies are in split-brain: refuse, latest-mtime, bigger-file, or
    /// source-brick=BRICK, a brick's name or the DIR of a --brick. Repeatable: the first that decides; each shard by
    /// itself, and each choice is told
    #[arg(long, value_name = "CHOICE", env = "STILLPOINT_SPLIT_BRAIN", value_delimiter = ',', value_parser = choice)]
    pub(crate) split_brain: Vec<Choice>,

    /// Take the xattrs of the brick in DIR from FILE, which 'getfattr -d -m- -e hex -R DIR' printed; without it from
    /// DIR.getfattr, where the file system shows none. Repeatable
    #[arg(long, value_name = "DIR=FILE", env = "STILLPOINT_XATTRS", value_delimiter = ',', value_parser = dump)]
    pub(crate) xattrs: Vec<(PathBuf, PathBuf)>,

    /// Of a log's volfiles take the one that many before the last: what the volume was before bricks were added,
    /// removed or replaced
    #[arg(long, value_name = "N", env = "STILLPOINT_LOG_VOLFILE", requires = "volume")]
    pub(crate) log_volfile: Option<usize>,

    /// The file's size, where the one that its base tells is lost or wrong: so many bytes (K, M, G and T are powers of
    /// 1024), or auto, up to where its last shard goes. Of the file that is named, not of what it is backed by
    #[arg(long, value_name = "BYTES|auto", env = "STILLPOINT_FILE_SIZE", value_parser = file_size)]
    pub(crate) file_size: Option<SizeChoice>,

    /// The bytes in a shard of that file, where that is lost
    #[arg(long, value_name = "BYTES", env = "STILLPOINT_BLOCK_SIZE", value_parser = size)]
    pub(crate) block_size: Option<u64>,

    /// In which order the bricks of a dispersed set are that --brick gives: the one that is proven by decoding, or the one
    /// in which they are given, missing ones behind them
    #[arg(
        long,
        value_enum,
        value_name = "ORDER",
        default_value = "proven",
        env = "STILLPOINT_DISPERSE_ORDER"
    )]
    pub(crate) disperse_order: DisperseOrder,

    /// Where the volume was mounted, so that absolute names inside it resolve
    #[arg(long, value_name = "DIR", env = "STILLPOINT_MOUNTED_AT")]
    pub(crate) mounted_at: Option<PathBuf>,
}

/// Whose word the order of dispersed bricks is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DisperseOrder {
    /// The one in which files decode; refused where that is not one.
    #[default]
    Proven,
    /// The one in which they are given.
    Given,
}

/// A rule for split-brain, or none.
#[derive(Debug, Clone)]
pub(crate) struct Choice(Option<SplitBrainChoice>);

pub(super) fn choice(text: &str) -> Result<Choice, String> {
    if text == "refuse" {
        return Ok(Choice(None));
    }
    text.parse()
        .map(|choice| Choice(Some(choice)))
        .map_err(|error: stillpoint_shard::ShardError| error.to_string())
}

fn file_size(text: &str) -> Result<SizeChoice, String> {
    if text == "auto" { Ok(SizeChoice::LastShard) } else { size(text).map(SizeChoice::Bytes) }
}

fn dump(text: &str) -> Result<(PathBuf, PathBuf), String> {
    match text.split_once('=') {
        Some((dir, file)) if !dir.is_empty() && !file.is_empty() => Ok((dir.into(), file.into())),
        _ => Err("it is not of the form DIR=FILE".to_owned()),
    }
}

impl VolumeArgs {
    /// Whether a volume is named.
    pub(crate) fn is_named(&self) -> bool {
        self.volume.is_some() || !self.brick.is_empty()
    }

    /// The first of the options that belong to a volume, where one is given.
    pub(crate) fn belonging(&self) -> Option<&'static str> {
        let given = [
            (!self.map.is_empty(), "--map"),
            (self.mounted_at.is_some(), "--mounted-at"),
            (self.volume_name.is_some(), "--volume-name"),
            (!self.xattrs.is_empty(), "--xattrs"),
            (self.file_size.is_some(), "--file-size"),
            (self.disperse_order == DisperseOrder::Given, "--disperse-order"),
            (self.block_size.is_some(), "--block-size"),
            (self.split_brain.iter().any(|choice| choice.0.is_some()), "--split-brain"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    /// How the file that is named is opened.
    pub(crate) const fn file_options(&self) -> FileOptions {
        FileOptions { size: self.file_size, shard_size: self.block_size }
    }

    /// How the volume is read.
    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions {
            order_given: self.disperse_order == DisperseOrder::Given,
            ..options_of(&self.split_brain)
        }
    }
}

/// How a volume is read with these rules for split-brain: each choice is told when it is made.
pub(crate) fn options_of(split_brain: &[Choice]) -> OpenOptions {
    // What follows `refuse` is not asked any more.
    let rules = split_brain.iter().map_while(|choice| choice.0.clone());
    OpenOptions {
        split_brain: rules.collect(),
        on_choice: Some(OnChoice(Arc::new(|choice| tracing::warn!("{choice}")))),
        ..OpenOptions::default()
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
