//! Regions that the header and what it leads to point at: counted, and marked as metadata.

use stillpoint_storage::Storage;

use super::counts::{Counts, METADATA};
use super::finding::{Finding, Structure};
use super::report::Tally;
use super::spans::Span;
use super::subject::Subject;
use crate::tables::HostOffset;

/// Counts regions of one image.
pub(super) struct Roots<'a, 's, S: ?Sized> {
    subject: &'a Subject<'s, S>,
}

impl<'a, 's, S: Storage + ?Sized> Roots<'a, 's, S> {
    pub(super) const fn new(subject: &'a Subject<'s, S>) -> Self {
        Self { subject }
    }

    /// Counts the clusters of a region, unless it goes past the end of the file.
    pub(super) fn add(
        &self,
        counts: &mut Counts,
        structure: Structure,
        offset: u64,
        size: u64,
        tally: &mut Tally,
    ) {
        if size == 0 {
            return;
        }
        if let Some(finding) = self.past_the_end(structure, offset, size) {
            tally.add(finding);
        }
        if !self.subject.is_countable(offset, size) {
            return;
        }
        let bits = self.subject.cluster_bits;
        for cluster in offset >> bits..=(offset + size - 1) >> bits {
            if counts.add(cluster, 1, METADATA) & METADATA != 0 {
                tally.add(Finding::Overlap { offset: HostOffset(cluster << bits), structure });
            }
        }
    }

    /// What is to be said of a region that isn't wholly in the file.
    pub(super) fn past_the_end(&self, structure: Structure, offset: u64, size: u64) -> Option<Finding> {
        let offset_in_file = HostOffset(offset);
        if !self.subject.is_countable(offset, size) {
            return Some(Finding::PastTheEnd { structure, offset: offset_in_file, size });
        }
        let cut = offset + size > self.subject.storage.len() && structure != Structure::Header;
        cut.then_some(Finding::Cut { structure, offset: offset_in_file, size })
    }

    /// Counts the clusters of all L1 tables, which may lie one over the other: each cluster is looked at once.
    pub(super) fn add_l1_tables(&self, counts: &mut Counts, tables: &[(Structure, Span)], tally: &mut Tally) {
        let bits = self.subject.cluster_bits;
        let mut edges = Vec::with_capacity(tables.len() * 2);
        for (structure, span) in tables {
            let size = span.words * 8;
            if size > 0 && self.subject.is_countable(span.offset, size) {
                edges.push((span.offset >> bits, 1_i64, *structure));
                edges.push((((span.offset + size - 1) >> bits) + 1, -1, *structure));
            }
        }
        edges.sort_unstable_by_key(|(cluster, step, _)| (*cluster, *step));
        let (mut weight, mut from) = (0_u64, 0);
        let mut last = None;
        for (cluster, step, structure) in edges {
            for here in (from..cluster).take_while(|_| weight > 0) {
                let before = counts.add(here, weight, METADATA);
                if let Some(structure) = last.filter(|_| weight > 1 || before & METADATA != 0) {
                    tally.add(Finding::Overlap { offset: HostOffset(here << bits), structure });
                }
            }
            from = cluster;
            if step > 0 {
                last = Some(structure);
            }
            weight = weight.saturating_add_signed(step);
        }
    }
}
