//! Judging what replication and the proof told.

use std::collections::BTreeSet;

use stillpoint_georep::{LogFinding, LogFindingKind};
use uuid::Uuid;

use super::Cycle;
use crate::proof::{Difference, Proof};
use crate::report::Stage;

/// How many shards, and how many complaints of replication's log, become failures of their own; the proof and the
/// verdict have all of them.
const NAMED: usize = 20;

impl Cycle<'_> {
    /// Turns what speaks against the run into failures and warnings. Tells whether replication's word and its log can be
    /// believed, for files and shards of these gfids.
    pub(super) fn judge(&mut self, gfids: &BTreeSet<Uuid>) -> bool {
        let mut failures = Vec::new();
        let mut warnings = Vec::new();
        let proof = self.report.proof.as_ref();
        let proven_afresh = proof.is_some_and(|proof| proof.holds && proof.compared.cached_digests == 0);
        match &self.report.verdict {
            None => failures.push("replication gave no verdict".to_owned()),
            Some(verdict) => {
                if !verdict.gluster_says_complete {
                    failures.push(
                        "Gluster's own rows don't say that the checkpoint was reached everywhere".to_owned(),
                    );
                }
                failures.extend(verdict.problems.iter().map(ToString::to_string));
                let (retried, against): (Vec<_>, Vec<_>) =
                    verdict.findings_against(gfids).partition(|finding| proven_afresh && is_retried(finding));
                let said = |finding: &LogFinding| {
                    format!("replication's log {} says: {}", finding.log, finding.line)
                };
                failures.extend(against.iter().take(NAMED).map(|finding| said(finding)));
                warnings.extend(retried.first().map(|first| {
                    format!(
                        "{} batches of rsync's failed and were tried again, as happens to overlays that change under it; \
                         every byte of the point was compared since. {}",
                        retried.len(),
                        said(first)
                    )
                }));
                let others = verdict.log_findings.len() - against.len() - retried.len();
                if others > 0 {
                    warnings.push(format!(
                        "replication's log has {others} complaints about files that are no part of the point"
                    ));
                }
            }
        }
        let believed = failures.is_empty();
        for what in failures {
            self.fail(Stage::Replicate, None, what);
        }
        self.report.warnings.append(&mut warnings);
        if let Some(proof) = &self.report.proof {
            for (domain, what) in differences(proof, |uuid| self.name_of(uuid)) {
                self.fail(Stage::Prove, domain.as_deref(), what);
            }
        }
        believed
    }

    fn name_of(&self, uuid: Option<Uuid>) -> Option<String> {
        let domains = &self.report.domains;
        domains
            .iter()
            .find(|domain| Some(domain.domain.uuid) == uuid)
            .map(|domain| domain.domain.name.clone())
    }
}

/// Whether a complaint is a batch's return code that names no file. gsyncd tries such a batch again, and says `moving
/// on` when it gives up; so, without that, it is a reason to compare, not to disbelieve what was compared.
fn is_retried(finding: &LogFinding) -> bool {
    finding.kind == LogFindingKind::ReturnCode && finding.gfids.is_empty()
}

/// What differs, in words: one for each file, and one for each of the first shards.
fn differences(
    proof: &Proof,
    name: impl Fn(Option<Uuid>) -> Option<String>,
) -> Vec<(Option<String>, String)> {
    let mut said = Vec::new();
    for difference in &proof.differences {
        let domain = name(difference.domain);
        let of_file = |what: String| format!("{} differs: {what}", file(difference));
        said.extend(difference.file.iter().map(|what| (domain.clone(), of_file(what.to_string()))));
        if difference.differing_shards > 0 {
            let count = difference.differing_shards;
            said.push((domain.clone(), of_file(format!("{count} shards aren't what the primary has"))));
        }
        said.extend(difference.shards.iter().take(NAMED).map(|shard| (domain.clone(), shard.to_string())));
        if difference.differing_shards > NAMED as u64 {
            let more = difference.differing_shards - NAMED as u64;
            said.push((
                domain.clone(),
                format!("and {more} shards more; the first thousand are in proof.json"),
            ));
        }
    }
    said
}

fn file(difference: &Difference) -> String {
    match &difference.target {
        Some(target) => format!("disk {target}, {}", difference.path),
        None => difference.path.clone(),
    }
}
