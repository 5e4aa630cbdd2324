//! Looking for what would make the run fail or lie, before anything is touched.

use std::path::{Path, PathBuf};

use stillpoint_georep as georep;
use stillpoint_virt as virt;

use super::Cycle;
use crate::error::{Error, Result};
use crate::report::{DiskReport, DomainReport};
use crate::site::{path_in_volume, unused_mapping};

/// What is known before anything is touched.
pub(super) struct Prepared {
    /// One for each domain, in the order asked for.
    pub(super) plans: Vec<virt::Plan>,
}

impl Cycle<'_> {
    pub(super) fn preflight(&mut self, domains: &[virt::DomainId]) -> Result<Prepared> {
        let tag =
            virt::Tag::new(self.report.run.tag()).map_err(|error| Error::Internal(error.to_string()))?;
        let mut plans = Vec::new();
        for domain in domains {
            let options = virt::PlanOptions {
                tag: tag.clone(),
                overlay_dir: self.config.overlay_dir.clone(),
                inside: Some(self.config.mount.clone()),
                trust_apparmor: self.config.trust_apparmor,
            };
            let plan = virt::plan(self.parts.hypervisor, domain, &options)?;
            self.report
                .warnings
                .extend(plan.warnings.iter().map(|finding| format!("{}: {finding}", domain.name)));
            let disks = self.disk_reports(&plan)?;
            self.report.domains.push(DomainReport {
                domain: domain.clone(),
                point: None,
                undone: true,
                disks,
            });
            plans.push(plan);
        }
        self.preflight_replication()?;
        self.preflight_sites()?;
        Ok(Prepared { plans })
    }

    /// The disks of a plan, each layer by its path in the volume.
    fn disk_reports(&self, plan: &virt::Plan) -> Result<Vec<DiskReport>> {
        plan.disks
            .iter()
            .map(|planned| {
                let disk = &planned.disk;
                let layers = std::iter::once(&disk.base)
                    .chain(&planned.below)
                    .map(|layer| in_volume(layer, &self.config.mount, &plan.domain.name, &disk.target))
                    .collect::<Result<_>>()?;
                Ok(DiskReport {
                    target: disk.target.clone(),
                    base: disk.base.clone(),
                    overlay: disk.overlay.clone(),
                    layers,
                })
            })
            .collect()
    }

    fn preflight_replication(&mut self) -> Result<()> {
        let options = georep::PreflightOptions::default().with_mount(&self.config.mount);
        let findings = georep::preflight(self.parts.session, &options)?;
        let mut refused = Vec::new();
        for finding in findings {
            let overridden = self.config.override_checks.contains(&finding.what);
            match finding.severity {
                georep::Severity::Refuse if !overridden => refused.push(finding.to_string()),
                georep::Severity::Refuse => self.report.warnings.push(format!("overridden: {finding}")),
                _ => self.report.warnings.push(finding.to_string()),
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(Error::Refused { findings: refused }) }
    }

    /// Both sites' volumes can be opened, they are the session's, and every layer is found at the primary.
    fn preflight_sites(&mut self) -> Result<()> {
        let (primary, secondary) = (self.config.primary.open()?, self.config.secondary.open()?);
        let mappings = [&self.config.primary.mappings[..], &self.config.secondary.mappings[..]].concat();
        if let Some(brick) = unused_mapping(&mappings, &[primary.topology(), secondary.topology()]) {
            return Err(Error::UnusedMapping { brick: brick.to_string() });
        }
        let session = self.parts.session.name();
        for (volume, name) in [(&primary, session.primary_volume()), (&secondary, session.secondary_volume())]
        {
            // Bricks alone don't tell a volume's name.
            let described = &volume.topology().volume;
            if !described.is_empty() && described != name {
                return Err(Error::OtherVolume {
                    described: described.clone(),
                    session: session.to_string(),
                });
            }
        }
        for disk in self.report.domains.iter().flat_map(|domain| &domain.disks) {
            for layer in &disk.layers {
                primary.open_file(&layer.parse()?)?;
            }
        }
        Ok(())
    }
}

/// A layer's path from the volume's root on.
fn in_volume(layer: &Path, mount: &Path, domain: &str, target: &str) -> Result<String> {
    let outside = || Error::OutsideTheVolume {
        what: format!("a layer of disk {target} of domain '{domain}'"),
        path: layer.to_owned(),
        mount: mount.to_owned(),
    };
    let path: PathBuf = path_in_volume(layer, mount).ok_or_else(outside)?;
    path.into_os_string().into_string().map_err(|_| outside())
}
