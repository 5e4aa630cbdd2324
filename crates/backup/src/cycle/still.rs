//! Taking the still points.

use stillpoint_virt as virt;

use super::Cycle;
use super::preflight::Prepared;
use crate::error::{Result, io};
use crate::report::{PointReport, Stage};

/// The still points that were taken.
#[derive(Default)]
pub(super) struct Taken {
    /// One for each domain that has one.
    pub(super) points: Vec<virt::StillPoint>,
    /// Whether there is at least one, and nothing happened that has to be undone first.
    pub(super) may_go_on: bool,
}

impl Cycle<'_> {
    /// Takes a point of each domain, one after the other. A domain without one is left out, unless it was left on
    /// overlays: then nothing more is taken.
    pub(super) fn take_points(&mut self, prepared: &Prepared) -> Taken {
        let mut taken = Taken { points: Vec::new(), may_go_on: true };
        for (at, plan) in prepared.plans.iter().enumerate() {
            if let Err(stopped) = self.limits.check() {
                self.fail(Stage::StillPoint, None, stopped.to_string());
                taken.may_go_on = false;
                break;
            }
            // From here on something of it may be left, whatever is answered.
            self.report.domains[at].undone = false;
            let result = virt::take(
                self.parts.hypervisor,
                plan,
                &self.config.take,
                self.journal as &dyn virt::Journal,
                self.parts.guard,
            );
            match result {
                Ok(point) => {
                    self.report.domains[at].point = Some(PointReport {
                        tag: point.tag.clone(),
                        consistency: point.consistency.clone(),
                        frozen: point.frozen,
                        snapshot: point.snapshot,
                    });
                    taken.points.push(point);
                }
                Err(error) => {
                    self.fail(Stage::StillPoint, Some(&plan.domain.name), error.to_string());
                    if error.needs_recovery() {
                        taken.may_go_on = false;
                        break;
                    }
                    self.report.domains[at].undone = true;
                }
            }
        }
        taken.may_go_on &= !taken.points.is_empty();
        if taken.may_go_on
            && let Err(error) = sync_bases(&taken.points)
        {
            self.fail(Stage::StillPoint, None, error.to_string());
            taken.may_go_on = false;
        }
        taken
    }
}

/// Has the mount send what it still holds of the bases to the bricks, where it is read and replicated from.
fn sync_bases(points: &[virt::StillPoint]) -> Result<()> {
    for disk in points.iter().flat_map(|point| &point.disks) {
        let base = &disk.disk.base;
        std::fs::File::open(base).and_then(|base| base.sync_all()).map_err(io("sync", base))?;
    }
    Ok(())
}
