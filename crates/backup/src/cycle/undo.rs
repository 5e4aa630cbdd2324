//! Committing overlays.

use stillpoint_virt as virt;

use super::still::Taken;
use super::{Cycle, Event};
use crate::ImageComparison;
use crate::error::Result;
use crate::journal;
use crate::recover::steps_of_domains;
use crate::report::{Outcome, Stage};

impl Cycle<'_> {
    /// Stops replication, whatever it is at, then commits the overlays of every point, one domain after the other, and
    /// settles what a snapshot that failed left. `None`: nothing is left.
    ///
    /// # Errors
    /// When replication can't be stopped: then every overlay stays, since a commit rewrites the base and what
    /// is rewritten would be replicated.
    pub(super) fn undo(&mut self, taken: &Taken) -> Result<Option<Outcome>> {
        if self.report.domains.iter().all(|domain| domain.undone) {
            return Ok(None);
        }
        self.ensure_stopped()?;
        let mut left = None;
        for at in 0..self.report.domains.len() {
            if self.report.domains[at].undone {
                continue;
            }
            let domain = self.report.domains[at].domain.clone();
            let point = taken.points.iter().find(|point| point.domain.uuid == domain.uuid);
            let undone = match point {
                Some(point) => self.undo_point(point),
                None => Err("its snapshot failed half way".to_owned()),
            };
            let settled = match undone {
                Ok(()) => None,
                Err(why) => {
                    tracing::info!(%domain, why, "undoing failed; what is left is recovered");
                    self.settle(&domain, &why)
                }
            };
            self.report.domains[at].undone = settled.is_none();
            left = worse(left, settled);
        }
        Ok(left)
    }

    fn undo_point(&mut self, point: &virt::StillPoint) -> Result<(), String> {
        let observer = self.observer;
        let undone = virt::undo(
            self.parts.hypervisor,
            point,
            &self.config.undo,
            self.journal as &dyn virt::Journal,
            self.parts.guard,
            &mut |progress| observer(Event::Commit(&progress)),
        );
        match undone {
            Ok(undone) => {
                self.report.commits.push(undone);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Recovers one domain by what the journal says of it. Tells what is left then.
    fn settle(&mut self, domain: &virt::DomainId, why: &str) -> Option<Outcome> {
        let steps = match journal::read(self.journal.path()) {
            Ok(contents) => steps_of_domains(&contents),
            Err(error) => {
                self.fail(Stage::Undo, Some(&domain.name), format!("{why}; {error}"));
                return Some(Outcome::NeedsRecovery);
            }
        };
        let observer = self.observer;
        let mut left = None;
        for intent in virt::Intent::from_steps(&steps) {
            if intent.domain.uuid != domain.uuid || !intent.is_open() {
                continue;
            }
            let comparison = ImageComparison::new(&self.config.mount);
            let options = virt::RecoverOptions {
                undo: self.config.undo,
                comparison: Some(&comparison),
                offline: Some(self.parts.offline),
            };
            let recovered = virt::recover(
                self.parts.hypervisor,
                &intent,
                &options,
                self.journal as &dyn virt::Journal,
                self.parts.guard,
                &mut |progress| observer(Event::Commit(&progress)),
            );
            match recovered {
                Ok(recovery) if recovery.is_complete() => {
                    self.report.warnings.push(format!("{domain}: {why}; it was recovered from at once"));
                }
                Ok(recovery) => {
                    for problem in &recovery.problems {
                        let disk =
                            problem.target.as_ref().map(|disk| format!("disk {disk}: ")).unwrap_or_default();
                        self.fail(
                            Stage::Undo,
                            Some(&domain.name),
                            format!("{disk}{} ({}); this came after: {why}", problem.what, problem.remedy),
                        );
                    }
                    left = worse(left, Some(Outcome::NeedsOperator));
                }
                Err(error) => {
                    self.fail(
                        Stage::Undo,
                        Some(&domain.name),
                        format!("{why}; recovering from it failed: {error}"),
                    );
                    left = worse(left, Some(Outcome::NeedsRecovery));
                }
            }
        }
        left
    }
}

/// An operator outweighs recovery, which outweighs nothing.
fn worse(one: Option<Outcome>, other: Option<Outcome>) -> Option<Outcome> {
    match (one, other) {
        (Some(Outcome::NeedsOperator), _) | (_, Some(Outcome::NeedsOperator)) => Some(Outcome::NeedsOperator),
        (one, other) => one.or(other),
    }
}
