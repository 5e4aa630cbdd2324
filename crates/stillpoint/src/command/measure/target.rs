//! What is converted to: a format, and options of it as `qemu-img` takes them.

use stillpoint_qcow2::measure::Layout;
use stillpoint_qcow2::tables::{ClusterSize, Version};

use crate::command::number;
use crate::logging;

/// Formats that QEMU knows and can't measure.
const NOT_MEASURED: [&str; 10] =
    ["bochs", "cloop", "dmg", "parallels", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc"];

/// What is converted to.
pub(super) enum Target {
    Raw,
    Qcow2 { layout: Layout, backing: bool },
}

/// What an option's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Number,
    Size,
    Text,
}

use Kind::{Number, Size, Switch, Text};

const RAW: [(&str, Kind); 4] =
    [("size", Size), ("nocow", Switch), ("preallocation", Text), ("extent_size_hint", Size)];

const QCOW2: [(&str, Kind); 13] = [
    ("size", Size),
    ("compat", Text),
    ("backing_file", Text),
    ("backing_fmt", Text),
    ("data_file", Text),
    ("data_file_raw", Switch),
    ("extended_l2", Switch),
    ("cluster_size", Size),
    ("preallocation", Text),
    ("lazy_refcounts", Switch),
    ("refcount_bits", Number),
    ("compression_type", Text),
    // Those of the file that the image is in.
    ("nocow", Switch),
];

impl Target {
    pub(super) fn parse(format: &str, options: &[String]) -> Result<Self, String> {
        let known = match format {
            "raw" => &RAW[..],
            "qcow2" => &QCOW2[..],
            _ if NOT_MEASURED.contains(&format) => {
                return Err(format!("Block driver '{format}' does not support size measurement"));
            }
            _ => return Err(format!("Unknown file format '{format}'")),
        };
        let (mut layout, mut backing) = (Layout::default(), false);
        for option in
            options.iter().flat_map(|options| options.split(',')).filter(|option| !option.is_empty())
        {
            let (name, value) = named(option);
            if format == "qcow2" && name.starts_with("encrypt") {
                return Err("an image that is to be encrypted is not measured here".into());
            }
            let kind = known.iter().chain((name == "extent_size_hint").then_some(&RAW[3]));
            let kind = kind.filter(|(known, _)| *known == name).map(|(_, kind)| *kind).next();
            if let Some(wrong) = wrong(kind, name, value) {
                logging::complain(&wrong);
                return Err(format!("Invalid options for file format '{format}'"));
            }
            if format == "qcow2" {
                set(&mut layout, &mut backing, name, value)?;
            }
        }
        Ok(if format == "raw" { Self::Raw } else { Self::Qcow2 { layout, backing } })
    }
}

/// An option's name and value; without one, `NAME` is on and `noNAME` off.
fn named(option: &str) -> (&str, &str) {
    match (option.split_once('='), option.strip_prefix("no")) {
        (Some(both), _) => both,
        (None, Some(name)) => (name, "off"),
        (None, None) => (option, "on"),
    }
}

/// What is wrong with an option, whatever it means.
fn wrong(kind: Option<Kind>, name: &str, value: &str) -> Option<String> {
    let Some(kind) = kind else { return Some(format!("Invalid parameter '{name}'")) };
    match kind {
        Switch if !["on", "off"].contains(&value) => {
            Some(format!("Parameter '{name}' expects 'on' or 'off'"))
        }
        Number if refcount_bits(value).is_none() => Some(format!("Parameter '{name}' expects a number")),
        Size if number::bytes(name, value).is_err() => Some(format!(
            "Parameter '{name}' expects a non-negative number below 2^64\n\
             Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n\
             and exabytes, respectively."
        )),
        _ => None,
    }
}

/// Takes what an option of a qcow2 image says.
fn set(layout: &mut Layout, backing: &mut bool, name: &str, value: &str) -> Result<(), String> {
    match name {
        "cluster_size" => layout.cluster_size = cluster_size(value)?,
        "compat" => {
            layout.version = match value {
                "0.10" => Version::V2,
                "1.1" => Version::V3,
                _ => return Err(format!("Invalid compatibility level: '{value}'")),
            }
        }
        "refcount_bits" => layout.refcount_bits = refcount_bits(value).unwrap_or(u32::MAX),
        "extended_l2" => layout.extended_l2 = value == "on",
        "preallocation" => {
            layout.preallocated = match value {
                "off" | "metadata" => false,
                "falloc" | "full" => true,
                _ => return Err(format!("invalid parameter value: {value}")),
            }
        }
        "backing_file" => *backing = true,
        _ => {}
    }
    Ok(())
}

/// A number; what is no width of a refcount in any case is one that is too large.
fn refcount_bits(value: &str) -> Option<u32> {
    let number: i128 = value.parse().ok()?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

fn cluster_size(value: &str) -> Result<ClusterSize, String> {
    let bytes = number::bytes("cluster size", value)?;
    let bits = bytes.is_power_of_two().then(|| bytes.trailing_zeros());
    bits.and_then(ClusterSize::from_bits)
        .ok_or_else(|| "Cluster size must be a power of two between 512 and 2048k".to_owned())
}
