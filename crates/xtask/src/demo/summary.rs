//! The demo's last words.

use std::fmt::Write as _;

use super::stages::Stages;
use super::steps::Done;

/// What was taken, what was compared, how long the guest was frozen, how long each step took.
pub(super) fn text(done: &Done, stages: &Stages) -> String {
    let mut text = String::from("\n==== summary\n");
    let Done { report, proof, check, rounds, exported_mib } = done;
    for domain in &report.domains {
        for disk in &domain.disks {
            let _ = writeln!(
                text,
                "taken      disk {} of the running guest: {} (run {})",
                disk.target,
                disk.layers.join(", on "),
                report.run
            );
        }
        if let Some(point) = &domain.point {
            let _ = writeln!(text, "           {}", point.consistency);
            let _ = writeln!(text, "frozen     {:.0} ms", point.frozen_ms);
        }
    }
    let compared = &proof.compared;
    let _ = writeln!(
        text,
        "compared   {} shards of {} file(s), {} of them empty; {} MiB read at the primary, {} MiB at the secondary",
        compared.shards,
        compared.files,
        compared.empty_shards,
        compared.primary_bytes_read >> 20,
        compared.secondary_bytes_read >> 20
    );
    let _ = writeln!(text, "           identical: {}", proof.secondary);
    let _ =
        writeln!(text, "guest      ran throughout: round {} before the run, {} after it", rounds.0, rounds.1);
    for disk in &check.disks {
        let _ = writeln!(
            text,
            "restored   {exported_mib} MiB exported from the secondary's bricks; e2fsck finds nothing; {} files fit the checksums\n           \
             that the guest wrote, {} don't, {} are missing; its last round is {}",
            disk.good,
            disk.bad.len(),
            disk.missing.len(),
            disk.counter
        );
    }
    let _ = writeln!(text, "in the run");
    for stage in &report.durations {
        let _ = writeln!(text, "  {:<50} {:>7.1} s", stage.stage, stage.took_ms / 1000.0);
    }
    let _ = write!(text, "in all\n{}", stages.table());
    text
}
