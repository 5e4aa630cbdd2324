//! Audits of a lab's volumes.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

use stillpoint_shard::Volume;
use stillpoint_shard::audit::{AuditEvent, AuditFinding, AuditOptions, AuditSummary, Problem};

/// Everything, with contents compared.
pub(crate) fn audit(volume: &Volume) -> (Vec<AuditFinding>, AuditSummary) {
    audit_below(volume, "/", true)
}

fn audit_below(volume: &Volume, path: &str, compare: bool) -> (Vec<AuditFinding>, AuditSummary) {
    let options = AuditOptions { compare, jobs: NonZeroUsize::MIN.saturating_add(1) };
    let mut findings = Vec::new();
    let mut each = |event: AuditEvent<'_>| {
        if let AuditEvent::Finding(finding) = event {
            findings.push(finding.clone());
        }
        ControlFlow::Continue(())
    };
    let summary = volume.audit(&path.parse().unwrap(), &options, &mut each).unwrap();
    (findings, summary)
}

/// Nothing is found but deleted files whose shards wait, and everything was looked at; below the directory `compared`
/// the contents, too. Counters of the last writes are cleared some seconds after these.
pub(crate) fn audits_clean(open: impl Fn() -> Volume, compared: &str) -> AuditSummary {
    let is_clean = |findings: &[AuditFinding]| {
        findings.iter().all(|finding| matches!(finding.problem, Problem::Deleted { .. }))
    };
    let clean = |audited: &(Vec<AuditFinding>, AuditSummary)| {
        let text: Vec<String> = audited.0.iter().map(ToString::to_string).collect();
        assert!(is_clean(&audited.0) && audited.1.is_whole(), "{text:#?} {:#?}", audited.1);
    };
    let mut whole = audit_below(&open(), "/", false);
    for _ in 0..20 {
        if is_clean(&whole.0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        whole = audit_below(&open(), "/", false);
    }
    clean(&whole);
    let compared = audit_below(&open(), compared, true);
    clean(&compared);
    compared.1
}
