//! Looking for what would make the run fail or lie, before anything is touched.

use std::path::{Path, PathBuf};

use stillpoint_georep as georep;
use stillpoint_virt as virt;

use super::Cycle;
use crate::error::{Error, Result};
use crate::report::{DiskReport, DomainReport, Stage};
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
        let options = |domain: &virt::DomainId| {
            let chosen = self.config.disks.iter().filter(|choice| choice.is_about(domain));
            let targets: Vec<String> = chosen.map(|choice| choice.target.clone()).collect();
            let disks = (!targets.is_empty()).then_some(targets);
            let (overlay_dir, inside) = (self.config.overlay_dir.clone(), Some(self.config.mount.clone()));
            let (tag, trust_apparmor) = (tag.clone(), self.config.trust_apparmor);
            (domain.clone(), virt::PlanOptions { tag, disks, overlay_dir, inside, trust_apparmor })
        };
        let planned =
            virt::plan_all(self.parts.hypervisor, &domains.iter().map(options).collect::<Vec<_>>())?;
        let mut plans = Vec::new();
        let mut refused = Vec::new();
        for (domain, plan) in domains.iter().zip(planned) {
            let plan = match plan {
                Ok(plan) => plan,
                Err(error @ virt::Error::Refused { .. }) if !self.is_named(domain) => {
                    refused.push((domain.clone(), error));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
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
        self.leave_out(refused, plans.is_empty())?;
        self.preflight_replication()?;
        self.preflight_sites()?;
        Ok(Prepared { plans })
    }

    /// Whether a domain was asked for by itself: then there is no run without it.
    fn is_named(&self, domain: &virt::DomainId) -> bool {
        self.config.domains.iter().any(|name| *name == domain.name || *name == domain.uuid.to_string())
    }

    /// Goes on without the domains that were refused, unless these are `all`.
    fn leave_out(&mut self, mut refused: Vec<(virt::DomainId, virt::Error)>, all: bool) -> Result<()> {
        let last = if all { refused.pop() } else { None };
        for (domain, error) in refused {
            self.fail(Stage::Preflight, Some(&domain.name), error.to_string());
            // Behind those that have a plan.
            self.report.domains.push(DomainReport { domain, point: None, undone: true, disks: Vec::new() });
        }
        last.map_or(Ok(()), |(_, error)| Err(error.into()))
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
