//! `stillpoint snapshots`: what `qemu-img snapshot -l` lists.

use anyhow::Result;
use serde::Serialize;
use stillpoint_qcow2::info::{SnapshotInfo, snapshots_to_text};
use stillpoint_qcow2::tables::Snapshot;

use crate::cli::SnapshotsArgs;
use crate::command::alone;
use crate::exit::Exit;
use crate::logging;
use crate::output::{self, Format};

#[derive(Serialize)]
struct Listed {
    schema_version: u32,
    /// As it was named.
    file: String,
    snapshots: Vec<Entry>,
}

/// What is stored of a snapshot. Sizes and offsets are in bytes.
#[derive(Serialize)]
struct Entry {
    id: String,
    name: String,
    /// When it was taken, since 1970-01-01 UTC.
    date_sec: u32,
    date_nsec: u32,
    /// How long the guest had run.
    vm_clock_nsec: u64,
    vm_state_size: u64,
    /// The size of the disk in it; absent in old images, then it is the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_size: Option<u64>,
    /// Instructions that the guest had run; absent where they were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    icount: Option<u64>,
    l1_offset: u64,
    l1_entries: u32,
    /// Bytes of extra data that nobody knows here.
    unknown_extra_len: usize,
}

impl From<&Snapshot> for Entry {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            id: snapshot.id.to_text(),
            name: snapshot.name.to_text(),
            date_sec: snapshot.date_sec,
            date_nsec: snapshot.date_nsec,
            vm_clock_nsec: u64::try_from(snapshot.vm_clock.as_nanos()).unwrap_or(u64::MAX),
            vm_state_size: snapshot.vm_state_size,
            disk_size: snapshot.disk_size,
            icount: snapshot.icount,
            l1_offset: snapshot.l1_table.offset.0,
            l1_entries: snapshot.l1_table.entries,
            unknown_extra_len: snapshot.unknown_extra.len(),
        }
    }
}

pub(crate) fn run(args: &SnapshotsArgs) -> Result<Exit> {
    let image = match alone::open(&args.volume, &args.file, args.format.as_deref())? {
        Ok(image) => image,
        Err(complaint) => {
            logging::complain(&complaint);
            return Ok(Exit::Failed);
        }
    };
    let snapshots = image.as_ref().map_or(&[][..], |image| image.snapshots());
    match args.output {
        Format::Human => {
            let infos: Vec<SnapshotInfo> = snapshots.iter().map(SnapshotInfo::from).collect();
            output::print(&snapshots_to_text(&infos))?;
        }
        Format::Json => output::print_json(&Listed {
            schema_version: 1,
            file: args.file.clone(),
            snapshots: snapshots.iter().map(Entry::from).collect(),
        })?,
    }
    Ok(Exit::Done)
}
