//! Commands that only read.

use clap::Args;

use super::volume::{Choice, choice};
use super::{SiteArgs, TableArgs, TellArgs, VolumeArgs};
use crate::output::Format;

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Takes qemu-img's options and writes what it writes. No locks are taken, so it is as 'qemu-img info -U'.
An image's backing and data files are opened only with --backing-chain, and only below the image's own
directory unless --allow-root or --allow-any widen it.

Examples:
  stillpoint info disk.qcow2
  stillpoint info --output json --backing-chain disk.qcow2
  stillpoint info --explain --backing-chain disk.qcow2
  stillpoint info --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2
  stillpoint info --brick /bricks/b0 --brick /bricks/b1 gfid:0f2c…")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) tell: TellArgs,

    /// Tell about every image of the backing chain
    #[arg(short, long)]
    pub(crate) backing_chain: bool,

    /// Tell in plain words what each feature means, and what the image refers to outside of itself
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) tables: TableArgs,

    /// The image; with --volume or --brick a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}

#[derive(Debug, Args)]
#[command(mut_arg("file_size", |arg| arg.visible_alias("size")))]
#[command(after_help = "\
Examples:
  stillpoint locate --volume /var/lib/glusterd/vols/gv1 vm1/disk.qcow2 0
  stillpoint locate --brick /bricks/b0 --brick /bricks/b1 vm1/disk.qcow2 10M --output json
  stillpoint locate --volume gv1.xml gfid:0f2c…")]
pub(crate) struct LocateArgs {
    /// How to write it
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    #[command(flatten)]
    pub(crate) volume: VolumeArgs,

    /// The file: a path from the volume's root on, or gfid:UUID
    #[arg(value_name = "PATH")]
    pub(crate) path: String,

    /// The byte's offset in the file; K, M, G and T are powers of 1024. Of a gfid it can be left out: then only its paths
    /// are told
    #[arg(value_name = "OFFSET", value_parser = size)]
    pub(crate) offset: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Both files must be still while they are compared. Exits 0 when the secondary holds exactly what the primary holds,
1 when anything differs; what differs is named shard by shard.

Copies in split-brain are an error unless --split-brain chooses; what it chose is told, and is part of the proof. One good
copy of each shard is read at each site; with --compare all are, and a difference between them is an error.

Examples:
  stillpoint verify vm1/disk.qcow2 --primary /siteA/vols/gv1 --secondary /siteB/vols/gv2
  stillpoint verify gfid:0f2c… --primary gv1.xml --secondary gv2.xml --map siteB:/bricks/b0=/mnt/b0 --output json")]
pub(crate) struct VerifyArgs {
    /// How to write the proof
    #[arg(long, value_enum, default_value = "human", env = "STILLPOINT_OUTPUT")]
    pub(crate) output: Format,

    #[command(flatten)]
    pub(crate) sites: SiteArgs,

    /// Which volume, where --primary describes several
    #[arg(long, value_name = "NAME", env = "STILLPOINT_PRIMARY_NAME")]
    pub(crate) primary_name: Option<String>,

    /// Which volume, where --secondary describes several
    #[arg(long, value_name = "NAME", env = "STILLPOINT_SECONDARY_NAME")]
    pub(crate) secondary_name: Option<String>,

    /// Which copy to believe where copies are in split-brain, at either site: refuse, latest-mtime, bigger-file, or
    /// source-brick=HOST:/PATH, which counts at the site that has the brick. Repeatable: the first that decides; each
    /// shard by itself, and each choice is told
    #[arg(long, value_name = "CHOICE", env = "STILLPOINT_SPLIT_BRAIN", value_delimiter = ',', value_parser = choice)]
    pub(crate) split_brain: Vec<Choice>,

    /// Read all good copies, or all fragments, at both sites; a difference between them is an error
    #[arg(long)]
    pub(crate) compare: bool,

    /// How many threads digest at each site; as many as there are processors, at most 4, by default
    #[arg(long, value_name = "N", env = "STILLPOINT_THREADS")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,

    /// The file: a path from the volumes' roots on, or gfid:UUID
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
}

/// A number of bytes with an optional suffix, as qemu-img takes it.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, suffix)) if suffix.is_ascii_alphabetic() => {
            let shift = match suffix.to_ascii_uppercase() {
                'B' => 0,
                'K' => 10,
                'M' => 20,
                'G' => 30,
                'T' => 40,
                'P' => 50,
                'E' => 60,
                _ => return Err(format!("{suffix:?} is no unit; use K, M, G or T")),
            };
            (&text[..at], shift)
        }
        _ => (text, 0),
    };
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    let number = u64::from_str_radix(digits, radix).map_err(|error| error.to_string())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_take_suffixes_and_never_overflow() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4M"), Ok(4 << 20));
        assert_eq!(size("0x1000"), Ok(4096));
        assert_eq!(size("7t"), Ok(7 << 40));
        for text in ["", "M", "-1", "1.5G", "16E", "99999999999999999999", "1x", "+"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }
}
