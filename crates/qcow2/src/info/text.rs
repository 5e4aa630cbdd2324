//! Text as qemu-img prints it for people.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::local;
use super::model::{ImageInfo, SnapshotInfo};
use super::size::human;
use super::specific::FormatSpecific;

impl ImageInfo {
    /// What `qemu-img info` prints. The dates of snapshots are in local time.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = Text { out: String::new() };
        text.node(self, 0, &IMAGE);
        text.children(self, "/");
        text.out
    }
}

/// What `qemu-img info --backing-chain` prints.
#[must_use]
pub fn chain_to_text(chain: &[ImageInfo]) -> String {
    chain.iter().map(ImageInfo::to_text).collect::<Vec<_>>().join("\n")
}

/// What `qemu-img snapshot -l` prints: nothing where there is no snapshot. The dates are in local time.
#[must_use]
pub fn snapshots_to_text(snapshots: &[SnapshotInfo]) -> String {
    let mut text = Text { out: String::new() };
    if !snapshots.is_empty() {
        text.snapshots(snapshots, 0);
    }
    text.out
}

/// The words for what an image and a file have in common.
struct Words {
    filename: &'static str,
    format: &'static str,
    size: &'static str,
}

const IMAGE: Words = Words { filename: "image", format: "file format", size: "virtual size" };
const FILE: Words = Words { filename: "filename", format: "protocol type", size: "file length" };

struct Text {
    out: String,
}

impl Text {
    /// One line, `depth` times four spaces in. Names may hold anything: a line feed in one is printed as it is.
    fn line(&mut self, depth: usize, line: &str) {
        self.out.extend(std::iter::repeat_n("    ", depth));
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn node(&mut self, info: &ImageInfo, depth: usize, words: &Words) {
        self.line(depth, &format!("{}: {}", words.filename, info.filename));
        self.line(depth, &format!("{}: {}", words.format, info.format));
        self.line(
            depth,
            &format!("{}: {} ({} bytes)", words.size, human(info.virtual_size), info.virtual_size),
        );
        let disk_size = info.actual_size.map_or_else(|| "unavailable".into(), human);
        self.line(depth, &format!("disk size: {disk_size}"));
        if info.encrypted == Some(true) {
            self.line(depth, "encrypted: yes");
        }
        if let Some(size) = info.cluster_size {
            self.line(depth, &format!("cluster_size: {size}"));
        }
        if info.dirty_flag {
            self.line(depth, "cleanly shut down: no");
        }
        if let Some(name) = &info.backing_filename {
            let actual = match &info.full_backing_filename {
                None => " (cannot determine actual path)".into(),
                Some(full) if full != name => format!(" (actual path: {full})"),
                Some(_) => String::new(),
            };
            self.line(depth, &format!("backing file: {name}{actual}"));
            if let Some(format) = &info.backing_filename_format {
                self.line(depth, &format!("backing file format: {format}"));
            }
        }
        if let Some(snapshots) = info.snapshots.as_ref().filter(|snapshots| !snapshots.is_empty()) {
            self.snapshots(snapshots, depth);
        }
        if let Some(specific) = &info.format_specific {
            self.specific(specific, depth);
        }
    }

    fn snapshots(&mut self, snapshots: &[SnapshotInfo], depth: usize) {
        self.line(depth, "Snapshot list:");
        self.line(depth, &row(["ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT"]));
        let zone = local::zone();
        for row in snapshots.iter().map(|snapshot| snapshot_row(snapshot, &zone)) {
            self.line(depth, &row);
        }
    }

    fn specific(&mut self, specific: &FormatSpecific, depth: usize) {
        let data = match specific {
            FormatSpecific::Qcow2(data) => serde_json::to_value(data),
            FormatSpecific::File(data) => serde_json::to_value(data),
            FormatSpecific::Other { data, .. } => Ok(data.clone()),
        };
        let Ok(Value::Object(data)) = data else { return };
        if !data.is_empty() {
            self.line(depth, "Format specific information:");
            self.object(&data, depth + 1);
        }
    }

    fn object(&mut self, object: &Map<String, Value>, depth: usize) {
        let mut entries: Vec<_> = object.iter().collect();
        entries.sort_by_key(|(key, _)| bucket(key));
        for (key, value) in entries {
            self.entry(&key.replace('-', " "), value, depth);
        }
    }

    fn entry(&mut self, key: &str, value: &Value, depth: usize) {
        match value {
            Value::Object(object) => {
                self.line(depth, &format!("{key}:"));
                self.object(object, depth + 1);
            }
            Value::Array(items) => {
                self.line(depth, &format!("{key}:"));
                for (i, item) in items.iter().enumerate() {
                    self.entry(&format!("[{i}]"), item, depth + 1);
                }
            }
            Value::String(text) => self.line(depth, &format!("{key}: {text}")),
            other => self.line(depth, &format!("{key}: {other}")),
        }
    }

    fn children(&mut self, info: &ImageInfo, path: &str) {
        for child in &info.children {
            let path = format!("{path}{}", child.name);
            self.line(0, &format!("Child node '{path}':"));
            self.node(&child.info, 1, &FILE);
            self.children(&child.info, &format!("{path}/"));
        }
    }
}

/// A snapshot's row, its date in `zone`.
fn snapshot_row(snapshot: &SnapshotInfo, zone: &TimeZone) -> String {
    let size = human(snapshot.vm_state_size.cast_unsigned());
    let seconds = i64::try_from(snapshot.date_sec).unwrap_or(i64::MAX);
    let date = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_zoned(zone.clone());
    let date = date.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let clock = snapshot.vm_clock_sec;
    let clock = format!(
        "{:04}:{:02}:{:02}.{:03}",
        clock / 3600,
        clock / 60 % 60,
        clock % 60,
        snapshot.vm_clock_nsec / 1_000_000
    );
    let icount = snapshot.icount.map_or_else(|| "--".into(), |count| count.to_string());
    row([&snapshot.id, &snapshot.name, &size, &date, &clock, &icount])
}

/// A row of the snapshot list. Columns are as wide as their bytes, as C's `printf` has it.
fn row(columns: [&str; 6]) -> String {
    let [id, tag, size, date, clock, icount] = columns;
    let mut row = String::new();
    for (text, width) in [(id, 7), (tag, 16)] {
        row.push_str(text);
        row.extend(std::iter::repeat_n(' ', width - text.len().min(width) + 1));
    }
    // Writing to a String can't fail.
    let _ = write!(row, "{size:>8} {date:>19} {clock:>15} {icount:>10}");
    row
}

/// Where QEMU's dictionary (512 buckets, Samba's tdb hash) has a key: what is printed goes by this.
fn bucket(key: &str) -> u32 {
    let mut value = 0x238f_13af_u32.wrapping_mul(u32::try_from(key.len()).unwrap_or(u32::MAX));
    for (i, byte) in key.bytes().enumerate() {
        value = value.wrapping_add(u32::from(byte) << (i * 5 % 24));
    }
    value.wrapping_mul(1_103_515_243).wrapping_add(12345) % 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_order_of_qemus_dictionary() {
        let orders: [&[&str]; 4] = [
            &[
                "backing-image",
                "compressed",
                "children",
                "backing-filename-format",
                "snapshots",
                "virtual-size",
                "filename",
                "cluster-size",
                "format",
                "actual-size",
                "format-specific",
                "full-backing-filename",
                "encrypted",
                "backing-filename",
                "dirty-flag",
            ],
            &[
                "compat",
                "compression-type",
                "lazy-refcounts",
                "bitmaps",
                "refcount-bits",
                "data-file",
                "encrypt",
                "data-file-raw",
                "corrupt",
                "extended-l2",
            ],
            &[
                "icount",
                "vm-clock-nsec",
                "name",
                "date-sec",
                "date-nsec",
                "vm-clock-sec",
                "id",
                "vm-state-size",
            ],
            &[
                "ivgen-alg",
                "detached-header",
                "hash-alg",
                "cipher-alg",
                "uuid",
                "ivgen-hash-alg",
                "format",
                "cipher-mode",
                "slots",
                "payload-offset",
                "master-key-iters",
            ],
        ];
        for order in orders {
            assert!(order.is_sorted_by_key(|key| bucket(key)), "{order:?}");
        }
    }

    #[test]
    fn dates_are_in_local_time() {
        let json = r#"{"vm-clock-nsec": 4567890, "name": "sn", "date-sec": 1700000000, "date-nsec": 5,
            "vm-clock-sec": 3723, "id": "1", "vm-state-size": 1107}"#;
        let snapshot: SnapshotInfo = serde_json::from_str(json).expect("it has all fields");
        for (hours, expected) in [
            (0, "1       sn               1.08 KiB 2023-11-14 22:13:20  0001:02:03.004         --"),
            (2, "1       sn               1.08 KiB 2023-11-15 00:13:20  0001:02:03.004         --"),
        ] {
            let zone = TimeZone::fixed(jiff::tz::offset(hours));
            assert_eq!(snapshot_row(&snapshot, &zone), expected);
        }
    }
}
