//! A report as qemu-img prints it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::report::CheckReport;

/// What `qemu-img check --output=json` prints, its fields in QEMU's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CheckJson {
    /// End of the last cluster in use, in bytes; absent when 0, as all but three fields.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_end_offset: u64,
    /// Compressed clusters of the guest's disk.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compressed_clusters: u64,
    /// Clusters of the guest's disk.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total_clusters: u64,
    /// Errors.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub corruptions: u64,
    /// Errors that were repaired; nothing is repaired here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub corruptions_fixed: u64,
    /// Errors of the check itself.
    pub check_errors: u64,
    /// Leaked clusters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leaks: u64,
    /// Leaks that were repaired; nothing is repaired here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leaks_fixed: u64,
    /// Clusters of the guest's disk that are stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allocated_clusters: u64,
    /// The image's name, as it was given.
    pub filename: String,
    /// Its format.
    pub format: String,
    /// Stored clusters that don't follow the one before in the file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fragmented_clusters: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl CheckJson {
    /// What `qemu-img check --output=json` prints, without the last line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        crate::info::print_json(self)
    }
}

impl CheckReport {
    /// The report as the structure that is printed as JSON, for an image of this name.
    #[must_use]
    pub fn to_model(&self, filename: &str) -> CheckJson {
        CheckJson {
            image_end_offset: self.image_end_offset,
            compressed_clusters: self.allocated.compressed,
            total_clusters: self.total_clusters,
            corruptions: self.corruptions,
            corruptions_fixed: 0,
            check_errors: self.check_errors,
            leaks: self.leaks,
            leaks_fixed: 0,
            allocated_clusters: self.allocated.clusters,
            filename: filename.into(),
            format: "qcow2".into(),
            fragmented_clusters: self.allocated.fragmented,
        }
    }

    /// What `qemu-img check --output=json` prints, without the last line feed.
    #[must_use]
    pub fn to_json(&self, filename: &str) -> String {
        self.to_model(filename).to_json()
    }

    /// What `qemu-img check` prints to stdout.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if self.corruptions == 0 && self.leaks == 0 && self.check_errors == 0 {
            text.push_str("No errors were found on the image.\n");
        }
        let mut some = |number: u64, what: &str| {
            if number > 0 {
                // Writing to a String can't fail.
                let _ = write!(text, "\n{number} {what}\n");
            }
        };
        some(
            self.corruptions,
            "errors were found on the image.\n\
             Data may be corrupted, or further writes to the image may corrupt it.",
        );
        some(
            self.leaks,
            "leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.",
        );
        some(self.check_errors, "internal errors have occurred during the check.");
        let (total, allocated) = (self.total_clusters, self.allocated);
        if total != 0 && allocated.clusters != 0 {
            let percent = |part: u64, of: u64| part as f64 * 100.0 / of as f64;
            let _ = writeln!(
                text,
                "{}/{total} = {:.2}% allocated, {:.2}% fragmented, {:.2}% compressed clusters",
                allocated.clusters,
                percent(allocated.clusters, total),
                percent(allocated.fragmented, allocated.clusters),
                percent(allocated.compressed, allocated.clusters),
            );
        }
        if self.image_end_offset != 0 {
            let _ = writeln!(text, "Image end offset: {}", self.image_end_offset);
        }
        text
    }

    /// The lines that `qemu-img check` writes to stderr of what it finds.
    pub fn qemu_lines(&self) -> impl Iterator<Item = String> {
        let mut unaligned_told = false;
        self.findings.iter().flat_map(move |finding| {
            let signal = match finding {
                super::Finding::NoRefcount { index, offset, unaligned: true, .. } if !unaligned_told => {
                    unaligned_told = true;
                    Some(format!(
                        "qcow2: Image is corrupt: Refblock offset {:#x} unaligned (reftable index: {}); \
                         further non-fatal corruption events will be suppressed",
                        offset.0,
                        // As C's printf has it, 0 has no prefix.
                        if *index == 0 { "0".into() } else { format!("{index:#x}") }
                    ))
                }
                _ => None,
            };
            signal.into_iter().chain(finding.qemu_text())
        })
    }
}
